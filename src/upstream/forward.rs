//! Forwarding: chooses a server, sends the request, hands its answer back.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::connection::{Answer, Drivers, Sender, connect};
use super::identity::{IdentityWriter, UnfitForHeader};
use super::intake::{BodyFault, BodyLimits, Verdict};
use super::pool::Pool;
use super::progress::Progress;
use super::request::{self, Rewriter};
use crate::base::clock::Stopwatch;
use crate::config;
use crate::http::{Body, Cleansed, RequestContext, hop_by_hop};
use crate::policy::{OwnCookies, Permit};
use crate::telemetry::{Audit, Event, Facts, Metrics};

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// All upstreams by their names.
#[derive(Debug)]
pub struct Upstreams {
    by_name: HashMap<String, Upstream>,
    rewriter: Rewriter,
    body_limits: BodyLimits,
    drivers: Drivers,
    audit: Audit,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Upstream {
    config: config::Upstream,
    pools: Vec<Arc<Pool>>,
    turn: AtomicUsize,
}

/// Why there is no answer from an upstream.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// It cannot be reached.
    #[error("the upstream cannot be reached")]
    Connect(#[source] io::Error),
    /// It did not accept the connection in time.
    #[error("the upstream did not accept the connection in time")]
    ConnectTimeout,
    /// It closed the connection, or answered what is no HTTP.
    #[error("the upstream broke off or answered garbage")]
    Broken(#[source] hyper::Error),
    /// It switched protocols although nobody asked.
    #[error("the upstream switched protocols unasked")]
    UnaskedSwitch,
    /// Its answer says in two ways where it ends.
    #[error("the upstream's answer can be framed in two ways")]
    TwoLengths,
    /// Its answer did not begin in time.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// The request's own body is at fault.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// What it has to be told about the user cannot be told.
    #[error(transparent)]
    Identity(#[from] UnfitForHeader),
}

impl ForwardError {
    /// The word for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::ConnectTimeout => "connect-timeout",
            Self::Broken(_) => "broken",
            Self::UnaskedSwitch => "switch",
            Self::TwoLengths => "framing",
            Self::Timeout => "timeout",
            Self::Body(_) => "body",
            Self::Identity(_) => "identity",
        }
    }
}

impl Upstreams {
    /// Upstreams as configured; connections are made when they are needed.
    pub fn new(
        upstreams: &[config::Upstream],
        identity: IdentityWriter,
        own_cookies: OwnCookies,
        body_limits: BodyLimits,
        (audit, metrics): (Audit, Arc<Metrics>),
    ) -> Self {
        let by_name = upstreams.iter().map(|config| (config.name.clone(), Upstream::new(config))).collect();
        let rewriter = Rewriter { identity, own_cookies };
        Self { by_name, rewriter, body_limits, drivers: Drivers::default(), audit, metrics }
    }

    /// Sends a permitted request upstream. The answer's body still streams when this returns.
    ///
    /// # Errors
    /// Where there is no answer to hand on.
    pub async fn forward(
        &self,
        permit: &Permit,
        request: &RequestContext,
        incoming: Request<Incoming>,
    ) -> Result<Response<Body>, ForwardError> {
        let (parts, body) = incoming.into_parts();
        let mut headers = parts.headers;
        let cleansed = self.rewriter.headers(&mut headers, request, permit);
        let cleansed = cleansed.map_err(|error| self.failed(error.into(), permit, request))?;
        self.report(&cleansed, permit, request);
        let upstream =
            self.by_name.get(&*permit.route().upstream).expect("routes were checked against upstreams");
        let watch = Stopwatch::start();
        let bytes = permit.route().rule.body_bytes.unwrap_or(self.body_limits.bytes);
        let limits = BodyLimits { bytes, ..self.body_limits };
        let sent = upstream.send(permit, request, (headers, body, limits), &self.drivers).await;
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
        self.drivers.abort.cancel();
        self.drivers.tasks.close();
        self.drivers.tasks.wait().await;
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
        };
        self.audit.record(Event::IdentitySpoofed, &facts);
    }
}

impl Upstream {
    fn new(config: &config::Upstream) -> Self {
        let pool = |server: &config::ServerUrl| Arc::new(Pool::new(server.clone(), config.idle_timeout));
        let pools = config.servers.iter().map(pool).collect();
        Self { config: config.clone(), pools, turn: AtomicUsize::new(0) }
    }

    /// The servers, the one with the fewest requests under way first; those alike take turns.
    fn servers(&self) -> Vec<&Arc<Pool>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.pools.len();
        let mut pools: Vec<_> = self.pools[turn..].iter().chain(&self.pools[..turn]).collect();
        pools.sort_by_key(|pool| pool.busy());
        pools
    }

    async fn send(
        &self,
        permit: &Permit,
        request: &RequestContext,
        (headers, body, limits): (HeaderMap, Incoming, BodyLimits),
        drivers: &Drivers,
    ) -> Result<Response<Body>, ForwardError> {
        let progress = Progress::start();
        let verdict = Verdict::default();
        let body = request::body(body, limits, &progress, &verdict)?;
        let repeatable = body.is_end_stream() && request.method.is_idempotent();
        let mut message = Message { headers, body };
        let mut failed = None;
        for pool in self.servers() {
            let exchange =
                Exchange { upstream: &self.config, pool, permit, request, progress: &progress, drivers };
            match exchange.run(message, repeatable).await {
                Ok(answer) => return Ok(answer),
                Err(_) if verdict.get().is_some() => break,
                Err((error, Some(unsent))) => (message, failed) = (unsent, Some(error)),
                Err((error, None)) => return Err(error),
            }
        }
        match verdict.get() {
            Some(fault) => Err((*fault).into()),
            None => Err(failed.expect("an upstream has at least one server")),
        }
    }
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
    permit: &'a Permit,
    request: &'a RequestContext,
    progress: &'a Progress,
    drivers: &'a Drivers,
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
        match connect(&self.pool.server, self.upstream.connect_timeout, self.drivers).await {
            Ok(sender) => self.on(sender, message).await,
            Err(error) => Err((error, Some(message))),
        }
    }

    async fn on(&self, mut sender: Sender, message: Message) -> Result<Response<Body>, Failure> {
        let server = (&self.pool.server, self.upstream.host);
        let built = request::build(message.headers, message.body, self.request, self.permit, server);
        // What connecting took is no part of the upstream's time to answer.
        self.progress.note();
        let answer = self.progress.wait(self.upstream.response_timeout, sender.try_send_request(built)).await;
        match answer {
            Err(_) => Err((ForwardError::Timeout, None)),
            Ok(Err(mut error)) => {
                let unsent = error.take_message().map(Message::of);
                Err((ForwardError::Broken(error.into_error()), unsent))
            }
            Ok(Ok(answer)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err((ForwardError::UnaskedSwitch, None))
            }
            Ok(Ok(answer)) if !has_one_length(answer.headers()) => Err((ForwardError::TwoLengths, None)),
            Ok(Ok(answer)) => Ok(self.hand_on(answer, sender)),
        }
    }

    fn hand_on(&self, answer: Response<Incoming>, sender: Sender) -> Response<Body> {
        let (mut parts, body) = answer.into_parts();
        hop_by_hop::remove(&mut parts.headers);
        Response::from_parts(parts, Body::stream(Answer::new(body, sender, Arc::clone(self.pool))))
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
