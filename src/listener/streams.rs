//! The streams of one HTTP/2 connection: each a task with an owner, closed where its client takes nothing, and
//! counted where its client gives it up.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::patience::Watch;
use crate::base::clock::Stopwatch;
use crate::http::{Body, BodyError};

tokio::task_local! {
    /// The pace of the stream that the present task serves.
    static PACE: Arc<Pace>;
}

/// Runs an HTTP/2 connection's streams.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) tasks: TaskTracker,
    pub(super) abort: CancellationToken,
    /// How long a client may take nothing of an answer.
    pub(super) write_timeout: Duration,
    /// The connection is not idle while there are streams, tunnels among them.
    pub(super) watch: Watch,
}

/// Whether a stream waits for its client.
#[derive(Debug)]
struct Pace {
    started: Stopwatch,
    /// Since when (milliseconds) the next piece waits to be asked for; [`NOT`] where the upstream is waited for.
    waiting_since: AtomicU64,
    /// When the answer is to be broken off, once that is known.
    cut_off: SetOnce<CancellationToken>,
}

const NOT: u64 = u64::MAX;

impl Pace {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NOT - 1)
    }

    fn is_waiting(&self) {
        self.waiting_since.store(self.now(), Ordering::Relaxed);
    }

    fn is_not_waiting(&self) {
        self.waiting_since.store(NOT, Ordering::Relaxed);
    }

    /// Ends when the answer is to be broken off.
    async fn cut_off(&self) {
        self.cut_off.wait().await.cancelled().await;
    }

    /// Ends when the client has taken nothing for `patience`.
    async fn stalled(&self, patience: Duration) {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(NOT);
        loop {
            let since = self.waiting_since.load(Ordering::Relaxed);
            let waited = if since == NOT { 0 } else { self.now().saturating_sub(since) };
            if waited >= patience {
                return;
            }
            tokio::time::sleep(Duration::from_millis(patience - waited)).await;
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let (abort, patience, under_way) = (self.abort.clone(), self.write_timeout, self.watch.request());
        let pace = Arc::new(Pace {
            started: Stopwatch::start(),
            waiting_since: AtomicU64::new(NOT),
            cut_off: SetOnce::new(),
        });
        self.tasks.spawn(async move {
            let served = pin!(PACE.scope(Arc::clone(&pace), stream));
            let unless_stalled = async {
                tokio::select! {
                    _ = served => {}
                    () = pace.stalled(patience) => tracing::debug!("a stream is reset: its client takes nothing"),
                    () = pace.cut_off() => tracing::debug!("a stream is reset: its answer is broken off"),
                }
            };
            abort.run_until_cancelled_owned(unless_stalled).await;
            drop(under_way);
        });
    }
}

/// An answer's body that notes whether it waits for its client.
#[derive(Debug)]
pub(super) struct Paced {
    body: Body,
    pace: Option<Arc<Pace>>,
}

impl Paced {
    /// To be made in the task of the stream that it is for.
    pub(super) fn new(body: Body) -> Self {
        let pace = PACE.try_with(Arc::clone).ok();
        if let Some(pace) = &pace {
            pace.is_waiting();
            if let Some(over) = body.cut_off() {
                // A stream has one answer.
                let _ = pace.cut_off.set(over.clone());
            }
        }
        Self { body, pace }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Some(pace) = &self.pace {
            match &polled {
                Poll::Ready(Some(_)) => pace.is_waiting(),
                Poll::Ready(None) | Poll::Pending => pace.is_not_waiting(),
            }
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

/// Counts the requests that a client gives up before they are answered.
#[derive(Clone, Debug)]
pub(super) struct Resets(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    started: Stopwatch,
    most: u32,
    second: AtomicU64,
    count: AtomicU32,
    /// Cancelled where there were too many.
    too_many: CancellationToken,
}

impl Resets {
    /// Cancels `too_many` at more than `most` within a second.
    pub(super) fn new(most: u32, too_many: CancellationToken) -> Self {
        let started = Stopwatch::start();
        let (second, count) = (AtomicU64::new(0), AtomicU32::new(0));
        Self(Arc::new(Counter { started, most, second, count, too_many }))
    }

    /// A request that counts as given up unless it is answered.
    pub(super) fn request(&self) -> Unanswered {
        Unanswered { resets: self.clone(), answered: false }
    }

    fn count(&self) {
        let counter = &self.0;
        let second = counter.started.elapsed().as_secs();
        if counter.second.swap(second, Ordering::Relaxed) != second {
            counter.count.store(0, Ordering::Relaxed);
        }
        if counter.count.fetch_add(1, Ordering::Relaxed) >= counter.most {
            counter.too_many.cancel();
        }
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct Unanswered {
    resets: Resets,
    answered: bool,
}

impl Unanswered {
    /// Waits a turn where one was given up on this connection before: hyper looks whether this one is given up as well
    /// only after it has begun, and whoever sends floods sends both together.
    pub(super) async fn looked_at_twice(&self) {
        let mut looked_at = self.resets.0.count.load(Ordering::Relaxed) == 0;
        poll_fn(|context| {
            if looked_at {
                return Poll::Ready(());
            }
            looked_at = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if !self.answered {
            self.resets.count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_looked_at_twice_where_one_was_given_up_before() {
        let resets = Resets::new(5, CancellationToken::new());
        let mut context = Context::from_waker(std::task::Waker::noop());
        let request = resets.request();
        assert!(pin!(request.looked_at_twice()).poll(&mut context).is_ready());
        drop(request);
        let request = resets.request();
        let mut looked_at = pin!(request.looked_at_twice());
        assert!(looked_at.as_mut().poll(&mut context).is_pending());
        assert!(looked_at.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn too_many_given_up_requests_within_a_second_end_the_connection() {
        let token = CancellationToken::new();
        let resets = Resets::new(5, token.clone());
        for _ in 0..100 {
            resets.request().answered();
        }
        for _ in 0..5 {
            drop(resets.request());
        }
        assert!(!token.is_cancelled(), "so many are allowed");
        drop(resets.request());
        assert!(token.is_cancelled());
    }
}
