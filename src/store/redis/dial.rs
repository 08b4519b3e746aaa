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
use tokio::time::{Timeout, timeout};

use crate::base::clock::Stopwatch;
use crate::config::{ClientTls, RedisEndpoint};
use crate::outgoing::{TlsError, TlsFiles};

/// When the kernel begins to ask whether an idle peer is still there, so that a firewall neither forgets the
/// connection nor has forgotten it unnoticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where Redis listens, and how it is spoken to there.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Tcp(RedisEndpoint),
    Tls(RedisEndpoint, Arc<TlsFiles>),
    Unix(PathBuf),
}

/// What is spoken to each of several servers.
#[derive(Clone, Debug)]
pub(super) enum Transport {
    Plain,
    Tls(Arc<TlsFiles>),
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

    pub(super) fn wait<F: Future>(self, step: F) -> Timeout<F> {
        timeout(self.left(), step)
    }

    pub(super) fn left(self) -> Duration {
        self.whole.saturating_sub(self.since.elapsed())
    }
}

impl Transport {
    pub(super) fn new(tls: Option<&ClientTls>) -> Result<Self, TlsError> {
        Ok(match tls {
            None => Self::Plain,
            Some(files) => Self::Tls(Arc::new(TlsFiles::new(files)?)),
        })
    }

    pub(super) fn to(&self, endpoint: RedisEndpoint) -> Way {
        match self {
            Self::Plain => Way::Tcp(endpoint),
            Self::Tls(files) => Way::Tls(endpoint, Arc::clone(files)),
        }
    }
}

impl Way {
    pub(super) async fn go(&self, patience: Patience) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(path) => Ok(Box::new(patience.wait(UnixStream::connect(path)).await??)),
            Self::Tcp(endpoint) => Ok(Box::new(patience.wait(dial(endpoint)).await??)),
            Self::Tls(endpoint, files) => {
                let stream = patience.wait(dial(endpoint)).await??;
                shake_hands(&endpoint.host, stream, files, patience).await
            }
        }
    }
}

/// A connection to the first of the host's addresses that accepts one.
async fn dial(endpoint: &RedisEndpoint) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for address in lookup_host((endpoint.host.as_str(), endpoint.port)).await? {
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
            Self::Tcp(endpoint) => endpoint.fmt(out),
            Self::Tls(endpoint, _) => write!(out, "{endpoint} by TLS"),
            Self::Unix(path) => path.display().fmt(out),
        }
    }
}
