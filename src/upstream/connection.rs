//! One connection to a server, and the answer that still uses it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::error::ForwardError;
use super::pool::{Busy, Pool};
use super::progress::Progress;
use crate::config::ServerUrl;
use crate::http::{Body, trailers};
use crate::outgoing::TlsClient;
use crate::session::Ride;

/// What is spoken within TLS, as ALPN names it.
pub(super) const ALPN: [&str; 1] = ["http/1.1"];

/// A server and how it is reached: within TLS, where there is a client for it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) url: ServerUrl,
    pub(super) tls: Option<TlsClient>,
}

type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection to a server, for one request after the other. Dropped in the middle of one, it closes at once,
/// so that nobody's upload and nobody's answer goes on without them.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) requests: SendRequest<Body>,
    _open: DropGuard,
}

/// Owns the tasks that drive connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Drivers {
    pub(super) tasks: TaskTracker,
    pub(super) abort: CancellationToken,
}

/// Opens a connection; the whole of it, TLS included, takes `patience` at most.
pub(super) async fn connect(
    server: &Server,
    patience: Duration,
    drivers: &Drivers,
) -> Result<Connection, ForwardError> {
    let opened = tokio::time::timeout(patience, open(server)).await;
    let stream = match opened {
        Ok(stream) => stream?,
        Err(_) => return Err(ForwardError::ConnectTimeout),
    };
    let (requests, driver) = Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ForwardError::Broken)?;
    let closed = drivers.abort.child_token();
    let open = closed.clone().drop_guard();
    drivers.tasks.spawn(async move {
        if let Some(Err(error)) = closed.run_until_cancelled_owned(driver.with_upgrades()).await {
            tracing::debug!(%error, "a connection to an upstream ended badly");
        }
    });
    Ok(Connection { requests, _open: open })
}

async fn open(server: &Server) -> Result<Stream, ForwardError> {
    let stream = dial(&server.url).await.map_err(ForwardError::Connect)?;
    let Some(tls) = &server.tls else { return Ok(Either::Left(stream)) };
    let agreed = tls.connect(&server.url.host, stream).await.map_err(ForwardError::Tls)?;
    Ok(Either::Right(Box::new(agreed)))
}

async fn dial(url: &ServerUrl) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Connection,
    pool: Arc<Pool>,
    _busy: Busy,
}

impl Lease {
    pub(super) fn new(connection: Connection, pool: &Arc<Pool>) -> Self {
        Self { connection, pool: Arc::clone(pool), _busy: pool.occupy() }
    }

    fn give_back(self) {
        self.pool.put(self.connection);
    }
}

/// An answer's body; gives its connection back to the pool at its proper end. Dropped before that, it takes the
/// connection with it, so that nobody reads the rest of somebody else's answer.
pub(super) struct Answer {
    body: Incoming,
    lease: Option<Lease>,
    request: Progress,
    _ride: Option<Ride>,
}

impl Answer {
    pub(super) fn new(body: Incoming, lease: Lease, request: Progress, ride: Option<Ride>) -> Self {
        let mut answer = Self { body, lease: Some(lease), request, _ride: ride };
        if answer.body.is_end_stream() {
            answer.end();
        }
        answer
    }

    /// A server that answers before it has read the whole request wants no more of it: the rest must not lie in
    /// the way of the next one.
    fn end(&mut self) {
        let lease = self.lease.take();
        if !self.request.is_uploading() {
            lease.into_iter().for_each(Lease::give_back);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(fields) = frame.trailers_mut()
        {
            trailers::restrict(fields);
        }
        match &polled {
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.end(),
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Err(_))) => self.lease = None,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
