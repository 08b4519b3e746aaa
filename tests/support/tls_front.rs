//! TLS in front of a server that speaks none.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Passes on what comes within TLS; ends when dropped.
pub(crate) struct TlsFront {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Agreed>>>,
    accepting: JoinHandle<()>,
}

/// What a client and we agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The name that it asked for.
    pub(crate) name: Option<String>,
    /// The protocol that both speak.
    pub(crate) protocol: Option<String>,
}

impl TlsFront {
    pub(crate) async fn of(server: SocketAddr, config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::default();
        let accepting = tokio::spawn(accept(listener, server, TlsAcceptor::from(config), Arc::clone(&seen)));
        Self { address, seen, accepting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The handshakes that succeeded.
    pub(crate) fn agreed(&self) -> Vec<Agreed> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    acceptor: TlsAcceptor,
    seen: Arc<Mutex<Vec<Agreed>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let (_, session) = client.get_ref();
            let protocol = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            let name = session.server_name().map(str::to_owned);
            seen.lock().unwrap().push(Agreed { name, protocol });
            let mut server = TcpStream::connect(server).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
