//! What would become of a request, stage by stage, by the code that serves; nothing is sent and nothing changed.

use std::net::{Ipv4Addr, SocketAddr};

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SERVER, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use serde::Serialize;

use super::context::view;
use super::entrance::Purpose;
use super::rejection::{Rejection, answer_to};
use super::walk::{Author, Gateway, options_of};
use crate::base::request_id::RequestId;
use crate::base::signed::Verified;
use crate::config::{Access, HostPattern};
use crate::http::{Arrival, Body, Destination, RequestContext, Scheme, cookies, count_hop, kind};
use crate::listener::{Handshake, Peer, Voice};
use crate::policy::{Permit, Route, Verdict};
use crate::session::Judged;
use crate::telemetry::CookieVerdict;

/// What would become of a request. Stages that it does not come to are absent.
#[derive(Debug, Default, Serialize)]
pub struct Explanation {
    /// What the proxy takes it for: method, scheme, host and path, all of them in their one form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Which of the proxy's own pages it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Which route it takes, and what that asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteTold>,
    /// Whether another site's page may have sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// What its cookies come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<CookieTold>,
    /// What the upstream would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamTold>,
    /// What the browser would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerTold>,
}

/// A route, and what it asks for.
#[derive(Debug, Serialize)]
pub struct RouteTold {
    /// Its `host`.
    pub host: String,
    /// Its `path`.
    pub path: String,
    /// Its `access`.
    pub access: &'static str,
    /// Its `groups`.
    pub groups: Vec<String>,
    /// Its `users`.
    pub users: Vec<String>,
    /// Its `methods`; empty: all.
    pub methods: Vec<String>,
}

/// What cookies come to.
#[derive(Debug, Serialize)]
pub struct CookieTold {
    /// The word that metrics have for it.
    pub verdict: &'static str,
    /// What that means.
    pub meaning: &'static str,
    /// The sessions that the signatures vouch for.
    pub vouched: Vec<VouchedTold>,
    /// Whose session is alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// A session that a signature vouches for.
#[derive(Debug, Serialize)]
pub struct VouchedTold {
    /// Its handle.
    pub handle: String,
    /// The key of the secret that signed: `session.secret` or `session.previous_secrets`.
    pub secret: &'static str,
}

/// What an upstream gets.
#[derive(Debug, Serialize)]
pub struct UpstreamTold {
    /// Its name.
    pub name: String,
    /// The first of its servers.
    pub server: String,
    /// Method and path, as they are sent.
    pub line: String,
    /// What becomes of the headers.
    #[serde(flatten)]
    pub headers: Changes,
}

/// What a browser gets.
#[derive(Debug, Serialize)]
pub struct AnswerTold {
    /// Whose answer it is: `proxy`; `application`, and what becomes of one that an application could give.
    pub by: &'static str,
    /// The proxy's status; the application's own is left as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What becomes of the headers.
    #[serde(flatten)]
    pub headers: Changes,
}

/// What becomes of headers. Values that are credentials are not told.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Lines that go.
    pub removed: Vec<String>,
    /// Lines that come, or change.
    pub set: Vec<String>,
}

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
        told.sender = Some(match self.cross_site.judge(&context, &parts.headers) {
            Verdict::Pass => "nothing says that another site sent it".to_owned(),
            Verdict::Refuse(suspicion) => {
                let (by, mode) = (suspicion.evidence.as_str(), route.rule.csrf);
                format!("another site sent it, says {by}: {}; csrf is {mode:?}", suspicion.sender)
                    .to_lowercase()
            }
        });
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
        told.answer = Some(AnswerTold { by: "application", status: None, headers });
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

impl RouteTold {
    fn of(route: &Route) -> Self {
        let rule = &route.rule;
        Self {
            host: match &rule.host {
                HostPattern::Exact(host) => host.clone(),
                HostPattern::Subdomains(suffix) => format!("*{suffix}"),
                HostPattern::Any => "*".to_owned(),
            },
            path: rule.path.clone(),
            access: match rule.access {
                Access::Public => "public",
                Access::Optional => "optional",
                Access::Authenticated => "authenticated",
            },
            groups: rule.groups.clone(),
            users: rule.users.clone(),
            methods: rule.methods.iter().map(ToString::to_string).collect(),
        }
    }
}

impl CookieTold {
    fn of(judged: &Judged) -> Self {
        let vouched = judged.vouched.iter().map(|(handle, under)| VouchedTold {
            handle: handle.to_string(),
            secret: match under {
                Verified::Current => "session.secret",
                Verified::Previous => "session.previous_secrets",
            },
        });
        let identity = judged.session.as_ref().map(|session| &session.identity);
        Self {
            verdict: judged.verdict.as_str(),
            meaning: meaning(judged.verdict),
            vouched: vouched.collect(),
            user: identity.map(|identity| identity.user.clone()),
            groups: identity.map(|identity| identity.groups.clone()).unwrap_or_default(),
        }
    }
}

fn meaning(verdict: CookieVerdict) -> &'static str {
    match verdict {
        CookieVerdict::Valid => "the session is alive",
        CookieVerdict::OldKey => "the session is alive; the browser is due a cookie under session.secret",
        CookieVerdict::Absent => "no cookie of the name of session.cookie.name",
        CookieVerdict::Malformed => "not of the form id.timestamp.signature",
        CookieVerdict::Forged => "no secret of ours signed it for this host and this cookie's name",
        CookieVerdict::Aged => "ours, but older than any session can be, or from the future",
        CookieVerdict::Ended => "ours, but the session is over, or bound to another browser or network",
        CookieVerdict::Unavailable => "ours, but nobody can tell here whether the session is alive",
    }
}

impl AnswerTold {
    fn own(answer: &Response<Body>) -> Self {
        let headers = Changes::between(&HeaderMap::new(), answer.headers());
        Self { by: "proxy", status: Some(answer.status().as_u16()), headers }
    }
}

impl Changes {
    fn between(before: &HeaderMap, after: &HeaderMap) -> Self {
        let lines = |map: &HeaderMap, other: &HeaderMap| {
            let changed =
                map.iter().filter(|(name, value)| !other.get_all(*name).iter().any(|it| it == *value));
            changed.map(|(name, value)| told(name, value)).collect::<Vec<_>>()
        };
        Self { removed: lines(before, after), set: lines(after, before) }
    }
}

fn told(name: &HeaderName, value: &HeaderValue) -> String {
    match *name {
        COOKIE => {
            let pairs = value.as_bytes().split(|byte| *byte == b';').map(cookies::sent_name);
            let names: Vec<_> = pairs.map(String::from_utf8_lossy).collect();
            format!("{name}: {} (values not told)", names.join(", "))
        }
        AUTHORIZATION => format!("{name}: (not told)"),
        _ => format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())),
    }
}
