//! What a watcher knows, for those who ask: they read it without a lock, wait for the first of it, and say when it
//! seems to be wrong.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use deadpool_redis::redis::RedisResult;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::base::clock::Stopwatch;
use crate::base::random::Random;
use crate::store::redis::dial::Patience;
use crate::store::redis::trouble::overdue;

/// How long what nobody confirms is believed.
pub(super) const MAX_AGE: Duration = Duration::from_secs(10);

/// Between two looks at the same thing, however loudly it is doubted: 50 to 150 ms, so that not all proxies look
/// at once.
fn pace(random: Random) -> Duration {
    Duration::from_millis(50 + u64::from(u16::from_ne_bytes(random.bytes())) % 101)
}

/// One view at a time.
pub(super) struct Board<T> {
    view: ArcSwapOption<RedisResult<T>>,
    posted: watch::Sender<()>,
    doubted: watch::Sender<()>,
}

impl<T: Clone> Board<T> {
    pub(super) fn new() -> Self {
        Self { view: ArcSwapOption::empty(), posted: watch::Sender::new(()), doubted: watch::Sender::new(()) }
    }

    /// What is known, or why nothing is; `None` before the first word of the watcher.
    pub(super) fn view(&self) -> Option<RedisResult<T>> {
        self.view.load().as_deref().cloned()
    }

    /// The same, once there is a first word.
    pub(super) async fn first(&self, patience: Patience) -> RedisResult<T> {
        let mut posted = self.posted.subscribe();
        let waited = patience.wait(async {
            loop {
                match self.view() {
                    Some(view) => return view,
                    None => posted.changed().await.expect("the sender is ours"),
                }
            }
        });
        waited.await.unwrap_or_else(|_| Err(overdue()))
    }

    pub(super) fn post(&self, view: RedisResult<T>) {
        self.view.store(Some(Arc::new(view)));
        self.posted.send_replace(());
    }

    /// Asks the watcher to look again.
    pub(super) fn doubt(&self) {
        self.doubted.send_replace(());
    }

    /// A watcher's turns.
    pub(super) fn turns(&self, random: Random) -> Turns {
        Turns { doubted: self.doubted.subscribe(), random, last: Stopwatch::start() }
    }
}

/// When it is time to look again.
pub(super) struct Turns {
    doubted: watch::Receiver<()>,
    random: Random,
    last: Stopwatch,
}

impl Turns {
    /// Waits until `calm` is over or somebody doubts, but never looks twice in quick succession.
    pub(super) async fn next(&mut self, calm: Duration) {
        // Whoever could doubt has gone with the board, or time is over: either is a reason to look.
        let _ = timeout(calm.saturating_sub(self.last.elapsed()), self.doubted.changed()).await;
        sleep(pace(self.random).saturating_sub(self.last.elapsed())).await;
        self.doubted.mark_unchanged();
        self.last = Stopwatch::start();
    }
}
