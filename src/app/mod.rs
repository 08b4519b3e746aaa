//! The composition root: puts the rooms together, binds first and serves later.

mod control;
mod lasting;
mod listeners;
mod reload;
mod running;
mod site;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::UsersFileError;
use crate::base::clock::Clock;
use crate::base::random::Random;
use crate::base::signed::Secrets;
use crate::config::{Config, ListenAt, SessionSecret};
use crate::development;
use crate::gateway::{CurrentGateway, Gateway, Purpose};
use crate::listener::{
    BindError, BindSocketError, CertificateError, Ending, Listener, PassedError, PassedSockets, Shared,
    TlsSetupError,
};
use crate::outgoing::TlsError;
use crate::pages::PagesError;
use crate::session::{Directory, SessionMemory, Sessions, Surroundings};
use crate::store;
use crate::telemetry::{Audit, Logs, Metrics};
pub use control::Control;
use control::Orders;
use lasting::Lasting;
use listeners::{Admins, Bound, Sockets, door, public_port, terms, ways};
use reload::CertificateWatch;
pub use reload::ReloadError;
use running::Running;
use site::Site;

/// The world outside the configuration.
#[derive(Clone, Debug)]
pub struct World {
    /// The time that decides.
    pub clock: Clock,
    /// Where ids and keys come from.
    pub random: Random,
    /// Where logs go.
    pub logs: Logs,
    /// Sockets that were bound by whoever started the process.
    pub passed: PassedSockets,
}

/// The whole program: bound, not yet serving.
#[derive(Debug)]
pub struct App {
    lasting: Lasting,
    config: Config,
    ways: Vec<Bound>,
    admins: Admins,
    shared: Shared,
    site: Site,
    certificates: CertificateWatch,
    abort: CancellationToken,
    control: Control,
    orders: Orders,
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
    /// A socket that the configuration names was not passed to the process.
    #[error(transparent)]
    Passed(#[from] PassedError),
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
    /// There are no threads to do handshakes.
    #[error("cannot start threads for handshakes: {0}")]
    Threads(#[source] io::Error),
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
        let (tasks, abort) = (TaskTracker::new(), CancellationToken::new());
        let (control, orders) = control::control();
        let lasting = Lasting::open(config, world, &tasks)?;
        let (terms, certificates) = terms(config, world, None)?;
        let shared = Shared {
            terms: Arc::new(ArcSwap::from_pointee(terms)),
            door: door(config),
            tasks,
            metrics: Arc::clone(&lasting.metrics),
        };
        let sockets = Sockets::new(config, world);
        let ways = ways(&config.server, &world.passed)?.into_iter();
        let ways = ways.map(|way| sockets.bind(way, &shared)).collect::<Result<Vec<_>, _>>()?;
        let admins = Admins::bind(config, sockets.neighbours, &shared)?;
        let https = ways.iter().find(|bound| bound.way.purpose == Purpose::Tls);
        let port = public_port(&config.server, https.map(|bound| bound.address));
        let site = Site::build(config, port, &lasting, None)?;
        certificates.tell(&lasting.metrics);
        let config = config.clone();
        Ok(Self { lasting, config, ways, admins, shared, site, certificates, abort, control, orders })
    }

    /// Tells it what to do, once it runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Where https is served.
    pub fn https_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(Purpose::Tls)
    }

    /// Where http is redirected.
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(Purpose::RedirectToHttps)
    }

    /// Where is served in the clear.
    pub fn plain_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(Purpose::Plain)
    }

    fn addresses(&self, purpose: Purpose) -> Vec<SocketAddr> {
        self.ways.iter().filter(|bound| bound.way.purpose == purpose).map(|bound| bound.address).collect()
    }

    /// Where the admin listener answers on the network.
    ///
    /// # Errors
    /// Where the operating system does not say.
    pub fn admin_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.admins.network.iter().map(Listener::address).collect()
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.lasting.metrics
    }

    /// Serves until it is told to stop; then finishes what is under way, within the configured grace or until it is
    /// told to hurry.
    pub async fn run(self) {
        let Self { lasting, config, ways, admins, shared, site, certificates, abort, control: _, mut orders } =
            self;
        let (quiet, background) = (CancellationToken::new(), TaskTracker::new());
        let admin = Arc::new(ArcSwap::from_pointee(site.admin_parts(&lasting, orders.stop.clone())));
        background.spawn(admins.run(Arc::clone(&admin), quiet.clone()));
        let ending = Ending { finish: CancellationToken::new(), abort };
        let current = Arc::new(CurrentGateway::new(Arc::clone(&site.gateway)));
        let ways = ways.into_iter().map(|bound| bound.serve(&current, &shared, &ending)).collect();
        let site = site.start(&background, &quiet, &lasting.audit);
        let mut running = Running {
            lasting,
            config,
            ways,
            shared,
            site,
            current,
            admin,
            certificates,
            ending,
            quiet,
            background,
        };
        running.obey(&mut orders).await;
        running.finish(&orders).await;
    }
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
        tasks: TaskTracker::new(),
        clock: world.clock.clone(),
        random: world.random,
        audit: Audit::new(world.logs.audit.clone(), world.clock.clone()),
        metrics: Arc::new(Metrics::new()),
    };
    let (sessions, _) = Sessions::new(&config.session, &secrets, around);
    Ok(sessions.directory().clone())
}

/// The gateway that `config` makes, for who only looks: it serves nobody, and its sessions cannot be changed.
///
/// # Errors
/// Where something that the configuration names cannot be used.
pub fn gateway(config: &Config, world: &World) -> Result<Arc<Gateway>, StartError> {
    let lasting = Lasting::reading(config, world)?;
    let https = config.server.https.iter().find_map(|place| match place {
        ListenAt::Address(address) => Some(*address),
        ListenAt::Passed(_) => None,
    });
    let site = Site::build(config, public_port(&config.server, https), &lasting, None)?;
    Ok(site.gateway)
}

fn session_secrets(config: &Config, world: &World) -> Result<Secrets, StartError> {
    let current = match &config.session.secret {
        SessionSecret::Given(secret) => secret.clone(),
        SessionSecret::Generated(path) => development::session_secret(path, world.random)?,
    };
    Ok(Secrets { current, previous: config.session.previous_secrets.clone() })
}
