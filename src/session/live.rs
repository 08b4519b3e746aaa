//! What rides on sessions for longer than a moment: WebSockets, streams, long transfers. It ends when its session does.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Session;
use super::touch::Notices;
use crate::base::clock::{Clock, Timestamp};
use crate::base::handle::Handle;
use crate::base::lock::lock;
use crate::telemetry::{Counted, Metrics};

/// Sessions are spread over so many locks.
const SHARDS: usize = 16;

/// Lets long requests ride on sessions. Requests that are over in a moment need none of it.
#[derive(Clone, Debug)]
pub struct Live {
    riders: Arc<Riders>,
    notices: Notices,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// Something under way on a session, until it is dropped.
#[derive(Debug)]
pub struct Ride {
    riders: Arc<Riders>,
    handle: Handle,
    over: CancellationToken,
    _counted: Counted,
}

/// Notes that a session is used by what rides on it.
#[derive(Debug)]
pub struct Uses {
    session: Arc<Session>,
    noted_at: Timestamp,
    notices: Notices,
    clock: Clock,
}

impl Live {
    pub(super) fn new(riders: Arc<Riders>, notices: Notices, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { riders, notices, clock, metrics }
    }

    /// Begins a ride. Should the session have ended meanwhile, it is over within a second.
    pub fn ride(&self, session: &Session) -> Ride {
        let riders = Arc::clone(&self.riders);
        let over = riders.board(session);
        Ride { riders, handle: session.handle, over, _counted: self.metrics.ride() }
    }

    /// Who notes that `session` is used.
    pub fn uses(&self, session: &Arc<Session>) -> Uses {
        Uses {
            session: Arc::clone(session),
            noted_at: session.last_seen_at,
            notices: self.notices.clone(),
            clock: self.clock.clone(),
        }
    }
}

impl Ride {
    /// Cancelled when the session is over.
    pub fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// What `work` comes to; `None` where the session is over first.
    pub async fn while_it_lasts<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.over.run_until_cancelled(work).await
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        self.riders.leave(&self.handle);
    }
}

impl Uses {
    /// The session is used now; recorded at most once per touch interval.
    pub fn note(&mut self) {
        let now = self.clock.now();
        if now.since(self.noted_at) >= self.session.touch_interval() {
            self.noted_at = now;
            self.notices.record(&self.session, now);
        }
    }
}

/// Everything that rides, by session.
#[derive(Debug, Default)]
pub(super) struct Riders {
    sessions: [Mutex<HashMap<Handle, Ridden>>; SHARDS],
    changed: Mutex<HashSet<Handle>>,
    word: Notify,
}

/// A session that is ridden on. Once over it stays so until the last has left: a handle never comes back to life.
#[derive(Debug)]
struct Ridden {
    rides: usize,
    ends_at: Timestamp,
    /// As far as is known here: uses that other proxies record move it.
    idle_ends_at: Timestamp,
    over: CancellationToken,
}

impl Riders {
    fn board(&self, session: &Session) -> CancellationToken {
        let mut shard = self.shard(&session.handle);
        let ridden = shard.entry(session.handle).or_insert_with(|| Ridden {
            rides: 0,
            ends_at: session.ends_at,
            idle_ends_at: session.idle_ends_at(),
            over: CancellationToken::new(),
        });
        ridden.rides += 1;
        ridden.over.clone()
    }

    /// The session was looked at, and is alive.
    pub(super) fn alive(&self, session: &Session) {
        if let Some(ridden) = self.shard(&session.handle).get_mut(&session.handle) {
            ridden.idle_ends_at = session.idle_ends_at();
        }
    }

    /// Nobody can tell of the session at `now`: what was known of it last holds, and no longer.
    pub(super) fn unknown(&self, handle: &Handle, now: Timestamp) {
        let is_over = self.shard(handle).get(handle).is_some_and(|ridden| now >= ridden.idle_ends_at);
        if is_over {
            self.end(handle);
        }
    }

    fn leave(&self, handle: &Handle) {
        let mut shard = self.shard(handle);
        let ridden = shard.get_mut(handle).expect("who rides has boarded");
        ridden.rides -= 1;
        if ridden.rides == 0 {
            shard.remove(handle);
        }
    }

    /// The session is over, and so is all that rides on it.
    pub(super) fn end(&self, handle: &Handle) {
        let over = self.shard(handle).get(handle).map(|ridden| ridden.over.clone());
        if let Some(over) = over {
            tracing::debug!(%handle, "what rides on a session ends with it");
            over.cancel();
        }
    }

    /// The session may be over; who rides on it waits for somebody to look.
    pub(super) fn changed(&self, handle: &Handle) {
        if self.shard(handle).contains_key(handle) {
            lock(&self.changed).insert(*handle);
            self.word.notify_one();
        }
    }

    /// The sessions that have changed, as soon as there are any.
    pub(super) async fn word(&self) -> HashSet<Handle> {
        self.word.notified().await;
        std::mem::take(&mut *lock(&self.changed))
    }

    /// The sessions that are ridden on, and their absolute ends.
    pub(super) fn sessions(&self) -> Vec<(Handle, Timestamp)> {
        let mut sessions = Vec::new();
        for shard in &self.sessions {
            let shard = lock(shard);
            let alive = shard.iter().filter(|(_, ridden)| !ridden.over.is_cancelled());
            sessions.extend(alive.map(|(handle, ridden)| (*handle, ridden.ends_at)));
        }
        sessions
    }

    fn shard(&self, handle: &Handle) -> MutexGuard<'_, HashMap<Handle, Ridden>> {
        lock(&self.sessions[usize::from(handle.as_bytes()[0]) % SHARDS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::session_of;

    fn session(n: u8) -> Session {
        Session { handle: Handle::new([n; 16]), ..session_of("alice", &[]) }
    }

    #[test]
    fn a_thousand_that_come_and_go_leave_nothing() {
        let riders = Riders::default();
        let sessions: Vec<_> = (0..=249).map(session).collect();
        for session in sessions.iter().cycle().take(1_000) {
            riders.board(session);
        }
        assert_eq!(riders.sessions().len(), 250);
        riders.end(&sessions[0].handle);
        for session in sessions.iter().cycle().take(1_000) {
            riders.leave(&session.handle);
        }
        assert!(riders.sessions.iter().all(|shard| lock(shard).is_empty()));
    }

    #[test]
    fn an_end_is_everybodys_on_that_session_and_nobody_elses() {
        let riders = Riders::default();
        let (one, two) = (riders.board(&session(1)), riders.board(&session(1)));
        let other = riders.board(&session(2));
        riders.end(&session(1).handle);
        assert!(one.is_cancelled() && two.is_cancelled() && !other.is_cancelled());
        assert!(riders.board(&session(1)).is_cancelled(), "who comes late hears of it too");
        assert_eq!(riders.sessions(), [(session(2).handle, session(2).ends_at)], "it is not looked at again");
    }

    #[tokio::test]
    async fn word_of_a_session_comes_once_and_only_where_somebody_rides() {
        let riders = Riders::default();
        riders.board(&session(1));
        for n in [1, 2, 1, 1] {
            riders.changed(&session(n).handle);
        }
        assert_eq!(riders.word().await, HashSet::from([session(1).handle]));
        assert!(lock(&riders.changed).is_empty());
    }
}
