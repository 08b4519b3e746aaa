//! What would become of a request, stage by stage, by the code that serves; nothing is sent and nothing changed.

use std::net::{Ipv4Addr, SocketAddr};

use http::header::{CONTENT_TYPE, SERVER, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::context::view;
use super::entrance::Purpose;
use super::rejection::{Rejection, answer_to};
use super::told::{AnswerTold, Changes, CookieTold, Explanation, RouteTold, UpstreamTold, sender};
use super::walk::{Author, Gateway, options_of};
use crate::base::request_id::RequestId;
use crate::http::{Arrival, Body, Destination, RequestContext, Scheme, count_hop, kind};
use crate::listener::{Handshake, Peer, Voice};
use crate::policy::Permit;

/// What is asked about.
struct Asked {
    id: RequestId,
    parts: Parts,
    purpose: Purpose,
    scheme: Scheme,
}

impl Gateway {
    /// What would become of a request with this head, from this machine by a way in for `purpose`.
    pub async fn explain(&self, parts: Parts, purpose: Purpose) -> Explanation {
        let mut told = Explanation::default();
        let scheme = if purpose == Purpose::Tls { Scheme::Https } else { Scheme::Http };
        let asked = Asked { id: RequestId::new(self.random), parts, purpose, scheme };
        if let Err(rejection) = self.follow(&asked, &mut told).await {
            let kind = kind(&asked.parts.method, &asked.parts.headers);
            let mut answer = answer_to(&rejection, asked.id, kind, &self.pages);
            self.finish(answer.headers_mut(), Author::Proxy, scheme);
            told.answer = Some(AnswerTold::own(&answer));
        }
        told
    }

    /// The walk, as far as it goes.
    async fn follow(&self, asked: &Asked, told: &mut Explanation) -> Result<(), Rejection> {
        let Asked { id, parts, purpose, scheme } = asked;
        let (id, purpose, scheme) = (*id, *purpose, *scheme);
        self.head_limits.check(parts)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let handshake = if scheme == Scheme::Https { Handshake::Open } else { Handshake::None };
        let peer = Peer { address, scheme, handshake, voice: Voice::Own };
        let context = view(parts, id, peer, Arrival::direct(address.ip(), scheme))?;
        let (place, path) = (context.authority.to_string(), context.target.path_and_query());
        told.request = Some(format!("{} {}://{place}{path}", context.method, scheme.as_str()));
        if let Some(port) = self.sent_on_to(purpose, &context, peer) {
            told.answer = Some(AnswerTold::own(&self.redirect_to_https(&context, port)?.response));
            return Ok(());
        }
        if let Some(endpoint) = self.endpoint(&context)? {
            told.endpoint = Some(format!("{endpoint:?}").to_lowercase());
            told.cookie = Some(CookieTold::of(&self.sessions.judge(&context, &parts.headers).await));
            return Ok(());
        }
        let route = self.route(&context)?;
        told.route = Some(RouteTold::of(route));
        told.sender = Some(sender(&self.cross_site.judge(&context, &parts.headers), route));
        self.check_sender(route, &context, &parts.headers)?;
        if route.asks_who() {
            told.cookie = Some(CookieTold::of(&self.sessions.judge(&context, &parts.headers).await));
        }
        let visitor = self.visitor(route, &context, &parts.headers).await?;
        let permit = self.permit(route, &context, &visitor)?;
        self.follow_upstream(&context, parts.headers.clone(), &permit, told)
    }

    fn follow_upstream(
        &self,
        context: &RequestContext,
        mut headers: HeaderMap,
        permit: &Permit,
        told: &mut Explanation,
    ) -> Result<(), Rejection> {
        let before = headers.clone();
        if count_hop(&context.method, &mut headers)? == Destination::Here {
            told.answer = Some(AnswerTold::own(&options_of(permit.route())));
            return Ok(());
        }
        let preview = self.upstreams.preview(permit, context, headers)?;
        told.upstream = Some(UpstreamTold {
            name: permit.route().upstream.to_string(),
            server: preview.server,
            line: format!("{} {}", preview.request.method(), preview.request.uri()),
            headers: Changes::between(&before, preview.request.headers()),
        });
        let answer = sample();
        let before = answer.headers().clone();
        let mut answered = self.harden(answer, context, permit);
        self.finish(answered.response.headers_mut(), answered.author, context.scheme);
        let headers = Changes::between(&before, answered.response.headers());
        told.answer = Some(AnswerTold { by: "application".into(), status: None, headers });
        Ok(())
    }
}

/// An answer such as a careless application gives.
fn sample() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    for (name, value) in [
        (CONTENT_TYPE, "text/html"),
        (SERVER, "application"),
        (HeaderName::from_static("x-powered-by"), "application"),
        (SET_COOKIE, "application=sample; Path=/"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
