//! The accept loop: one task a listener, one task a connection, each with an owner and a deadline.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Caller, Connections};
use super::doorkeeper::{Place, TooMany};
use super::proxy_protocol::Announced;
use super::{Doorkeeper, Handler, HandshakeThreads, LocalSocket, Tls, Voice, proxy_protocol};
use crate::config::Limits;
use crate::http::TrustedProxies;
use crate::telemetry::Metrics;

/// How long accepting pauses when the process has run out of something.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A bound socket with what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    transport: Transport,
    shared: Shared,
}

/// What all listeners share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What holds for connections that are made now.
    pub terms: Arc<ArcSwap<Terms>>,
    /// How many connections they let in.
    pub door: Doorkeeper,
    /// Who owns the connections.
    pub tasks: TaskTracker,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
}

/// What holds for a connection, from its first byte to its last, whatever a reload changes meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// How patient the listener is.
    pub limits: Limits,
    /// Whose connections begin with a PROXY header, which says from whom they are.
    pub announcers: TrustedProxies,
    /// Whose connections are those of many clients.
    pub trusted_proxies: TrustedProxies,
    /// TLS; `None` where no listener speaks it.
    pub tls: Option<Handshakes>,
}

/// What handshakes come to, and who does them.
#[derive(Clone, Debug)]
pub struct Handshakes {
    /// Made anew at a reload.
    pub tls: Arc<Tls>,
    /// The same for as long as the process lives.
    pub threads: Arc<HandshakeThreads>,
}

#[derive(Debug)]
enum Socket {
    Network(TcpListener),
    Local(LocalSocket),
}

/// A connection that has just come in.
enum Accepted {
    Network(TcpStream, SocketAddr),
    Local(UnixStream),
}

/// What is spoken on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain HTTP.
    Plain,
    /// HTTP over TLS.
    Tls,
}

/// The two ways in which serving comes to its end.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// No new connections; those there are finish what they are at.
    pub finish: CancellationToken,
    /// All connections close as they are.
    pub abort: CancellationToken,
}

impl Listener {
    /// Serves `transport` on `socket`.
    pub fn new(socket: TcpListener, transport: Transport, shared: Shared) -> Self {
        Self { socket: Socket::Network(socket), transport, shared }
    }

    /// Serves plain HTTP on a socket in the file system.
    pub fn local(socket: LocalSocket, shared: Shared) -> Self {
        Self { socket: Socket::Local(socket), transport: Transport::Plain, shared }
    }

    /// Where it listens on the network.
    ///
    /// # Errors
    /// Where the operating system does not say, or it listens in the file system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Socket::Network(socket) => socket.local_addr(),
            Socket::Local(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Accepts until `ending.finish`; connections outlive it.
    pub async fn run(self, handler: impl Handler, ending: Ending) {
        let name: Arc<str> = self.address().map_or("local".into(), |address| address.to_string().into());
        let (shared, terms) = (self.shared.clone(), self.shared.terms.load_full());
        let connections = Connections { handler, name, shared, terms, ending: ending.clone() };
        loop {
            let next = async {
                // Not kept while nobody comes: the other listeners need the room as well.
                drop(self.shared.door.room().await);
                let accepted = self.socket.accept().await;
                (accepted, self.shared.door.room().await)
            };
            let Some((accepted, permit)) = ending.finish.run_until_cancelled(next).await else {
                return self.let_in_who_waits(&connections).await;
            };
            match accepted {
                Ok(accepted) => self.admit(accepted, permit, &connections),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for the moment");
                    ending.finish.run_until_cancelled(tokio::time::sleep(BACK_OFF)).await;
                }
            }
        }
    }

    /// Whoever has connected before the socket is closed is served: closing it would break off what the kernel has
    /// accepted for us already.
    async fn let_in_who_waits<H: Handler>(&self, connections: &Connections<H>) {
        while let Some(accepted) = self.socket.waiting() {
            let permit = self.shared.door.room().await;
            self.admit(accepted, permit, connections);
        }
    }

    fn admit<H: Handler>(
        &self,
        accepted: Accepted,
        permit: OwnedSemaphorePermit,
        connections: &Connections<H>,
    ) {
        let place = self.shared.door.admit(permit);
        let (transport, terms) = (self.transport, self.shared.terms.load_full());
        let connections = Connections { terms, ..connections.clone() };
        self.shared.tasks.spawn(async move {
            let abort = connections.ending.abort.clone();
            let _open = connections.shared.metrics.connection(&connections.name);
            if abort.run_until_cancelled(connections.serve(accepted, transport, place)).await.is_none() {
                tracing::debug!("a connection is closed in the middle: the time is up");
            }
        });
    }
}

impl Socket {
    /// A connection that waits in the kernel's backlog.
    fn waiting(&self) -> Option<Accepted> {
        match self {
            Self::Network(socket) => {
                let (stream, address) = SockRef::from(socket).accept().ok()?;
                stream.set_nonblocking(true).ok()?;
                let stream = TcpStream::from_std(stream.into()).ok()?;
                Some(Accepted::Network(stream, address.as_socket()?))
            }
            // It is for commands of this machine's, which are not in a hurry.
            Self::Local(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Network(socket) => {
                let (stream, address) = socket.accept().await?;
                Ok(Accepted::Network(stream, address))
            }
            Self::Local(local) => local.socket.accept().await.map(|(stream, _)| Accepted::Local(stream)),
        }
    }
}

impl<H: Handler> Connections<H> {
    async fn serve(self, accepted: Accepted, transport: Transport, mut place: Place) {
        let (mut stream, address) = match accepted {
            Accepted::Network(stream, address) => (stream, address),
            Accepted::Local(stream) => {
                let address = (Ipv4Addr::LOCALHOST, 0).into();
                return self.plain(stream, Caller { address, voice: Voice::Own }).await;
            }
        };
        // Without it small answers wait for the client's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is refused");
        }
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let Some(caller) = self.announced(&mut stream, address).await else { return };
        // A proxy's connections are those of many clients.
        let is_a_client = !self.terms.trusted_proxies.trust(caller.address.ip());
        if is_a_client && place.is_for(caller.address.ip()) == Err(TooMany) {
            tracing::debug!(client = %caller.address, "a client has too many connections");
            return;
        }
        match (transport, self.terms.tls.clone()) {
            (Transport::Tls, Some(handshakes)) => self.tls(stream, caller, &handshakes).await,
            // Its listener is being closed: the configuration has none of its kind any more.
            (Transport::Tls, None) => {}
            (Transport::Plain, _) => self.plain(stream, caller).await,
        }
    }

    /// Who is at the other end: where that is a proxy that has to say for whom it connects, whoever it says. `None`
    /// where it does not, in the time of a handshake.
    async fn announced(&self, stream: &mut TcpStream, peer: SocketAddr) -> Option<Caller> {
        let itself = Caller { address: peer, voice: Voice::Own };
        if !self.terms.announcers.trust(peer.ip()) {
            return Some(itself);
        }
        let header = proxy_protocol::read(stream);
        match tokio::time::timeout(self.terms.limits.handshake_timeout, header).await {
            Ok(Ok(Announced::Client(address))) => Some(Caller { address, ..itself }),
            Ok(Ok(Announced::Itself)) => Some(itself),
            Ok(Ok(Announced::Unnamed)) => Some(Caller { voice: Voice::Anothers, ..itself }),
            Ok(Err(error)) => {
                tracing::debug!(proxy = %peer, "a connection of a proxy is closed: {error}");
                None
            }
            Err(_) => {
                tracing::debug!(proxy = %peer, "a connection of a proxy is closed: its PROXY header took too long");
                None
            }
        }
    }
}

/// Whether the failure concerns one client that went away, not the process.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
