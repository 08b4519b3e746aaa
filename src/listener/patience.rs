//! How long a connection may keep us waiting: for a head, for the next request, for its reader.
//!
//! hyper bounds none of these by itself but the head of an HTTP/1 request, so the connection is watched from
//! outside: its stream notes when bytes come and when they cannot leave, its requests note when they begin and
//! end, and [`Watch::overdue`] sleeps until one of them has taken too long.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::base::clock::Stopwatch;
use crate::base::lock::lock;
use crate::config::Limits;

/// What is known of a connection's pace. Cloned into its stream and its requests.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<State>);

#[derive(Debug)]
struct State {
    started: Stopwatch,
    heads: Heads,
    /// Whether anything has come at all.
    has_begun: AtomicBool,
    requests: AtomicU32,
    /// When the last request ended, or the connection began; milliseconds since then, as all below.
    idle_since: AtomicU64,
    /// When the first byte of a head came that is not whole yet; [`NEVER`] where none did.
    head_since: AtomicU64,
    /// Since when the client takes nothing of what is to be written; [`NEVER`] where it does.
    blocked_since: AtomicU64,
    changed: Mutex<Option<Waker>>,
    /// When the answer under way is to be broken off.
    cut_off: Mutex<Option<Pin<Box<WaitForCancellationFutureOwned>>>>,
}

/// Whether the first byte after a request begins a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heads {
    Timed,
    Untimed,
}

const NEVER: u64 = u64::MAX;

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nothing came, or the rest of a head did not.
    Idle,
    /// The client does not read.
    Write,
}

impl Watch {
    /// For HTTP/1, where each request begins with its head.
    pub(super) fn of_heads() -> Self {
        Self::start(Heads::Timed)
    }

    /// For HTTP/2, where bytes come between requests as well.
    pub(super) fn of_frames() -> Self {
        Self::start(Heads::Untimed)
    }

    fn start(heads: Heads) -> Self {
        Self(Arc::new(State {
            started: Stopwatch::start(),
            heads,
            has_begun: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(NEVER),
            blocked_since: AtomicU64::new(NEVER),
            changed: Mutex::new(None),
            cut_off: Mutex::new(None),
        }))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// A request is under way until the result is dropped.
    pub(super) fn request(&self) -> InRequest {
        self.0.requests.fetch_add(1, Ordering::SeqCst);
        self.0.head_since.store(NEVER, Ordering::SeqCst);
        InRequest(self.clone())
    }

    fn bytes_came(&self) {
        self.0.has_begun.store(true, Ordering::SeqCst);
        if self.0.heads == Heads::Timed && self.0.requests.load(Ordering::SeqCst) == 0 {
            let first =
                self.0.head_since.compare_exchange(NEVER, self.now(), Ordering::SeqCst, Ordering::SeqCst);
            if first.is_ok() {
                self.wake();
            }
        }
    }

    fn wrote<T>(&self, polled: &Poll<io::Result<T>>) {
        match polled {
            Poll::Ready(_) => self.0.blocked_since.store(NEVER, Ordering::SeqCst),
            Poll::Pending => {
                let now = self.now();
                let first =
                    self.0.blocked_since.compare_exchange(NEVER, now, Ordering::SeqCst, Ordering::SeqCst);
                if first.is_ok() {
                    self.wake();
                }
            }
        }
    }

    fn wake(&self) {
        if let Some(waker) = lock(&self.0.changed).take() {
            waker.wake();
        }
    }

    /// When something will have taken too long, if nothing changes until then.
    fn deadline(&self, limits: &Limits) -> Option<(u64, Overdue)> {
        let at = |since: &AtomicU64, limit: Duration| {
            let since = since.load(Ordering::SeqCst);
            let limit = u64::try_from(limit.as_millis()).unwrap_or(NEVER);
            (since != NEVER).then(|| since.saturating_add(limit))
        };
        let write = at(&self.0.blocked_since, limits.write_timeout).map(|at| (at, Overdue::Write));
        let idle = (self.0.requests.load(Ordering::SeqCst) == 0).then(|| {
            let head = at(&self.0.head_since, limits.header_timeout);
            (head.or_else(|| at(&self.0.idle_since, limits.idle_timeout)).unwrap_or(NEVER), Overdue::Idle)
        });
        [write, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Ends when something has taken too long.
    pub(super) async fn overdue(&self, limits: &Limits) -> Overdue {
        loop {
            let deadline = self.deadline(limits);
            let left = deadline.map(|(at, _)| at.saturating_sub(self.now()));
            if let (Some((_, why)), Some(0)) = (deadline, left) {
                return why;
            }
            let changed = self.changed(deadline.map(|(at, _)| at), limits);
            match left {
                None => changed.await,
                // Whether it is time or something has changed, it is looked at anew.
                Some(left) => drop(tokio::time::timeout(Duration::from_millis(left), changed).await),
            }
        }
    }

    /// Ends when something has come by the connection. What comes wakes nobody: this is to be polled whenever the
    /// connection has been.
    pub(super) async fn begun(&self) {
        let state = &self.0;
        poll_fn(|_| if state.has_begun.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }

    /// Ends when the answer under way is to be broken off. An answer that begins wakes nobody: this is to be polled
    /// whenever the requests have been.
    pub(super) async fn cut_off(&self) {
        poll_fn(|context| match &mut *lock(&self.0.cut_off) {
            Some(over) => over.as_mut().poll(context),
            None => Poll::Pending,
        })
        .await;
    }

    /// Ends when the deadline is no longer `known`.
    async fn changed(&self, known: Option<u64>, limits: &Limits) {
        poll_fn(|context| {
            *lock(&self.0.changed) = Some(context.waker().clone());
            if self.deadline(limits).map(|(at, _)| at) == known { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct InRequest(Watch);

impl InRequest {
    /// Its answer is to be broken off at `over`.
    pub(super) fn cut_off_at(&self, over: CancellationToken) {
        *lock(&self.0.0.cut_off) = Some(Box::pin(over.cancelled_owned()));
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        let state = &self.0.0;
        *lock(&state.cut_off) = None;
        state.idle_since.store(self.0.now(), Ordering::SeqCst);
        state.requests.fetch_sub(1, Ordering::SeqCst);
        self.0.wake();
    }
}

/// A stream that tells its [`Watch`] what passes.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    watch: Watch,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Watch) -> Self {
        Self { stream, watch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.watch.bytes_came();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch.wrote(&polled);
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(header: u64, idle: u64) -> Limits {
        Limits {
            header_timeout: Duration::from_millis(header),
            idle_timeout: Duration::from_millis(idle),
            ..Limits::default()
        }
    }

    #[test]
    fn a_request_under_way_has_no_deadline_of_its_own() {
        let watch = Watch::of_heads();
        assert_eq!(watch.deadline(&limits(10, 75)).unwrap().0, 75);
        let request = watch.request();
        assert_eq!(watch.deadline(&limits(10, 75)), None);
        watch.bytes_came();
        assert_eq!(watch.deadline(&limits(10, 75)), None, "the bytes are its body's");
        drop(request);
        assert!(watch.deadline(&limits(10, 75)).unwrap().0 >= 75);
    }

    #[test]
    fn the_first_byte_of_a_head_starts_its_time_and_further_ones_do_not() {
        let watch = Watch::of_heads();
        watch.bytes_came();
        let first = watch.deadline(&limits(10_000, 75_000)).unwrap();
        assert!(first.0 < 11_000, "{first:?}");
        watch.bytes_came();
        assert_eq!(watch.deadline(&limits(10_000, 75_000)).unwrap(), first);
    }

    #[test]
    fn a_reader_that_takes_nothing_is_overdue_even_within_a_request() {
        let watch = Watch::of_heads();
        let _request = watch.request();
        watch.wrote::<usize>(&Poll::Pending);
        let (at, why) = watch.deadline(&Limits::default()).unwrap();
        assert!((60_000..61_000).contains(&at) && why == Overdue::Write, "{at} {why:?}");
        watch.wrote(&Poll::Ready(Ok(1)));
        assert_eq!(watch.deadline(&Limits::default()), None);
    }

    #[tokio::test]
    async fn a_silent_connection_is_overdue_in_time() {
        let watch = Watch::of_heads();
        let limits = limits(10, 20);
        let waiting = tokio::time::timeout(Duration::from_secs(5), watch.overdue(&limits));
        assert_eq!(waiting.await, Ok(Overdue::Idle));
    }
}
