//! Ends what rides on a session once that is over, wherever it was ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Session;
use super::live::Riders;
use super::lookup::Lookup;
use super::opened::Opened;
use crate::base::handle::Handle;
use crate::store::Unavailable;
use crate::telemetry::Facts;

/// How often sessions are looked at of which nobody would tell. What rides is to end within a second, and a look-up may
/// take its time.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Sessions that are looked up at once.
const AT_ONCE: usize = 16;

/// Looks after the sessions that something rides on.
#[derive(Clone, Debug)]
pub struct Watchman {
    riders: Arc<Riders>,
    lookup: Lookup,
}

impl Watchman {
    pub(super) fn new(lookup: Lookup) -> Self {
        Self { riders: Arc::clone(&lookup.memory.riders), lookup }
    }

    /// Watches until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.watch()).await;
    }

    async fn watch(&self) {
        let mut again = interval(LOOK_EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.riders.word() => self.look_at(changed).await,
                _ = again.tick() => self.look_around().await,
            }
        }
    }

    async fn look_around(&self) {
        let now = self.lookup.clock.now();
        let mut unknown = Vec::new();
        for (handle, ends_at) in self.riders.sessions() {
            if now >= ends_at {
                self.riders.end(&handle);
            } else if !self.lookup.memory.fresh(&handle).is_some_and(|known| self.is_alive(&known)) {
                unknown.push(handle);
            }
        }
        self.look_at(unknown).await;
    }

    async fn look_at(&self, handles: impl IntoIterator<Item = Handle>) {
        let mut under_way = JoinSet::new();
        for handle in handles {
            if under_way.len() >= AT_ONCE {
                under_way.join_next().await;
            }
            let watchman = self.clone();
            under_way.spawn(async move { watchman.decide(&handle).await });
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn decide(&self, handle: &Handle) {
        match self.look_up(handle).await {
            Ok(Some(alive)) => self.riders.alive(&alive),
            Ok(None) => self.riders.end(handle),
            Err(_) => self.riders.unknown(handle, self.lookup.clock.now()),
        }
    }

    /// The session, where it is alive.
    async fn look_up(&self, handle: &Handle) -> Result<Option<Arc<Session>>, Unavailable> {
        let known = self.lookup.find(handle, &Facts::default()).await?;
        if let Some(known) = known.filter(|known| self.is_alive(known)) {
            return Ok(Some(Arc::clone(&known.session)));
        }
        // Another proxy may have recorded a use that nobody here has heard of yet.
        let stored = self.lookup.load(handle, &Facts::default()).await?.value;
        Ok(stored.filter(|stored| self.is_alive(stored)).map(|stored| Arc::clone(&stored.session)))
    }

    fn is_alive(&self, opened: &Opened) -> bool {
        !opened.session.is_over(self.lookup.clock.now())
    }
}
