//! Everything that is bound: where users come in, and where the process is asked how it is.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reload::CertificateWatch;
use super::{StartError, World};
use crate::admin::{self, Admin, CurrentAdmin};
use crate::config::{self, AdminSocket, Config, ListenAt, ProxyProtocol, StoreUrl};
use crate::development;
use crate::gateway::{CurrentGateway, Entrance, Purpose};
use crate::http::TrustedProxies;
use crate::listener::{
    Doorkeeper, Ending, HandshakeThreads, Handshakes, Listener, Neighbours, PassedError, PassedSockets,
    Shared, Terms, Tls, Transport, bind, bind_local,
};

/// A way in for the public, as the configuration writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) purpose: Purpose,
    at: ListenAt,
    /// Which of the sockets of one name it is, from 0.
    nth: usize,
}

/// A way that is bound, and not served yet.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) way: Way,
    pub(super) address: SocketAddr,
    listener: Listener,
}

/// A way that is served.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) way: Way,
    pub(super) address: SocketAddr,
    closed: CancellationToken,
}

/// All ways that `server` names; those for https come first.
pub(super) fn ways(server: &config::Server, passed: &PassedSockets) -> Result<Vec<Way>, PassedError> {
    let lists = [
        (Purpose::Tls, &server.https),
        (Purpose::RedirectToHttps, &server.http),
        (Purpose::Plain, &server.plain),
    ];
    let mut ways = Vec::new();
    for (purpose, at) in
        lists.into_iter().flat_map(|(purpose, list)| list.iter().map(move |at| (purpose, at)))
    {
        let count = match at {
            ListenAt::Address(_) => 1,
            ListenAt::Passed(name) => passed.count(name)?,
        };
        ways.extend((0..count).map(|nth| Way { purpose, at: at.clone(), nth }));
    }
    Ok(ways)
}

/// Where sockets come from.
#[derive(Clone, Debug)]
pub(super) struct Sockets {
    pub(super) passed: PassedSockets,
    pub(super) neighbours: Neighbours,
}

impl Sockets {
    /// Those of the world; beside other processes only where sessions are the same for all.
    pub(super) fn new(config: &Config, world: &World) -> Self {
        let neighbours = match config.session.store.url {
            StoreUrl::Redis(_) => Neighbours::Welcome,
            StoreUrl::Memory | StoreUrl::File(_) => Neighbours::Refused,
        };
        Self { passed: world.passed.clone(), neighbours }
    }

    pub(super) fn bind(&self, way: Way, shared: &Shared) -> Result<Bound, StartError> {
        let transport = if way.purpose == Purpose::Tls { Transport::Tls } else { Transport::Plain };
        let socket = match &way.at {
            ListenAt::Address(address) => bind(*address, self.neighbours)?,
            ListenAt::Passed(name) => self.passed.listen(name, way.nth)?,
        };
        let listener = Listener::new(socket, transport, shared.clone());
        let address = listener.address().map_err(StartError::Address)?;
        Ok(Bound { way, address, listener })
    }
}

impl Bound {
    /// Accepts until `ending.finish`, or until it is closed.
    pub(super) fn serve(self, current: &Arc<CurrentGateway>, shared: &Shared, ending: &Ending) -> Served {
        let closed = ending.finish.child_token();
        let ending = Ending { finish: closed.clone(), abort: ending.abort.clone() };
        let entrance = Entrance::new(Arc::clone(current), self.way.purpose);
        shared.tasks.spawn(self.listener.run(entrance, ending));
        Served { way: self.way, address: self.address, closed }
    }
}

impl Served {
    /// Accepts nobody any more; its connections finish what they are at.
    pub(super) fn close(self) {
        self.closed.cancel();
    }
}

/// The port of https for the public: as configured, else that of the first address where it is served.
pub(super) fn public_port(server: &config::Server, https: Option<SocketAddr>) -> u16 {
    server.public_port.or(https.map(|address| address.port())).unwrap_or(443)
}

/// What holds for connections from now on, and where the certificates come from. Handshakes go on in the threads that there
/// are, if there are any.
pub(super) fn terms(
    config: &Config,
    world: &World,
    threads: Option<Arc<HandshakeThreads>>,
) -> Result<(Terms, CertificateWatch), StartError> {
    let limits = config.server.limits;
    let announcers = announcers(&config.server);
    let trusted_proxies = config.server.trusted_proxies.clone();
    if config.server.https.is_empty() {
        return Ok((Terms { limits, announcers, trusted_proxies, tls: None }, CertificateWatch::default()));
    }
    let files = development::certificate_files(config, world.clock.now())?;
    let (certificates, watch) = CertificateWatch::load(files).map_err(StartError::Certificates)?;
    let tls = Arc::new(Tls::new(certificates, &config.tls)?);
    let start = || HandshakeThreads::start(config.server.worker_threads).map(Arc::new);
    let threads = threads.map_or_else(start, Ok).map_err(StartError::Threads)?;
    let tls = Some(Handshakes { tls, threads });
    Ok((Terms { limits, announcers, trusted_proxies, tls }, watch))
}

/// So many connections as the configuration allows, or as the process has descriptors for, if those are fewer.
pub(super) fn door(config: &Config) -> Doorkeeper {
    let limits = &config.server.limits;
    let bound = |upstream: &config::Upstream| upstream.servers.len() * upstream.bounds.connections;
    let upstreams = config.upstreams.iter().map(bound).sum();
    let most = descriptors().map_or(limits.connections, |all| limits.connections.min(room(all, upstreams)));
    if most < limits.connections {
        tracing::info!(
            most,
            "fewer connections than server.limits.connections: descriptors are scarce (ulimit -n)"
        );
    }
    Doorkeeper::new(most, limits.connections_per_client)
}

/// How many clients' connections fit among so many descriptors. A tenth is for the store, the logs and the next reload;
/// `upstreams` need what their bounds allow, or as many as clients where that is less.
fn room(descriptors: usize, upstreams: usize) -> usize {
    let ours = descriptors * 9 / 10;
    ours.saturating_sub(upstreams).max(ours / 2)
}

/// Who has to announce for whom it connects.
fn announcers(server: &config::Server) -> TrustedProxies {
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
    pub(super) fn bind(config: &Config, neighbours: Neighbours, shared: &Shared) -> Result<Self, StartError> {
        let tasks = TaskTracker::new();
        let door = Doorkeeper::new(ADMIN_CONNECTIONS, None);
        let terms = Arc::new(ArcSwap::from_pointee(Terms::default()));
        let shared = Shared { tasks: tasks.clone(), door, terms, ..shared.clone() };
        let network = match config.server.admin {
            Some(address) => {
                let socket = bind(address, neighbours)?;
                Some(Listener::new(socket, Transport::Plain, shared.clone()))
            }
            None => None,
        };
        let local = match &config.server.admin_socket {
            AdminSocket::Off => None,
            AdminSocket::At(path) => Some(bind_local(path, neighbours)?),
            AdminSocket::Chosen(path) => bind_local(path, neighbours)
                .inspect_err(|error| tracing::warn!("{error}; set server.admin_socket"))
                .ok(),
        };
        let local = local.map(|socket| Listener::local(socket, shared));
        Ok(Self { network, local, tasks })
    }

    /// Serves until `quiet`.
    pub(super) async fn run(self, current: Arc<CurrentAdmin>, quiet: CancellationToken) {
        let ending = Ending { finish: quiet.clone(), abort: quiet };
        let serve = |listener: Option<Listener>, entrance| {
            let admin = Admin::new(Arc::clone(&current), entrance);
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

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn what_upstreams_and_the_rest_do_not_need_is_for_clients() {
        assert_eq!(room(20_000, 256), 17_744);
        assert_eq!(room(1_024, 256), 665);
        assert_eq!(room(1_024, 10_000), 460, "half of it, where upstreams may have more than there is");
        assert_eq!(room(1_024, 0), 921);
    }
}
