//! Everything that is bound: where users come in, and where the process is asked how it is.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{StartError, World};
use crate::admin::{self, Admin, AdminParts};
use crate::config::{self, AdminSocket, Config, ProxyProtocol};
use crate::development;
use crate::http::TrustedProxies;
use crate::listener::{Certificates, Doorkeeper, Ending, Listener, Shared, Tls, Transport, bind, bind_local};

/// Everything that is bound.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) https: Vec<Listener>,
    pub(super) http: Vec<Listener>,
    pub(super) plain: Vec<Listener>,
    pub(super) admin: Admins,
}

impl Listeners {
    pub(super) fn bind(config: &Config, world: &World, shared: &Shared) -> Result<Self, StartError> {
        let mut listeners = Self {
            https: Vec::new(),
            http: Vec::new(),
            plain: Vec::new(),
            admin: Admins::bind(config, shared)?,
        };
        if !config.server.https.is_empty() {
            let files = development::certificate_files(config, world.clock.now())?;
            let certificates = Certificates::load(&files).map_err(StartError::Certificates)?;
            for (name, ends_at) in certificates.ends() {
                shared.metrics.certificate_ends(&name, ends_at);
            }
            let tls = Arc::new(Tls::new(certificates, &config.tls)?);
            for address in &config.server.https {
                let transport = Transport::Tls(Arc::clone(&tls));
                listeners.https.push(Listener::new(bind(*address)?, transport, shared.clone()));
            }
        }
        for address in &config.server.http {
            listeners.http.push(Listener::new(bind(*address)?, Transport::Plain, shared.clone()));
        }
        for address in &config.server.plain {
            listeners.plain.push(Listener::new(bind(*address)?, Transport::Plain, shared.clone()));
        }
        Ok(listeners)
    }
}

/// So many connections as the configuration allows, or as the process has descriptors for, if those are fewer: a
/// request needs one to its upstream too, and the store, the logs and the next reload need some as well.
pub(super) fn door(limits: &config::Limits) -> Doorkeeper {
    let descriptors = descriptors();
    let most = descriptors.map_or(limits.connections, |all| limits.connections.min(all * 35 / 100));
    if most < limits.connections {
        tracing::info!(
            most,
            "fewer connections than server.limits.connections: descriptors are scarce (ulimit -n)"
        );
    }
    Doorkeeper::new(most, limits.connections_per_client)
}

/// Who has to announce for whom it connects.
pub(super) fn announcers(server: &config::Server) -> TrustedProxies {
    match server.proxy_protocol {
        ProxyProtocol::Off => TrustedProxies::default(),
        ProxyProtocol::Required => server.trusted_proxies.clone(),
    }
}

/// How many descriptors the process may have, once it has asked for all that it can get; `None`: any number.
fn descriptors() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    allowed.and_then(|allowed| usize::try_from(allowed).ok())
}

/// Connections to the admin listener, which must answer when the others are full.
const ADMIN_CONNECTIONS: usize = 64;

/// The admin listeners. They outlive the others, to say that the process is ending; so they have connections of
/// their own.
#[derive(Debug)]
pub(super) struct Admins {
    pub(super) network: Option<Listener>,
    local: Option<Listener>,
    tasks: TaskTracker,
}

impl Admins {
    fn bind(config: &Config, shared: &Shared) -> Result<Self, StartError> {
        let tasks = TaskTracker::new();
        let door = Doorkeeper::new(ADMIN_CONNECTIONS, None);
        let announcers = TrustedProxies::default();
        let shared = Shared { tasks: tasks.clone(), door, announcers, ..shared.clone() };
        let network = match config.server.admin {
            Some(address) => Some(Listener::new(bind(address)?, Transport::Plain, shared.clone())),
            None => None,
        };
        let local = match &config.server.admin_socket {
            AdminSocket::Off => None,
            AdminSocket::At(path) => Some(bind_local(path)?),
            AdminSocket::Chosen(path) => {
                bind_local(path).inspect_err(|error| tracing::warn!("{error}; set server.admin_socket")).ok()
            }
        };
        let local = local.map(|socket| Listener::local(socket, shared));
        Ok(Self { network, local, tasks })
    }

    /// Serves until `quiet`.
    pub(super) async fn run(self, parts: Arc<AdminParts>, quiet: CancellationToken) {
        let ending = Ending { finish: quiet.clone(), abort: quiet };
        let serve = |listener: Option<Listener>, entrance| {
            let admin = Admin::new(Arc::clone(&parts), entrance);
            let ending = ending.clone();
            async move {
                if let Some(listener) = listener {
                    listener.run(admin, ending).await;
                }
            }
        };
        tokio::join!(
            serve(self.network, admin::Entrance::Network),
            serve(self.local, admin::Entrance::Socket)
        );
        self.tasks.close();
        self.tasks.wait().await;
    }
}
