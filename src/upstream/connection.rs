//! One connection to a server, and the answer that still uses it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::bonds::Turn;
use super::http2::Stream;
use super::pool::Place;
use super::progress::Progress;
use crate::base::clock::Stopwatch;
use crate::http::{Body, BodyError, trailers};
use crate::session::Ride;

/// What is spoken within TLS, as ALPN names it.
pub(super) const HTTP2: &str = "h2";
/// See [`HTTP2`].
pub(super) const HTTP1: &str = "http/1.1";

/// How long a connection that has just ended an answer may take to be ready for the next request. Longer, and
/// something of the request before is still under way on it.
const MOMENT: Duration = Duration::from_millis(5);

/// What a request is sent on.
#[derive(Debug)]
pub(super) enum Connection {
    /// Its own, until the answer has ended (HTTP/1.1).
    Own(Own),
    /// One that it shares (HTTP/2).
    Shared(Stream),
}

/// What a request can be sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Whatever the server speaks.
    Any,
    /// One of its own, which can become a tunnel, or one client's.
    Own,
}

impl Connection {
    /// Sends a request; the error has it where it was not sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Self::Own(own) => own.requests.try_send_request(request).await,
            Self::Shared(stream) => stream.requests().try_send_request(request).await,
        }
    }
}

/// A connection to a server, for one request after the other. Dropped in the middle of one, it closes at once,
/// so that nobody's upload and nobody's answer goes on without them.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) requests: SendRequest<Body>,
    /// Since when it is there.
    pub(super) made: Stopwatch,
    _open: DropGuard,
}

impl Own {
    /// One that closes when it is dropped.
    pub(super) fn new(requests: SendRequest<Body>, open: DropGuard) -> Self {
        Self { requests, made: Stopwatch::start(), _open: open }
    }

    /// Whether the next request can be sent on it.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.requests.is_ready()
            || matches!(tokio::time::timeout(MOMENT, self.requests.ready()).await, Ok(Ok(())))
    }
}

/// Owns the tasks that drive connections.
#[derive(Clone, Debug, Default)]
pub struct Drivers {
    pub(super) tasks: TaskTracker,
    pub(super) abort: CancellationToken,
}

impl Drivers {
    /// Closes every connection and waits for the tasks that drive them.
    pub async fn close(&self) {
        self.abort.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Drives a connection until the result is dropped.
    pub(super) fn drive(
        &self,
        driver: impl Future<Output = hyper::Result<()>> + Send + 'static,
    ) -> DropGuard {
        let closed = self.abort.child_token();
        let open = closed.clone().drop_guard();
        self.tasks.spawn(async move {
            if let Some(Err(error)) = closed.run_until_cancelled_owned(driver).await {
                tracing::debug!(%error, "a connection to an upstream ended badly");
            }
        });
        open
    }
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    pub(super) place: Place,
    pub(super) home: Home,
}

/// Where a connection goes once the answer has ended.
#[derive(Debug)]
pub(super) enum Home {
    /// To whoever asks next.
    Pool,
    /// To the client that it belongs to.
    Client(Turn),
    /// It closes: somebody may have authenticated on it.
    Nowhere,
}

impl Lease {
    fn give_back(self) {
        match (self.home, self.connection) {
            (Home::Pool, connection) => self.place.give_back(connection),
            (Home::Client(turn), Connection::Own(own)) => turn.keep(own, self.place),
            (Home::Client(_), Connection::Shared(_)) | (Home::Nowhere, _) => {}
        }
    }
}

/// An answer's body; gives its connection back to the pool at its proper end. Dropped before that, it takes the
/// connection with it, so that nobody reads the rest of somebody else's answer.
pub(super) struct Answer {
    body: Incoming,
    lease: Option<Lease>,
    request: Progress,
    patience: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    _ride: Option<Ride>,
}

/// The server went silent in the middle of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the upstream went silent in the middle of its answer")]
struct Silent;

impl Answer {
    /// Broken off where the server is silent for longer than `patience`; a client that takes nothing is another matter.
    pub(super) fn new(
        body: Incoming,
        lease: Lease,
        request: Progress,
        ride: Option<Ride>,
        patience: Duration,
    ) -> Self {
        let lease = Some(lease);
        let mut answer = Self { body, lease, request, patience, silence: None, _ride: ride };
        if answer.body.is_end_stream() {
            answer.end();
        }
        answer
    }

    fn waits_too_long(&mut self, context: &mut Context<'_>) -> bool {
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        silence.as_mut().poll(context).is_ready()
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
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.silence = None;
        } else if self.waits_too_long(context) {
            self.lease = None;
            return Poll::Ready(Some(Err(Silent.into())));
        }
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
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
