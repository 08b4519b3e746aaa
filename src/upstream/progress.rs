//! How long ago something last made headway: an upload that goes on is no reason to give an upstream up, and one that
//! stalls is its client's fault.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Stopwatch;

/// Remembers when something last passed.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    started: Stopwatch,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    last: AtomicU64,
    uploading: AtomicBool,
    waits_for_client: AtomicBool,
}

/// There was no headway for too long.
#[derive(Debug)]
pub(super) struct Stalled;

impl Progress {
    pub(super) fn start() -> Self {
        Self { started: Stopwatch::start(), shared: Arc::default() }
    }

    /// There was headway just now.
    pub(super) fn note(&self) {
        self.shared.last.store(self.elapsed(), Ordering::Relaxed);
    }

    /// Watches the body of the request.
    pub(super) fn upload(&self) -> Upload {
        self.shared.uploading.store(true, Ordering::Release);
        Upload(self.clone())
    }

    /// Whether some of the request's body is still to be sent.
    pub(super) fn is_uploading(&self) -> bool {
        self.shared.uploading.load(Ordering::Acquire)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for `answer` while no pause is longer than `patience`. For how long a client may be silent, somebody else
    /// decides: the server owes nothing meanwhile.
    pub(super) async fn wait<T>(
        &self,
        patience: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, Stalled> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let silent = Duration::from_millis(
                self.elapsed().saturating_sub(self.shared.last.load(Ordering::Relaxed)),
            );
            let left = match patience.checked_sub(silent) {
                Some(left) if !left.is_zero() => left,
                _ if self.shared.waits_for_client.load(Ordering::Acquire) => patience,
                _ => return Err(Stalled),
            };
            if let Ok(answer) = tokio::time::timeout(left, answer.as_mut()).await {
                return Ok(answer);
            }
        }
    }
}

/// What becomes of a request's body on its way upstream.
pub(super) struct Upload(Progress);

impl Upload {
    /// There was headway: a piece, or the end.
    pub(super) fn came(&self) {
        self.0.note();
        self.0.shared.waits_for_client.store(false, Ordering::Release);
    }

    /// The server could have more, and the client has not sent it.
    pub(super) fn waits(&self) {
        self.0.shared.waits_for_client.store(true, Ordering::Release);
    }
}

/// A body is dropped once all of it is sent, or none of it can be sent any more.
impl Drop for Upload {
    fn drop(&mut self) {
        self.0.shared.waits_for_client.store(false, Ordering::Release);
        self.0.shared.uploading.store(false, Ordering::Release);
    }
}
