//! Connections that carry many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::Parts;
use http::{Request, Uri, Version};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::connection::Drivers;
use crate::base::clock::Stopwatch;
use crate::http::{Body, Scheme};

/// The largest head of an answer: 64 KiB as over HTTP/1.1, and the 32 bytes that each of a hundred lines counts for
/// besides (RFC 9113 §6.5.2).
const HEAD: u32 = 64 * 1024 + 100 * 32;

/// Requests that one connection carries at most; a server may want fewer, and then some wait within.
const STREAMS: u32 = 100;

/// What may lie unread of one answer.
const STREAM_WINDOW: u32 = 128 * 1024;

/// Clients that do not read hold up nobody else's answer: there is room for all that may lie unread.
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;

/// How long a server may be silent under requests before it is asked for a sign of life, and may take for that.
const SILENCE: Duration = Duration::from_secs(10);

/// A connection that requests share.
#[derive(Debug)]
pub(super) struct Shared {
    requests: SendRequest<Body>,
    made: Stopwatch,
    streams: AtomicUsize,
    /// When the last stream ended, in milliseconds of its age.
    last_used: AtomicU64,
    is_spent: AtomicBool,
    _open: DropGuard,
}

/// One request's part of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    connection: Arc<Shared>,
}

/// Where the tasks of one connection run.
#[derive(Clone)]
struct Tasks {
    tracker: TaskTracker,
    closed: CancellationToken,
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.tracker.spawn(self.closed.clone().run_until_cancelled_owned(task));
    }
}

impl Shared {
    /// Begins HTTP/2 on a stream of bytes. All of its tasks end when this is dropped.
    pub(super) async fn open<S>(stream: S, drivers: &Drivers) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let tasks = Tasks { tracker: drivers.tasks.clone(), closed: drivers.abort.child_token() };
        let open = tasks.closed.clone().drop_guard();
        let (requests, driver) = Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD)
            .keep_alive_interval(SILENCE)
            .keep_alive_timeout(SILENCE)
            .handshake(TokioIo::new(stream))
            .await?;
        tasks.execute(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to an upstream ended badly");
            }
        });
        Ok(Self {
            requests,
            made: Stopwatch::start(),
            streams: AtomicUsize::new(0),
            last_used: AtomicU64::new(0),
            is_spent: AtomicBool::new(false),
            _open: open,
        })
    }

    /// A part of it for one more request; `None` where there is no room for one, or its time is up.
    pub(super) fn stream(self: &Arc<Self>, age: Duration) -> Option<Stream> {
        if !self.is_open(age) {
            return None;
        }
        let room = |streams: usize| (streams < STREAMS as usize).then_some(streams + 1);
        self.streams.fetch_update(Ordering::AcqRel, Ordering::Relaxed, room).ok()?;
        Some(Stream { connection: Arc::clone(self) })
    }

    /// Whether further requests may be sent on it.
    pub(super) fn is_open(&self, age: Duration) -> bool {
        !self.is_spent.load(Ordering::Relaxed) && !self.requests.is_closed() && self.made.elapsed() < age
    }

    /// For how long it has carried none; `None` where it carries some.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        if self.streams.load(Ordering::Acquire) > 0 {
            return None;
        }
        Some(
            self.made.elapsed().saturating_sub(Duration::from_millis(self.last_used.load(Ordering::Relaxed))),
        )
    }
}

impl Stream {
    /// The sender of this one request.
    pub(super) fn requests(&self) -> SendRequest<Body> {
        self.connection.requests.clone()
    }

    /// No further request is sent on the connection; those under way go on.
    pub(super) fn spend(&self) {
        self.connection.is_spent.store(true, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let age = u64::try_from(self.connection.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.connection.last_used.store(age, Ordering::Relaxed);
        self.connection.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The request as HTTP/2 has it: `Host` is `:authority`, and nothing speaks of a connection (RFC 9113 §8.2.2).
pub(super) fn convert(request: &mut Request<Body>, scheme: Scheme) {
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    let host = headers.remove(HOST).expect("every request has one");
    let mut parts = Parts::default();
    parts.scheme = Some(scheme.as_str().parse().expect("http and https are schemes"));
    parts.authority = Some(host.as_bytes().try_into().expect("an authority was read as one"));
    parts.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(parts).expect("nothing is missing");
    *request.version_mut() = Version::HTTP_2;
}
