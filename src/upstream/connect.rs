//! How a server is reached.

use std::io;
use std::time::Duration;

use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::connection::{Drivers, HTTP1, HTTP2, Own, Wish};
use super::error::ForwardError;
use super::http2::Shared;
use crate::base::clock::Stopwatch;
use crate::config::{self, ClientTls, Place, ServerScheme, ServerUrl};
use crate::outgoing::{TlsClient, TlsError, TlsFiles};

/// What a connection may hold of an answer, its head included, and of a request, for a side that is slower than the other.
const BUFFER: usize = 64 * 1024;

/// A server and how it is reached.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) url: ServerUrl,
    /// The URL as text.
    pub(super) label: String,
    tls: Option<Tls>,
    lenient: bool,
}

/// TLS with a server, by what is offered within.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    any: TlsClient,
    own: TlsClient,
}

/// A new connection.
pub(super) enum Opened {
    /// For one request after the other.
    Own(Own),
    /// For many at once.
    Shared(Shared),
}

type Plain = Either<TcpStream, UnixStream>;
type Stream = Either<Plain, Box<TlsStream<Plain>>>;

impl Tls {
    pub(super) fn new(files: &ClientTls) -> Result<Self, TlsError> {
        let files = TlsFiles::new(files)?;
        Ok(Self { any: files.client(&[HTTP2, HTTP1])?, own: files.client(&[HTTP1])? })
    }
}

impl Server {
    pub(super) fn new(url: &ServerUrl, tls: Option<Tls>, upstream: &config::Upstream) -> Self {
        Self { url: url.clone(), label: url.to_string(), tls, lenient: upstream.lenient }
    }

    /// Opens a connection; the whole of it, TLS included, takes `patience` at most.
    pub(super) async fn connect(
        &self,
        wish: Wish,
        patience: Duration,
        drivers: &Drivers,
    ) -> Result<Opened, ForwardError> {
        let opened = tokio::time::timeout(patience, self.open(wish, patience)).await;
        let stream = opened.unwrap_or(Err(ForwardError::ConnectTimeout))?;
        let opened = if self.url.scheme == ServerScheme::H2c || has_agreed_on_http2(&stream) {
            Shared::open(stream, drivers).await.map(Opened::Shared)
        } else {
            self.own(stream, drivers).await.map(Opened::Own)
        };
        opened.map_err(ForwardError::Broken)
    }

    async fn own(&self, stream: Stream, drivers: &Drivers) -> hyper::Result<Own> {
        let (requests, driver) = Builder::new()
            .title_case_headers(true)
            .max_buf_size(BUFFER)
            .allow_obsolete_multiline_headers_in_responses(self.lenient)
            .allow_spaces_after_header_name_in_responses(self.lenient)
            .handshake(TokioIo::new(stream))
            .await?;
        let open = drivers.drive(driver.with_upgrades());
        Ok(Own::new(requests, open))
    }

    async fn open(&self, wish: Wish, patience: Duration) -> Result<Stream, ForwardError> {
        let stream = dial(&self.url.place, patience).await.map_err(ForwardError::Connect)?;
        let (Some(tls), Place::Network { host, .. }) = (&self.tls, &self.url.place) else {
            return Ok(Either::Left(stream));
        };
        let client = match wish {
            Wish::Any => &tls.any,
            Wish::Own => &tls.own,
        };
        let agreed = client.connect(host, stream).await.map_err(ForwardError::Tls)?;
        Ok(Either::Right(Box::new(agreed)))
    }
}

fn has_agreed_on_http2(stream: &Stream) -> bool {
    let Either::Right(tls) = stream else { return false };
    tls.get_ref().1.alpn_protocol() == Some(HTTP2.as_bytes())
}

async fn dial(place: &Place, patience: Duration) -> io::Result<Plain> {
    match place {
        Place::Unix(path) => UnixStream::connect(path).await.map(Either::Right),
        Place::Network { host, port } => {
            let stream = dial_each(host, *port, patience).await?;
            stream.set_nodelay(true)?;
            Ok(Either::Left(stream))
        }
    }
}

/// Asks where the name is now, and tries one address after the other: one that does not answer leaves the others
/// their share of the time.
async fn dial_each(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let watch = Stopwatch::start();
    let mut addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    addresses.dedup();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = patience.saturating_sub(watch.elapsed()) / left;
        left -= 1;
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            // The last one's share is all that is left: whoever limits the whole says that it took too long.
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}
