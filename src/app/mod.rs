//! The composition root: puts the rooms together, binds first and serves later.

mod listeners;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::AdminParts;
use crate::auth::{LocalUsers, PasswordQueue, UsersFileError};
use crate::base::clock::Clock;
use crate::base::random::Random;
use crate::base::signed::Secrets;
use crate::config::{Config, Mode, SessionSecret};
use crate::development;
use crate::endpoints::{self, Endpoints};
use crate::gateway::{Entrance, Gateway, Purpose, Routes};
use crate::http::HeadLimits;
use crate::listener::{
    BindError, BindSocketError, CertificateError, Ending, Listener, Shared, TlsSetupError,
};
use crate::outgoing::TlsError;
use crate::pages::{Pages, PagesError};
use crate::policy::{OwnCookies, StrictTransport};
use crate::session::{Directory, FormTokens, SessionMemory, Sessions, Surroundings, Toucher, Watchman};
use crate::store::{self, Breaker, Observed, Store};
use crate::telemetry::{AccessLog, Audit, Event, Facts, Logs, Metrics};
use crate::upstream::{self, BodyLimits, IdentityWriter, Tunnels, Upstreams};
use listeners::{Listeners, announcers, door};

/// How often the users' file is looked at; a change takes effect within ten seconds.
const USERS_EVERY: Duration = Duration::from_secs(3);

/// The world outside the configuration.
#[derive(Clone, Debug)]
pub struct World {
    /// The time that decides.
    pub clock: Clock,
    /// Where ids and keys come from.
    pub random: Random,
    /// Where logs go.
    pub logs: Logs,
}

/// The whole program: bound, not yet serving.
#[derive(Debug)]
pub struct App {
    listeners: Listeners,
    tasks: TaskTracker,
    abort: CancellationToken,
    gateway: Arc<Gateway>,
    background: Background,
    public_port: u16,
    plain: Purpose,
    grace: Duration,
    metrics: Arc<Metrics>,
}

/// What runs beside the requests.
#[derive(Debug)]
struct Background {
    toucher: Toucher,
    watchman: Watchman,
    store: Arc<dyn Store>,
    sessions: Directory,
    random: Random,
    upstreams: Arc<Upstreams>,
    users: Option<Arc<LocalUsers>>,
    audit: Audit,
}

/// The program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate cannot be used.
    #[error("{}", lines(.0))]
    Certificates(Vec<CertificateError>),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// A socket cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin listener's own socket cannot be made where the configuration wants it.
    #[error(transparent)]
    AdminSocket(#[from] BindSocketError),
    /// The session secret cannot be read or made.
    #[error(transparent)]
    Development(#[from] development::DevelopmentError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The files that TLS with an upstream needs cannot be used.
    #[error(transparent)]
    Upstream(#[from] TlsError),
    /// The users' file cannot be used.
    #[error(transparent)]
    Users(#[from] UsersFileError),
    /// The operator's own pages cannot be shown.
    #[error("{}", lines(.0))]
    Pages(Vec<PagesError>),
    /// The operating system does not say where a socket listens.
    #[error("cannot tell where a socket listens: {0}")]
    Address(#[source] io::Error),
}

fn lines(errors: &[impl ToString]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl App {
    /// Puts the program together and binds its sockets; nothing is served yet.
    ///
    /// # Errors
    /// Where something that the configuration names is not there or cannot be used.
    pub fn build(config: &Config, world: &World) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new());
        let (tasks, abort) = (TaskTracker::new(), CancellationToken::new());
        let shared = Shared {
            limits: config.server.limits,
            door: door(&config.server.limits),
            announcers: announcers(&config.server),
            tasks: tasks.clone(),
            metrics: Arc::clone(&metrics),
        };
        let listeners = Listeners::bind(config, world, &shared)?;
        let public_port = match (config.server.public_port, listeners.https.first()) {
            (Some(port), _) => port,
            (None, Some(first)) => first.address().map_err(StartError::Address)?.port(),
            (None, None) => 443,
        };
        let plain = match config.mode {
            Mode::Development => Purpose::Development,
            Mode::Production => Purpose::BehindTls { public_port },
        };
        let tunnels = Tunnels::new(tasks.clone(), abort.clone());
        let (gateway, background) = gateway(config, world, &metrics, tunnels)?;
        let grace = config.server.shutdown_grace;
        Ok(Self { listeners, tasks, abort, gateway, background, public_port, plain, grace, metrics })
    }

    /// Where https is served.
    ///
    /// # Errors
    /// Where the operating system does not say.
    pub fn https_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.https.iter().map(Listener::address).collect()
    }

    /// Where http is redirected.
    ///
    /// # Errors
    /// Where the operating system does not say.
    pub fn http_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.http.iter().map(Listener::address).collect()
    }

    /// Where is served in the clear.
    ///
    /// # Errors
    /// Where the operating system does not say.
    pub fn plain_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.plain.iter().map(Listener::address).collect()
    }

    /// Where the admin listener answers on the network.
    ///
    /// # Errors
    /// Where the operating system does not say.
    pub fn admin_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.admin.network.iter().map(Listener::address).collect()
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Serves until `stop`; then finishes what is under way, within the configured grace or until `hurry`.
    pub async fn run(self, stop: CancellationToken, hurry: CancellationToken) {
        let ending = Ending { finish: stop.clone(), abort: self.abort };
        let background = TaskTracker::new();
        let upstreams = Arc::clone(&self.background.upstreams);
        let quiet = CancellationToken::new();
        let parts = AdminParts {
            store: Arc::clone(&self.background.store),
            sessions: self.background.sessions.clone(),
            random: self.background.random,
            metrics: Arc::clone(&self.metrics),
            upstreams: Arc::clone(&upstreams),
            stopping: stop.clone(),
        };
        background.spawn(self.listeners.admin.run(Arc::new(parts), quiet.clone()));
        self.background.start(&background, &quiet);
        let public_port = self.public_port;
        let serve = |purpose| Entrance::new(Arc::clone(&self.gateway), purpose);
        for listener in self.listeners.https {
            self.tasks.spawn(listener.run(serve(Purpose::Tls { public_port }), ending.clone()));
        }
        for listener in self.listeners.plain {
            self.tasks.spawn(listener.run(serve(self.plain), ending.clone()));
        }
        for listener in self.listeners.http {
            let purpose = Purpose::RedirectToHttps { public_port };
            self.tasks.spawn(listener.run(serve(purpose), ending.clone()));
        }
        self.tasks.close();
        stop.cancelled().await;
        let finished = tokio::time::timeout(self.grace, hurry.run_until_cancelled(self.tasks.wait())).await;
        if !matches!(finished, Ok(Some(()))) {
            tracing::warn!(connections = self.tasks.len(), "closing what is still under way");
            ending.abort.cancel();
            self.tasks.wait().await;
        }
        quiet.cancel();
        background.close();
        background.wait().await;
        upstreams.close().await;
    }
}

impl Background {
    fn start(self, tasks: &TaskTracker, stop: &CancellationToken) {
        tasks.spawn(self.toucher.run(stop.clone()));
        tasks.spawn(self.watchman.run(stop.clone()));
        let (upstreams, until) = (Arc::clone(&self.upstreams), stop.clone());
        tasks.spawn(async move { upstreams.sweep(until).await });
        let (upstreams, until) = (self.upstreams, stop.clone());
        tasks.spawn(async move { upstreams.watch(until).await });
        if let Some(users) = self.users {
            tasks.spawn(watch_users(users, self.audit, stop.clone()));
        }
    }
}

/// Reads the users' file again when it changes.
async fn watch_users(users: Arc<LocalUsers>, audit: Audit, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(USERS_EVERY)).await.is_some() {
        let users = Arc::clone(&users);
        let looked = tokio::task::spawn_blocking(move || users.reload_if_changed()).await;
        match looked {
            Ok(Ok(true)) => {
                tracing::info!("the users' file was read again");
                audit.record(Event::UserChanged, &Facts { reason: Some("file"), ..Facts::default() });
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!("the users' file is left as it was before: {error}"),
            Err(error) => tracing::error!(%error, "the users' file could not be looked at"),
        }
    }
}

fn gateway(
    config: &Config,
    world: &World,
    metrics: &Arc<Metrics>,
    tunnels: Tunnels,
) -> Result<(Arc<Gateway>, Background), StartError> {
    let secrets = session_secrets(config, world)?;
    let audit = Audit::new(world.logs.audit.clone(), world.clock.clone());
    let memory = SessionMemory::new(&config.session.cache, world.clock.clone());
    let store = store::open(&config.session.store, world.clock.clone(), world.random, memory.changes())?;
    let store = Arc::new(Observed::new(store, Arc::clone(metrics), audit.clone()));
    let store: Arc<dyn Store> = Arc::new(Breaker::new(store, world.random));
    let around = Surroundings {
        store: Arc::clone(&store),
        memory,
        clock: world.clock.clone(),
        random: world.random,
        audit: audit.clone(),
        metrics: Arc::clone(metrics),
    };
    let (sessions, toucher) = Sessions::new(&config.session, &secrets, around);
    let (sessions, own_cookies) = (Arc::new(sessions), OwnCookies::new(&config.session.cookie.name));
    let (watchman, directory) = (sessions.watchman(), sessions.directory().clone());
    let users = local_users(config)?;
    let pages = Arc::new(Pages::new(&config.server.prefix, &config.login).map_err(StartError::Pages)?);
    let limits = &config.server.limits;
    let around = upstream::Parts {
        identity: IdentityWriter::new(config.identity.headers.clone()),
        own_cookies: own_cookies.clone(),
        body_limits: BodyLimits { bytes: limits.body_bytes, silence: limits.body_idle_timeout },
        tunnels,
        live: sessions.live(),
        activity: config.session.activity,
        audit: audit.clone(),
        metrics: Arc::clone(metrics),
    };
    let upstreams = Arc::new(Upstreams::new(&config.upstreams, around)?);
    let endpoints = Endpoints::new(endpoints::Parts {
        prefix: config.server.prefix.clone(),
        default_redirect: config.login.default_redirect.clone(),
        remember_me: config.login.remember_me,
        sessions: Arc::clone(&sessions),
        forms: FormTokens::new(&secrets, world.clock.clone(), world.random),
        users: users.clone(),
        pages: Arc::clone(&pages),
        clock: world.clock.clone(),
        audit: audit.clone(),
        metrics: Arc::clone(metrics),
    });
    let gateway = Gateway::new(crate::gateway::Parts {
        routes: Routes::new(&config.routes),
        endpoints,
        sessions,
        upstreams: Arc::clone(&upstreams),
        own_cookies,
        pages,
        hsts: StrictTransport::new(&config.hsts),
        access_log: access_log(config, world),
        audit: audit.clone(),
        metrics: Arc::clone(metrics),
        random: world.random,
        activity: config.session.activity,
        prefix: config.server.prefix.clone(),
        head_limits: HeadLimits {
            uri_bytes: limits.uri_bytes,
            header_bytes: limits.header_bytes,
            header_count: limits.header_count,
        },
        trusted_proxies: config.server.trusted_proxies.clone(),
        client_auth: config.tls.client_auth.clone(),
    });
    let (sessions, random) = (directory, world.random);
    Ok((
        Arc::new(gateway),
        Background { toucher, watchman, store, sessions, random, upstreams, users, audit },
    ))
}

/// The sessions in the store that `config` names, without a proxy. What is done to them is told to the logs of `world` alone.
///
/// # Errors
/// Where a file that the configuration names cannot be used.
pub fn directory(config: &Config, world: &World) -> Result<Directory, StartError> {
    let secrets = session_secrets(config, world)?;
    let around = Surroundings {
        store: store::open(&config.session.store, world.clock.clone(), world.random, None)?,
        memory: SessionMemory::new(&config.session.cache, world.clock.clone()),
        clock: world.clock.clone(),
        random: world.random,
        audit: Audit::new(world.logs.audit.clone(), world.clock.clone()),
        metrics: Arc::new(Metrics::new()),
    };
    let (sessions, _) = Sessions::new(&config.session, &secrets, around);
    Ok(sessions.directory().clone())
}

fn session_secrets(config: &Config, world: &World) -> Result<Secrets, StartError> {
    let current = match &config.session.secret {
        SessionSecret::Given(secret) => secret.clone(),
        SessionSecret::Generated(path) => development::session_secret(path, world.random)?,
    };
    Ok(Secrets { current, previous: config.session.previous_secrets.clone() })
}

fn local_users(config: &Config) -> Result<Option<Arc<LocalUsers>>, StartError> {
    let Some(local) = &config.auth.local else { return Ok(None) };
    let users = LocalUsers::open(local, PasswordQueue::new(config.login.hash_concurrency))?;
    if users.is_empty() {
        tracing::warn!(file = %local.users.display(), "no users yet: foregate users add NAME");
    }
    Ok(Some(Arc::new(users)))
}

fn access_log(config: &Config, world: &World) -> AccessLog {
    let lines = config.log.access.then(|| world.logs.main.clone());
    AccessLog::new(lines, world.logs.format, world.clock.clone())
}
