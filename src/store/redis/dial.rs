//! The way to a Redis: a socket, and TLS on it where the address asks for it. Never redis-rs's own TLS, which reads
//! the system's authorities anew for each connection, and fails with them even where a bundle is named.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::base::clock::Stopwatch;
use crate::config::RedisAddress;
use crate::outgoing::{TlsError, TlsFiles};

/// When the kernel begins to ask whether an idle peer is still there, so that a firewall neither forgets the
/// connection nor has forgotten it unnoticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where Redis listens, and how it is spoken to there.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16, files: Arc<TlsFiles> },
    Unix(PathBuf),
}

/// What the bytes go over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What is left of the time that several steps may take together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    whole: Duration,
    since: Stopwatch,
}

impl Patience {
    pub(super) fn of(whole: Duration) -> Self {
        Self { whole, since: Stopwatch::start() }
    }

    pub(super) async fn wait<F: Future>(self, step: F) -> Result<F::Output, Elapsed> {
        timeout(self.whole.saturating_sub(self.since.elapsed()), step).await
    }
}

impl Way {
    pub(super) fn to(address: &RedisAddress) -> Result<Self, TlsError> {
        Ok(match address.clone() {
            RedisAddress::Tcp { host, port } => Self::Tcp { host, port },
            RedisAddress::Tls { host, port, files } => {
                Self::Tls { host, port, files: Arc::new(TlsFiles::new(&files)?) }
            }
            RedisAddress::Unix(path) => Self::Unix(path),
        })
    }

    pub(super) async fn go(&self, patience: Patience) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(path) => Ok(Box::new(patience.wait(UnixStream::connect(path)).await??)),
            Self::Tcp { host, port } => Ok(Box::new(patience.wait(dial(host, *port)).await??)),
            Self::Tls { host, port, files } => {
                let stream = patience.wait(dial(host, *port)).await??;
                shake_hands(host, stream, files, patience).await
            }
        }
    }
}

/// A connection to the first of the host's addresses that accepts one.
async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for address in lookup_host((host, port)).await? {
        attempts.spawn(TcpStream::connect(address));
    }
    let mut outcome = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    while let Some(attempt) = attempts.join_next().await {
        outcome = attempt?;
        if outcome.is_ok() {
            break;
        }
    }
    let stream = outcome?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// With what the files say now: they may have been renewed since the last connection.
async fn shake_hands(
    host: &str,
    stream: TcpStream,
    files: &Arc<TlsFiles>,
    patience: Patience,
) -> io::Result<Box<dyn Stream>> {
    let files = Arc::clone(files);
    let client = spawn_blocking(move || files.client(&[])).await?.map_err(io::Error::other)?;
    match patience.wait(client.connect(host, stream)).await {
        Ok(agreed) => Ok(Box::new(agreed.map_err(io::Error::other)?)),
        // A Redis without TLS waits for the end of what it takes for a long command.
        Err(_) => Err(io::Error::other(TlsError::Silent { host: host.to_owned() })),
    }
}

impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(out, "{host}:{port}"),
            Self::Tls { host, port, .. } => write!(out, "{host}:{port} by TLS"),
            Self::Unix(path) => path.display().fmt(out),
        }
    }
}
