//! Sessions in use while something breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use foregate::store::{Store, Trouble, Unavailable};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Sample, touch};

const WORKERS: u8 = 10;

/// A worker's rest between two requests: together they make some 500 a second.
const REST: Duration = Duration::from_millis(20);

/// People who use their sessions.
pub(super) struct Load {
    pub(super) since: Stopwatch,
    enough: Arc<AtomicBool>,
    workers: JoinSet<Tally>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: usize,
    /// When, since the beginning, and what.
    pub(super) failures: Vec<(Duration, Trouble)>,
}

/// As many sessions as there are samples, each on the shelf.
pub(super) async fn logged_in(store: &dyn Store, sessions: u8) -> Vec<Sample> {
    let samples: Vec<_> = (0..sessions).map(Sample::new).collect();
    for sample in &samples {
        store.create(&sample.session()).await.unwrap();
    }
    samples
}

impl Load {
    /// On the first `sessions` samples.
    pub(super) fn start(store: &Arc<dyn Store>, sessions: u8) -> Self {
        let (since, enough, mut workers) = (Stopwatch::start(), Arc::<AtomicBool>::default(), JoinSet::new());
        for n in 0..WORKERS {
            let (store, enough) = (Arc::clone(store), Arc::clone(&enough));
            workers.spawn(async move {
                let mut tally = Tally::default();
                while !enough.load(Ordering::Relaxed) {
                    for n in (n..sessions).step_by(usize::from(WORKERS)) {
                        let sample = Sample::new(n);
                        let loaded = store.load(&sample.handle).await.map(|loaded| loaded.record.is_some());
                        tally.note(since, loaded);
                        let used = touch(1_700_000_000 + since.elapsed().as_secs(), sample.ends_at);
                        tally.note(since, store.touch(&sample.handle, used).await);
                        sleep(REST).await;
                    }
                }
                tally
            });
        }
        Self { since, enough, workers }
    }

    /// Lets it go on for a while.
    pub(super) async fn for_another(&self, time: Duration) {
        sleep(time).await;
    }

    pub(super) async fn end(self) -> Tally {
        self.enough.store(true, Ordering::Relaxed);
        let mut whole = Tally::default();
        for tally in self.workers.join_all().await {
            whole.requests += tally.requests;
            whole.failures.extend(tally.failures);
        }
        whole
    }
}

impl Tally {
    fn note(&mut self, since: Stopwatch, exists: Result<bool, Unavailable>) {
        self.requests += 1;
        match exists {
            Ok(exists) => assert!(exists, "a session is lost"),
            Err(error) => self.failures.push((since.elapsed(), error.kind)),
        }
    }

    /// How long after `moment` the last request failed.
    pub(super) fn last_failure_after(&self, moment: Duration) -> Duration {
        let last = self.failures.iter().map(|(when, _)| *when).max().unwrap_or_default();
        last.saturating_sub(moment)
    }
}
