//! Where requests come in and answers go out: what holds for every answer is done here and nowhere else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{CONNECTION, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use hyper::body::Incoming;

use super::context::view;
use super::crossing;
use super::panic::{Panicked, without_panic};
use super::rejection::{Rejection, answer_to};
use super::trace::Trace;
use super::walk::{Answered, Author, Gateway};
use crate::base::clock::Stopwatch;
use crate::base::request_id::RequestId;
use crate::config::Mode;
use crate::http::{Arrival, Body, Problem, RequestContext, Scheme, Watcher, kind};
use crate::listener::{Belongings, Handler, Handshake, Peer, Voice};
use crate::session::Session;
use crate::telemetry::{Access, AccessLog, Metrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The gateway of the moment: a reload puts another in its place.
pub type CurrentGateway = ArcSwap<Gateway>;

/// A way into the gateway of the moment.
#[derive(Clone, Debug)]
pub struct Entrance {
    current: Arc<CurrentGateway>,
    purpose: Purpose,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What comes over TLS is served; what does not is sent on to it.
    Tls,
    /// What came to a trusted proxy by https is served, and what did not is sent on to it; on a developer's own machine
    /// all is served.
    Plain,
    /// All is sent on to https.
    RedirectToHttps,
}

impl Entrance {
    /// A way in for this purpose.
    pub fn new(current: Arc<CurrentGateway>, purpose: Purpose) -> Self {
        Self { current, purpose }
    }
}

impl Handler for Entrance {
    #[expect(clippy::large_futures, reason = "the listener keeps each request's future in a box of its own")]
    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        Passage { gateway: self.current.load_full(), purpose: self.purpose }.answer(request, peer).await
    }
}

/// Where a request comes from.
struct Whence {
    peer: Peer,
    /// As far as trusted proxies say.
    arrival: Result<Arrival, Rejection>,
}

/// One request's way through the gateway that it began with.
struct Passage {
    gateway: Arc<Gateway>,
    purpose: Purpose,
}

impl Passage {
    async fn pass(
        &self,
        request: Request<Incoming>,
        id: RequestId,
        whence: Whence,
        trace: &mut Trace,
    ) -> Answered {
        let Whence { peer, arrival } = whence;
        let (mut parts, body) = request.into_parts();
        if self.gateway.trusted_proxies.trust(peer.address.ip()) {
            // A proxy's connection is that of many clients.
            parts.extensions.remove::<Belongings>();
        }
        let kind = kind(&parts.method, &parts.headers);
        let context = match arrival.and_then(|arrival| view(&parts, id, peer, arrival)) {
            Ok(context) => context,
            Err(rejection) => return answer_to(&rejection, id, kind, &self.gateway.pages).into(),
        };
        trace.request(&context);
        let wants_a_tunnel = crossing::has_entered(&parts);
        let request = Request::from_parts(parts, body);
        let passed = self.walk(&context, request, peer, trace).await.and_then(|answered| {
            // Where there is no tunnel, a success would say that there is one.
            let misleads = wants_a_tunnel && answered.response.status().is_success();
            if misleads { Err(Rejection::Problem(Problem::BadRequest)) } else { Ok(answered) }
        });
        passed.unwrap_or_else(|rejection| answer_to(&rejection, id, kind, &self.gateway.pages).into())
    }

    /// Where a request comes from. A head that is too large is not read for it.
    fn arrival(&self, parts: &Parts, peer: Peer) -> Result<Arrival, Rejection> {
        self.gateway.head_limits.check(parts)?;
        let address = peer.address.ip();
        if peer.voice == Voice::Anothers {
            return Ok(Arrival::direct(address, peer.scheme));
        }
        let arrival = Arrival::of(&parts.headers, address, peer.scheme, &self.gateway.trusted_proxies);
        arrival.map_err(|error| {
            if self.gateway.refused_words.is_due() {
                tracing::warn!(proxy = %address, "a trusted proxy's word is refused: {error}");
            }
            error.into()
        })
    }

    async fn walk(
        &self,
        context: &RequestContext,
        request: Request<Incoming>,
        peer: Peer,
        trace: &mut Trace,
    ) -> Result<Answered, Rejection> {
        if let Some(port) = self.gateway.sent_on_to(self.purpose, context, peer) {
            let sent_on = self.gateway.redirect_to_https(context, port)?;
            if self.gateway.rounds.is_one_too_many(context, request.headers()) {
                return Err(Rejection::Problem(Problem::HttpsLoop));
            }
            return Ok(sent_on);
        }
        self.gateway.check_handshake(context, peer.handshake)?;
        self.gateway.walk(context, request, trace).await
    }

    async fn answer(&self, mut request: Request<Incoming>, peer: Peer) -> Response<Body> {
        crossing::enter(&mut request, self.gateway.random);
        let id = RequestId::new(self.gateway.random);
        let (method, version) = (request.method().clone(), request.version());
        let (parts, body) = request.into_parts();
        let arrival = self.arrival(&parts, peer);
        let request = Request::from_parts(parts, body);
        let (client, scheme) = match &arrival {
            Ok(arrival) => (arrival.client, arrival.scheme),
            Err(_) => (peer.address.ip(), peer.scheme),
        };
        let mut line = Line::begin(&request, id, client, &self.gateway);
        let kind = kind(&method, request.headers());
        let mut trace = Trace::begin(&self.gateway, client);
        let whence = Whence { peer, arrival };
        let passed = without_panic(self.pass(request, id, whence, &mut trace)).await;
        let Answered { mut response, author, route, session } = passed.unwrap_or_else(|Panicked| {
            answer_to(&Rejection::Problem(Problem::InternalError), id, kind, &self.gateway.pages).into()
        });
        let headers = response.headers_mut();
        self.gateway.finish(headers, author, scheme);
        if version == Version::HTTP_2 {
            // It frames each message by itself and knows no such header (RFC 9113 §8.2.2).
            headers.remove(CONNECTION);
        }
        headers.insert(REQUEST_ID, HeaderValue::from_str(&id.to_string()).expect("hexadecimal digits"));
        trace.end(&self.gateway, id, &response, author);
        self.gateway.metrics.request(&route, &method, response.status().as_u16());
        line.answered(&response, session.as_deref());
        if version == Version::HTTP_2 {
            crossing::leave(&mut response);
        }
        response.map(|body| body.watched(line))
    }
}

impl Gateway {
    /// The port of the https that a request should have come by; `None` where it did, or need not.
    pub(super) fn sent_on_to(&self, purpose: Purpose, context: &RequestContext, peer: Peer) -> Option<u16> {
        let port = self.public_port;
        match purpose {
            // In the clear at the TLS port: whatever a proxy said of it, its next hop was read along.
            Purpose::Tls if peer.handshake == Handshake::None => {
                Some(context.authority.port().unwrap_or(port))
            }
            Purpose::Plain if self.mode == Mode::Development => None,
            Purpose::Tls | Purpose::Plain => (context.scheme == Scheme::Http).then_some(port),
            Purpose::RedirectToHttps => Some(port),
        }
    }

    /// What holds for every answer.
    pub(super) fn finish(&self, headers: &mut HeaderMap, author: Author, scheme: Scheme) {
        if author == Author::Proxy {
            self.headers.dress(headers);
        }
        if scheme == Scheme::Https {
            self.hsts.apply(headers);
        }
    }
}

/// A request's line in the access log: written when it is dropped, which is when the answer's body is over,
/// whichever way, or when the client has gone away before there was an answer.
struct Line {
    access: Access,
    log: AccessLog,
    metrics: Arc<Metrics>,
    watch: Stopwatch,
}

/// The status of a request whose client did not wait for an answer, as nginx logs it.
const CLIENT_GONE: u16 = 499;

impl Line {
    fn begin(request: &Request<Incoming>, id: RequestId, client: IpAddr, gateway: &Gateway) -> Self {
        let uri = request.uri();
        let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let access = Access {
            request_id: id,
            client,
            method: request.method().to_string(),
            host: uri.authority().map(http::uri::Authority::as_str).or(header).map(ToOwned::to_owned),
            path: uri.path().to_owned(),
            status: CLIENT_GONE,
            bytes: 0,
            complete: false,
            took: Duration::ZERO,
            session: None,
            user: None,
        };
        let (log, metrics) = (gateway.access_log.clone(), Arc::clone(&gateway.metrics));
        Self { access, log, metrics, watch: Stopwatch::start() }
    }

    fn answered(&mut self, response: &Response<Body>, session: Option<&Session>) {
        self.access.status = response.status().as_u16();
        // The body of an answer to HEAD is never asked for.
        self.access.complete = self.access.method == "HEAD";
        self.access.session = session.map(|session| session.handle);
        self.access.user = session.map(|session| session.identity.user.clone());
    }
}

impl Watcher for Line {
    fn passed(&mut self, bytes: usize) {
        self.access.bytes += bytes as u64;
    }

    fn ended(&mut self) {
        self.access.complete = true;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.access.took = self.watch.elapsed();
        self.metrics.request_took(self.access.took);
        self.log.record(&self.access);
    }
}
