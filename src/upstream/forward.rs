//! Forwarding: chooses a server, sends the request, hands its answer back.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;

use super::connection::{ALPN, Answer, Connection, Drivers, Lease, Server, connect};
use super::error::ForwardError;
use super::identity::IdentityWriter;
use super::intake::{BodyLimits, Verdict};
use super::pool::Pool;
use super::progress::Progress;
use super::request::{self, Rewriter};
use super::riding::Riding;
use super::tunnel::{Ends, Tunnels};
use crate::base::clock::Stopwatch;
use crate::config::{self, Activity};
use crate::http::websocket::{self, Handshake};
use crate::http::{Body, Cleansed, RequestContext, Scheme, hop_by_hop};
use crate::outgoing::{TlsClient, TlsError, TlsFiles};
use crate::policy::{OwnCookies, Permit};
use crate::session::{Live, Ride};
use crate::telemetry::{Audit, Event, Facts, Metrics};

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// All upstreams by their names.
#[derive(Debug)]
pub struct Upstreams {
    by_name: HashMap<String, Upstream>,
    rewriter: Rewriter,
    body_limits: BodyLimits,
    paths: Paths,
    audit: Audit,
    metrics: Arc<Metrics>,
}

/// What upstreams are put together from, beside their configuration.
#[derive(Debug)]
pub struct Parts {
    /// What applications learn of the user.
    pub identity: IdentityWriter,
    /// The cookies that they do not get.
    pub own_cookies: OwnCookies,
    /// How large a request's body may be, where its route says nothing else, and how slow.
    pub body_limits: BodyLimits,
    /// Who owns WebSockets.
    pub tunnels: Tunnels,
    /// What takes long rides on its session.
    pub live: Live,
    /// What counts as the use of a session.
    pub activity: Activity,
    /// Who hears of security events.
    pub audit: Audit,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What bytes pass on: connections, and what becomes of some.
#[derive(Debug)]
struct Paths {
    drivers: Drivers,
    tunnels: Tunnels,
    riding: Riding,
}

#[derive(Debug)]
struct Upstream {
    config: config::Upstream,
    pools: Vec<Arc<Pool>>,
    turn: AtomicUsize,
}

impl Upstreams {
    /// Upstreams as configured; connections are made when they are needed.
    ///
    /// # Errors
    /// Where a file that TLS needs cannot be used.
    pub fn new(upstreams: &[config::Upstream], parts: Parts) -> Result<Self, TlsError> {
        let named = |config: &config::Upstream| Ok((config.name.clone(), Upstream::new(config)?));
        let by_name = upstreams.iter().map(named).collect::<Result<_, TlsError>>()?;
        let rewriter = Rewriter { identity: parts.identity, own_cookies: parts.own_cookies };
        let riding = Riding { live: parts.live, activity: parts.activity };
        let paths = Paths { drivers: Drivers::default(), tunnels: parts.tunnels, riding };
        let Parts { body_limits, audit, metrics, .. } = parts;
        Ok(Self { by_name, rewriter, body_limits, paths, audit, metrics })
    }

    /// Sends a permitted request upstream. The answer's body still streams when this returns.
    ///
    /// # Errors
    /// Where there is no answer to hand on.
    pub async fn forward(
        &self,
        permit: &Permit,
        request: &RequestContext,
        mut incoming: Request<Incoming>,
    ) -> Result<Response<Body>, ForwardError> {
        let client = hyper::upgrade::on(&mut incoming);
        let (parts, body) = incoming.into_parts();
        let upgrade = Handshake::of(&parts).map(|handshake| Upgrade { handshake, client });
        let mut headers = parts.headers;
        let cleansed = self.rewriter.headers(&mut headers, request, permit);
        let cleansed = cleansed.map_err(|error| self.failed(error.into(), permit, request))?;
        self.report(&cleansed, permit, request);
        let upstream =
            self.by_name.get(&*permit.route().upstream).expect("routes were checked against upstreams");
        let order = Order { permit, request, upgrade: upgrade.as_ref(), paths: &self.paths };
        let bytes = permit.route().rule.body_bytes.unwrap_or(self.body_limits.bytes);
        let limits = BodyLimits { bytes, ..self.body_limits };
        let watch = Stopwatch::start();
        let ride = self.paths.riding.upload(permit, &body);
        let sending = pin!(upstream.send(order, Incomings { headers, body, limits }));
        let sent = match &ride {
            Some(ride) => ride.while_it_lasts(sending).await.ok_or(ForwardError::SessionOver)?,
            None => sending.await,
        };
        sent.inspect(|_| self.metrics.upstream_took(&permit.route().upstream, watch.elapsed()))
            .map_err(|error| self.failed(error, permit, request))
    }

    /// Notes a failure, whose reason the client does not learn.
    fn failed(&self, error: ForwardError, permit: &Permit, request: &RequestContext) -> ForwardError {
        let upstream = &permit.route().upstream;
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(upstream = &**upstream, request = %request.id, cause, "{error}");
        self.metrics.upstream_error(upstream, error.kind());
        error
    }

    /// Lets go of idle connections until `stop`, and then of all.
    pub async fn sweep(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(SWEEP_EVERY)).await.is_some() {
            self.by_name.values().flat_map(|upstream| &upstream.pools).for_each(|pool| pool.sweep());
        }
    }

    /// Closes every connection and waits for the tasks that drive them.
    pub async fn close(&self) {
        self.paths.drivers.abort.cancel();
        self.paths.drivers.tasks.close();
        self.paths.drivers.tasks.wait().await;
    }

    fn report(&self, cleansed: &Cleansed, permit: &Permit, request: &RequestContext) {
        let Some(name) = cleansed.spoofed.first() else { return };
        let session = permit.session();
        let facts = Facts {
            request_id: Some(request.id),
            user: session.map(|session| session.identity.user.as_str()),
            account: session.map(|session| &session.identity.account),
            handle: session.map(|session| session.handle),
            address: Some(request.client),
            reason: Some(name.as_str()),
            ..Facts::default()
        };
        self.audit.record(Event::IdentitySpoofed, &facts);
    }
}

/// Whether the files that TLS with an upstream's servers needs can be used.
///
/// # Errors
/// Where they cannot.
pub fn check(config: &config::Upstream) -> Result<(), TlsError> {
    tls(config).map(|_| ())
}

/// TLS with an upstream's servers; `None` where none of them speaks it.
fn tls(config: &config::Upstream) -> Result<Option<TlsClient>, TlsError> {
    config.speaks_tls().then(|| TlsFiles::new(&config.tls)?.client(&ALPN)).transpose()
}

impl Upstream {
    fn new(config: &config::Upstream) -> Result<Self, TlsError> {
        let tls = tls(config)?;
        let pool = |url: &config::ServerUrl| {
            let client = || tls.clone().expect("there is one where a server speaks TLS");
            let tls = (url.scheme == Scheme::Https).then(client);
            Arc::new(Pool::new(Server { url: url.clone(), tls }, config.idle_timeout))
        };
        let pools = config.servers.iter().map(pool).collect();
        Ok(Self { config: config.clone(), pools, turn: AtomicUsize::new(0) })
    }

    /// The servers, the one with the fewest requests under way first; those alike take turns.
    fn servers(&self) -> Vec<&Arc<Pool>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.pools.len();
        let mut pools: Vec<_> = self.pools[turn..].iter().chain(&self.pools[..turn]).collect();
        pools.sort_by_key(|pool| pool.busy());
        pools
    }

    async fn send(&self, order: Order<'_>, incoming: Incomings) -> Result<Response<Body>, ForwardError> {
        let Incomings { headers, body, limits } = incoming;
        let (progress, verdict) = (Progress::start(), Verdict::default());
        let body = request::body(body, limits, &progress, &verdict)?;
        let repeatable = body.is_end_stream() && order.request.method.is_idempotent();
        let mut message = Message { headers, body };
        let mut failed = None;
        for pool in self.servers() {
            let exchange = Exchange { upstream: &self.config, pool, order, progress: &progress };
            match exchange.run(message, repeatable).await {
                Ok(answer) => return Ok(answer),
                Err((error, _)) if verdict.get().is_some() => {
                    failed = Some(error);
                    break;
                }
                Err((error, Some(unsent))) => (message, failed) = (unsent, Some(error)),
                Err((error, None)) => return Err(error),
            }
        }
        // Where the body was at fault, whatever came of it at the server was not.
        let of_body = verdict.get().map(|fault| (*fault).into());
        Err(of_body.or(failed).expect("an upstream has at least one server"))
    }
}

/// A client's wish for a WebSocket, and its end of it.
struct Upgrade {
    handshake: Handshake,
    client: OnUpgrade,
}

/// What a request is, whichever server gets it.
#[derive(Clone, Copy)]
struct Order<'a> {
    permit: &'a Permit,
    request: &'a RequestContext,
    upgrade: Option<&'a Upgrade>,
    paths: &'a Paths,
}

/// What came in.
struct Incomings {
    headers: HeaderMap,
    body: Incoming,
    limits: BodyLimits,
}

/// What is to be sent.
struct Message {
    headers: HeaderMap,
    body: Body,
}

/// An error, with the message where no server has seen a byte of it.
type Failure = (ForwardError, Option<Message>);

/// One request at one server.
struct Exchange<'a> {
    upstream: &'a config::Upstream,
    pool: &'a Arc<Pool>,
    order: Order<'a>,
    progress: &'a Progress,
}

impl Exchange<'_> {
    /// Sends on a pooled connection; on a new one where there is none, or where it turns out to be closed.
    async fn run(&self, message: Message, repeatable: bool) -> Result<Response<Body>, Failure> {
        let _busy = self.pool.occupy();
        let Some(pooled) = self.pool.take().await else { return self.on_new_connection(message).await };
        let copy = repeatable.then(|| message.headers.clone());
        match self.on(pooled, message).await {
            Err((ForwardError::Broken(_), Some(unsent))) => self.on_new_connection(unsent).await,
            // It may have been seen, but seeing it twice does no harm.
            Err((ForwardError::Broken(error), None)) => match copy {
                Some(headers) => self.on_new_connection(Message { headers, body: Body::empty() }).await,
                None => Err((ForwardError::Broken(error), None)),
            },
            other => other,
        }
    }

    async fn on_new_connection(&self, message: Message) -> Result<Response<Body>, Failure> {
        match connect(&self.pool.server, self.upstream.connect_timeout, &self.order.paths.drivers).await {
            Ok(connection) => self.on(connection, message).await,
            Err(error) => Err((error, Some(message))),
        }
    }

    async fn on(&self, mut connection: Connection, message: Message) -> Result<Response<Body>, Failure> {
        let server = (&self.pool.server.url, self.upstream.host);
        let mut built =
            request::build(message.headers, message.body, self.order.request, self.order.permit, server);
        if let Some(upgrade) = self.order.upgrade {
            upgrade.handshake.ask(built.headers_mut());
        }
        // What connecting took is no part of the upstream's time to answer.
        self.progress.note();
        let answer = connection.requests.try_send_request(built);
        match self.progress.wait(self.upstream.response_timeout, answer).await {
            Err(_) => Err((ForwardError::Timeout, None)),
            Ok(Err(mut error)) => {
                let unsent = error.take_message().map(Message::of);
                Err((ForwardError::Broken(error.into_error()), unsent))
            }
            Ok(Ok(answer)) if !has_one_length(answer.headers()) => Err((ForwardError::TwoLengths, None)),
            Ok(Ok(answer)) => {
                let lease = Lease::new(connection, self.pool);
                match answer.status() {
                    StatusCode::SWITCHING_PROTOCOLS => {
                        self.switch(answer, lease).map_err(|error| (error, None))
                    }
                    _ => Ok(self.hand_on(answer, lease)),
                }
            }
        }
    }

    fn hand_on(&self, answer: Response<Incoming>, lease: Lease) -> Response<Body> {
        let (mut parts, body) = answer.into_parts();
        // What the server speaks is no matter of the client's.
        parts.version = Version::HTTP_11;
        hop_by_hop::remove(&mut parts.headers);
        let ride = self.order.paths.riding.answer(self.order.permit, &body, self.progress);
        let over = ride.as_ref().map(Ride::over);
        let mut body = Body::stream(Answer::new(body, lease, self.progress.clone(), ride));
        if let Some(over) = over {
            body = body.cut_off_at(over);
        }
        Response::from_parts(parts, body)
    }

    /// From here on the connection is a tunnel, where the server granted what the client wished.
    fn switch(&self, mut answer: Response<Incoming>, lease: Lease) -> Result<Response<Body>, ForwardError> {
        let granted = self.order.upgrade.filter(|upgrade| upgrade.handshake.is_granted_by(answer.headers()));
        let Upgrade { client, .. } = granted.ok_or(ForwardError::UnaskedSwitch)?;
        let ends = Ends { client: client.clone(), server: hyper::upgrade::on(&mut answer) };
        let rider = self.order.paths.riding.tunnel(self.order.permit);
        self.order.paths.tunnels.open(ends, lease, rider);
        let mut answer = answer.map(|_| Body::empty());
        hop_by_hop::remove(answer.headers_mut());
        answer.headers_mut().remove(CONTENT_LENGTH);
        websocket::switch(answer.headers_mut());
        Ok(answer)
    }
}

/// Whether an answer's end can be found in one way only: hyper goes by the transfer coding where there is a
/// length as well, and takes codings that it cannot undo (RFC 9112 §6.3).
fn has_one_length(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && codings.next().is_none()
        && !headers.contains_key(CONTENT_LENGTH)
}

impl Message {
    fn of(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        Self { headers: parts.headers, body }
    }
}
