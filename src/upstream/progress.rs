//! How long ago a request last made headway: an upload that goes on is no reason to give an upstream up.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Stopwatch;
use crate::http::Watcher;

/// Remembers when something last passed.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    started: Stopwatch,
    last: Arc<AtomicU64>,
}

/// The upstream made no headway for too long.
#[derive(Debug)]
pub(super) struct Stalled;

impl Progress {
    pub(super) fn start() -> Self {
        Self { started: Stopwatch::start(), last: Arc::new(AtomicU64::new(0)) }
    }

    /// Something passed just now.
    pub(super) fn note(&self) {
        self.last.store(self.elapsed(), Ordering::Relaxed);
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for `answer` while no pause is longer than `patience`.
    pub(super) async fn wait<T>(
        &self,
        patience: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, Stalled> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let silent =
                Duration::from_millis(self.elapsed().saturating_sub(self.last.load(Ordering::Relaxed)));
            let Some(left) = patience.checked_sub(silent).filter(|left| !left.is_zero()) else {
                return Err(Stalled);
            };
            if let Ok(answer) = tokio::time::timeout(left, answer.as_mut()).await {
                return Ok(answer);
            }
        }
    }
}

/// Watches a request's body on its way upstream.
impl Watcher for Progress {
    fn passed(&mut self, _bytes: usize) {
        self.note();
    }

    fn ended(&mut self) {
        self.note();
    }
}
