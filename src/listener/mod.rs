//! Sockets, TLS and connections. Generic over a [`Handler`]; knows nothing of sessions. Rank 4.

mod accept;
mod belongings;
mod certificates;
mod connection;
mod doorkeeper;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handshake_threads;
mod inspection;
mod passed;
mod patience;
mod proxy_protocol;
mod self_signed;
mod sockets;
mod streams;
mod tls;
mod unix;

use std::future::Future;
use std::net::SocketAddr;

use http::{Request, Response};
use hyper::body::Incoming;

pub use accept::{Ending, Handshakes, Listener, Shared, Terms, Transport};
pub use belongings::Belongings;
pub use certificates::{CertificateError, Certificates, fingerprint};
pub use doorkeeper::Doorkeeper;
pub use handshake_threads::HandshakeThreads;
pub use inspection::CertificateFacts;
pub use passed::{PassedError, PassedSockets};
pub use self_signed::{SelfSignedError, self_signed};
pub use sockets::{BindError, Neighbours, bind};
pub use tls::{Tls, TlsSetupError};
pub use unix::{BindSocketError, LocalSocket, bind_local};

use crate::http::{Body, Scheme};

/// Answers requests. Cloned for each connection.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The answer to one request, which has its connection's [`Belongings`] among its extensions; errors are answers too.
    fn handle(&self, request: Request<Incoming>, peer: Peer) -> impl Future<Output = Response<Body>> + Send;
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address; an IPv4 address that came mapped into IPv6 is unmapped, and a process at the other end of a
    /// socket in the file system has the loopback address.
    pub address: SocketAddr,
    /// What it speaks.
    pub scheme: Scheme,
    /// What was asked of it when the connection was made.
    pub handshake: Handshake,
    /// Whose words come from it.
    pub voice: Voice,
}

/// Whose words come by a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Those of whoever has its address.
    Own,
    /// Those of somebody whom the proxy at its address passes on and does not name (PROXY protocol): nobody vouches for
    /// what they say of themselves.
    Anothers,
}

/// What a connection's handshake asked of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// There was none.
    None,
    /// Nothing but to check our certificate.
    Open,
    /// A certificate of its own (`tls.client_auth`).
    ClientCertificate,
}
