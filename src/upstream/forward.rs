//! Forwarding: chooses a server, sends the request, hands its answer back.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use tokio_util::sync::CancellationToken;

use super::bonds::Bonds;
use super::connection::Drivers;
use super::error::ForwardError;
use super::exchange::{Authenticates, Exchange, Message, Order, Paths, Upgrade};
use super::identity::IdentityWriter;
use super::intake::{BodyLimits, Verdict};
use super::pool::Pool;
use super::progress::Progress;
use super::request::{self, Rewriter};
use super::request_body::RequestBody;
use super::riding::{Length, Riding};
use super::servers::Servers;
use super::tunnel::Tunnels;
use crate::base::clock::Stopwatch;
use crate::config::{self, Activity};
use crate::http::websocket::Handshake;
use crate::http::{Body, Cleansed, Origin, PublicAddress, RequestContext};
use crate::listener::Belongings;
use crate::outgoing::TlsError;
use crate::policy::{CookiePolicy, Permit};
use crate::session::Live;
use crate::telemetry::{Audit, Event, Facts, Metrics};

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// All upstreams by their names.
#[derive(Debug)]
pub struct Upstreams {
    pub(super) by_name: HashMap<String, Upstream>,
    pub(super) rewriter: Rewriter,
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
    /// The cookies that they get.
    pub cookies: Arc<CookiePolicy>,
    /// How large a request's body may be, where its route says nothing else, and how slow.
    pub body_limits: BodyLimits,
    /// Who owns connections.
    pub drivers: Drivers,
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

#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) config: config::Upstream,
    servers: Arc<Servers>,
    /// What its servers call themselves where they do not go by `Host`.
    origins: Vec<Origin>,
}

impl Upstreams {
    /// Upstreams as configured; connections are made when they are needed. What is as it was in `before` keeps its
    /// connections, and what is known of its servers.
    ///
    /// # Errors
    /// Where a file that TLS needs cannot be used.
    pub fn new(
        upstreams: &[config::Upstream],
        before: Option<&Self>,
        parts: Parts,
    ) -> Result<Self, TlsError> {
        let named = |config: &config::Upstream| {
            let servers = match before.and_then(|before| before.unchanged(config)) {
                Some(servers) => servers,
                None => Arc::new(Servers::new(config, &parts.metrics)?),
            };
            Ok((config.name.clone(), Upstream::new(config, servers)))
        };
        let by_name = upstreams.iter().map(named).collect::<Result<_, TlsError>>()?;
        let rewriter = Rewriter { identity: parts.identity, cookies: parts.cookies };
        let riding = Riding { live: parts.live, activity: parts.activity };
        let paths = Paths { drivers: parts.drivers, tunnels: parts.tunnels, riding };
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
        mut incoming: Request<RequestBody>,
    ) -> Result<Response<Body>, ForwardError> {
        let client = hyper::upgrade::on(&mut incoming);
        let bonds: Bonds = incoming.extensions().get().map(Belongings::of).unwrap_or_default();
        let (parts, body) = incoming.into_parts();
        let upgrade = Handshake::of(&parts).map(|handshake| Upgrade { handshake, client });
        let mut headers = parts.headers;
        let cleansed = self.rewriter.headers(&mut headers, request, permit);
        let cleansed = cleansed.map_err(|error| self.failed(error.into(), permit, request))?;
        self.report(&cleansed, permit, request);
        let upstream =
            self.by_name.get(&*permit.route().upstream).expect("routes were checked against upstreams");
        let authenticates = Authenticates::of(&headers);
        let (upgrade, paths) = (upgrade.as_ref(), &self.paths);
        let order = Order { permit, request, upgrade, bonds: &bonds, authenticates, paths };
        let bytes = permit.route().rule.body_bytes.unwrap_or(self.body_limits.bytes);
        let limits = BodyLimits { bytes, ..self.body_limits };
        let watch = Stopwatch::start();
        let length = Length::of(&body);
        let sending = pin!(upstream.send(order, Incomings { headers, body, limits }));
        let sent = self.paths.riding.until_answered(permit, length, sending).await;
        let mut answer =
            sent.ok_or(ForwardError::SessionOver)?.map_err(|error| self.failed(error, permit, request))?;
        self.metrics.upstream_took(&permit.route().upstream, watch.elapsed());
        upstream.public_address(permit, request).publish(answer.headers_mut());
        Ok(answer)
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
            self.by_name.values().flat_map(|upstream| &upstream.servers.pools).for_each(|pool| pool.sweep());
        }
    }

    /// No metric tells of servers any more that are not among those of `successor`.
    pub fn forget_servers_unknown_to(&self, successor: &Self) {
        for (name, upstream) in &self.by_name {
            let after = successor.by_name.get(name).map_or(&[][..], |upstream| &upstream.config.servers);
            for server in upstream.config.servers.iter().filter(|server| !after.contains(server)) {
                self.metrics.forget_upstream_server(name, &server.to_string());
            }
        }
    }

    /// The upstreams none of whose servers gets requests.
    pub fn down(&self) -> Vec<&str> {
        let all = self.by_name.iter().filter(|(_, upstream)| !upstream.servers.any_is_in());
        let mut names: Vec<&str> = all.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn drivers(&self) -> Drivers {
        self.paths.drivers.clone()
    }

    pub(super) fn pools_with_health(&self) -> impl Iterator<Item = (Arc<Pool>, &config::Health)> {
        self.by_name.values().flat_map(|upstream| {
            upstream.servers.pools.iter().map(|pool| (Arc::clone(pool), &upstream.config.health))
        })
    }

    /// The servers of an upstream that is as it was. Files that TLS needs may have changed under their names.
    fn unchanged(&self, config: &config::Upstream) -> Option<Arc<Servers>> {
        let known = self.by_name.get(&config.name)?;
        let is_same = known.config == *config && config.tls == config::ClientTls::default();
        is_same.then(|| Arc::clone(&known.servers))
    }

    fn report(&self, cleansed: &Cleansed, permit: &Permit, request: &RequestContext) {
        let Some(name) = cleansed.spoofed.first() else { return };
        let about = Facts { reason: Some(name.as_str()), ..Facts::of(request) };
        let facts = permit.session().map_or(about, |session| session.facts(about));
        self.audit.record(Event::IdentitySpoofed, &facts);
    }
}

impl Upstream {
    fn new(config: &config::Upstream, servers: Arc<Servers>) -> Self {
        let origins = config.servers.iter().filter_map(|server| Origin::parse(&server.origin()));
        Self { config: config.clone(), servers, origins: origins.collect() }
    }

    fn public_address<'a>(&'a self, permit: &'a Permit, request: &'a RequestContext) -> PublicAddress<'a> {
        let rule = &permit.route().rule;
        PublicAddress {
            servers: &self.origins,
            scheme: request.scheme,
            authority: &request.authority,
            mount: if rule.strip_prefix { &rule.path } else { "/" },
        }
    }

    async fn send(&self, order: Order<'_>, incoming: Incomings) -> Result<Response<Body>, ForwardError> {
        let Incomings { headers, body, limits } = incoming;
        let (progress, verdict) = (Progress::start(), Verdict::default());
        let body = request::body(body, limits, &progress, &verdict)?;
        let repeatable = body.is_end_stream() && order.request.method.is_idempotent();
        let mut message = Message { headers, body };
        let mut failed = ForwardError::Down;
        let mut exchange = Exchange {
            upstream: &self.config,
            order,
            progress: &progress,
            retries: self.config.retries,
            verdict: &verdict,
            waiting: Stopwatch::start(),
        };
        for pool in self.servers.candidates(order.sender(), order.bonds) {
            match exchange.run(pool, message, repeatable).await {
                Ok(answer) => {
                    pool.health.succeeded();
                    return Ok(answer);
                }
                Err((error, unsent)) => {
                    // Where the body was at fault, whatever came of it at the server was not.
                    if let Some(fault) = verdict.get() {
                        return Err((*fault).into());
                    }
                    if error.is_the_servers() {
                        pool.health.failed();
                    }
                    match unsent {
                        Some(unsent) if exchange.may_go_on(&error) => (message, failed) = (unsent, error),
                        _ => return Err(error),
                    }
                }
            }
        }
        Err(failed)
    }
}

/// What came in.
struct Incomings {
    headers: HeaderMap,
    body: RequestBody,
    limits: BodyLimits,
}
