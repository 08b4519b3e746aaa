//! Any store, not asked while it is away: whoever needs it is told so at once instead of waiting in vain, and one
//! question at a time finds out when it is back.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Answer, Bucket, Cursor, Fetch, Loaded, Member, NewSession, Parcel, Part, Place, Removed, Replaced, Store,
    Taken, Touch, Transition, Trouble, Unavailable,
};
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::lock::lock;
use crate::base::random::Random;

/// So many failures in a row mean that it is away. One may be a connection that was cut.
const FAILURES: u32 = 5;

/// A store that is left in peace while it is away.
pub struct Breaker {
    store: Arc<dyn Store>,
    random: Random,
    circuit: Arc<Circuit>,
}

/// Closed: all is well. Open: nobody asks but the probe.
#[derive(Default)]
struct Circuit {
    failures: AtomicU32,
    is_open: AtomicBool,
    cause: Mutex<Option<Cause>>,
    probe: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Why nobody is to ask.
#[derive(Clone)]
struct Cause {
    kind: Trouble,
    text: String,
}

/// The store was not asked.
#[derive(Debug, thiserror::Error)]
#[error("it was away a moment ago, and has not come back: {0}")]
struct StillAway(String);

impl Breaker {
    /// Looks after `store`.
    pub fn new(store: Arc<dyn Store>, random: Random) -> Self {
        Self { store, random, circuit: Arc::default() }
    }

    /// Asks, where there is any use in it.
    fn guard<'a, T: Send + 'a>(&'a self, ask: impl FnOnce(&'a dyn Store) -> Answer<'a, T>) -> Answer<'a, T> {
        match self.circuit.away() {
            Some(away) => refused(away),
            None => ask(&*self.store),
        }
    }

    /// The same, with a command that only reads: what that comes to tells whether the store is there. A write may be
    /// refused by one that is.
    fn heed<'a, T: Send + 'a>(&'a self, ask: impl FnOnce(&'a dyn Store) -> Answer<'a, T>) -> Answer<'a, T> {
        if let Some(away) = self.circuit.away() {
            return refused(away);
        }
        let answer = ask(&*self.store);
        Box::pin(async move {
            let answer = answer.await;
            match &answer {
                Err(error) if means_away(error.kind) => self.failed(),
                _ => self.circuit.failures.store(0, Ordering::Relaxed),
            }
            answer
        })
    }

    /// Has somebody find out, after a few failures, whether it is the store or a part of it.
    fn failed(&self) {
        if self.circuit.failures.fetch_add(1, Ordering::Relaxed) + 1 < FAILURES {
            return;
        }
        let mut running = lock(&self.circuit.probe);
        if running.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            let probe = probe(Arc::clone(&self.store), self.random, Arc::clone(&self.circuit));
            *running = Some(AbortOnDropHandle::new(tokio::spawn(probe)));
        }
    }
}

/// The answer of who did not ask.
fn refused<'a, T: Send + 'a>(away: Unavailable) -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(away)))
}

impl Drop for Breaker {
    /// The probe and the circuit keep each other.
    fn drop(&mut self) {
        lock(&self.circuit.probe).take();
    }
}

impl Circuit {
    /// Why nobody is to ask; `None` where somebody may.
    fn away(&self) -> Option<Unavailable> {
        if !self.is_open.load(Ordering::Acquire) {
            return None;
        }
        let Cause { kind, text } = lock(&self.cause).clone()?;
        Some(Unavailable { kind, source: Some(Box::new(StillAway(text))) })
    }

    fn open(&self, error: &Unavailable) {
        let text = error.source.as_deref().map_or_else(|| error.kind.to_string(), ToString::to_string);
        *lock(&self.cause) = Some(Cause { kind: error.kind, text });
        self.is_open.store(true, Ordering::Release);
    }

    fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.is_open.store(false, Ordering::Release);
    }
}

/// Asks whether anybody is there until somebody is. Spread, so that not all proxies come at once.
async fn probe(store: Arc<dyn Store>, random: Random, circuit: Arc<Circuit>) {
    let probed = Probed(circuit);
    while let Err(error) = store.knock().await {
        probed.0.open(&error);
        let spread = u64::from(u16::from_ne_bytes(random.bytes())) % 151;
        sleep(Duration::from_millis(50 + spread)).await;
    }
}

/// A circuit that is open no longer than somebody finds out when to close it, whatever becomes of them.
struct Probed(Arc<Circuit>);

impl Drop for Probed {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What asking again would not mend for anybody.
const fn means_away(kind: Trouble) -> bool {
    match kind {
        Trouble::Connection | Trouble::Tls | Trouble::Timeout | Trouble::NotReady => true,
        Trouble::Denied | Trouble::ReadOnly | Trouble::Full | Trouble::Protocol => false,
    }
}

impl Store for Breaker {
    fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Loaded> {
        self.heed(|store| store.load(handle))
    }

    fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()> {
        self.guard(|store| store.create(session))
    }

    fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool> {
        self.guard(move |store| store.touch(handle, touch))
    }

    fn replace<'a>(&'a self, handle: &'a Handle, transition: Transition<'a>) -> Answer<'a, Replaced> {
        self.guard(move |store| store.replace(handle, transition))
    }

    fn remove<'a>(&'a self, handle: &'a Handle, account: &'a str) -> Answer<'a, Removed> {
        self.guard(|store| store.remove(handle, account))
    }

    fn members<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Member>> {
        self.guard(|store| store.members(account))
    }

    fn survey(&self, from: Cursor) -> Answer<'_, Part> {
        self.guard(|store| store.survey(from))
    }

    fn take<'a>(&'a self, bucket: &'a Bucket, now: Timestamp) -> Answer<'a, Taken> {
        self.guard(move |store| store.take(bucket, now))
    }

    fn give_back<'a>(&'a self, bucket: &'a Bucket, place: Place, now: Timestamp) -> Answer<'a, ()> {
        self.guard(move |store| store.give_back(bucket, place, now))
    }

    fn deposit<'a>(&'a self, parcel: &'a Parcel<'a>) -> Answer<'a, ()> {
        self.guard(|store| store.deposit(parcel))
    }

    fn fetch<'a>(&'a self, name: &'a Handle, how: Fetch) -> Answer<'a, Option<Vec<u8>>> {
        self.guard(move |store| store.fetch(name, how))
    }

    fn knock(&self) -> Answer<'_, ()> {
        self.store.knock()
    }

    fn remark(&self) -> Option<String> {
        self.store.remark()
    }

    fn ping(&self) -> Answer<'_, ()> {
        self.heed(|store| store.ping())
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Breaker").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::super::memory::MemoryStore;
    use super::*;
    use crate::base::clock::{Clock, Stopwatch};

    /// A store that answers pings as it is told, and counts what it is asked.
    #[derive(Debug)]
    struct Moody {
        trouble: Mutex<Option<Trouble>>,
        asked: AtomicUsize,
        opens: AtomicBool,
        well: MemoryStore,
    }

    impl Moody {
        fn in_trouble(trouble: Trouble) -> Arc<Self> {
            let well = MemoryStore::new(Clock::system());
            Arc::new(Self {
                trouble: Mutex::new(Some(trouble)),
                asked: AtomicUsize::new(0),
                opens: AtomicBool::new(false),
                well,
            })
        }

        fn moody<'a, T: Send + 'a>(&'a self, well: T) -> Answer<'a, T> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = match *lock(&self.trouble) {
                Some(kind) => Err(Unavailable { kind, source: None }),
                None => Ok(well),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    impl Store for Moody {
        fn load<'a>(&'a self, _: &'a Handle) -> Answer<'a, Loaded> {
            Box::pin(self.moody(Loaded { record: None, tether: None }))
        }

        fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()> {
            self.well.create(session)
        }

        fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool> {
            self.well.touch(handle, touch)
        }

        fn replace<'a>(&'a self, handle: &'a Handle, transition: Transition<'a>) -> Answer<'a, Replaced> {
            self.well.replace(handle, transition)
        }

        fn remove<'a>(&'a self, handle: &'a Handle, account: &'a str) -> Answer<'a, Removed> {
            self.well.remove(handle, account)
        }

        fn members<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Member>> {
            self.well.members(account)
        }

        fn survey(&self, from: Cursor) -> Answer<'_, Part> {
            self.well.survey(from)
        }

        fn take<'a>(&'a self, bucket: &'a Bucket, now: Timestamp) -> Answer<'a, Taken> {
            self.well.take(bucket, now)
        }

        fn give_back<'a>(&'a self, bucket: &'a Bucket, place: Place, now: Timestamp) -> Answer<'a, ()> {
            self.well.give_back(bucket, place, now)
        }

        fn deposit<'a>(&'a self, parcel: &'a Parcel<'a>) -> Answer<'a, ()> {
            self.well.deposit(parcel)
        }

        fn fetch<'a>(&'a self, name: &'a Handle, how: Fetch) -> Answer<'a, Option<Vec<u8>>> {
            self.well.fetch(name, how)
        }

        fn knock(&self) -> Answer<'_, ()> {
            if self.opens.load(Ordering::Relaxed) { self.well.ping() } else { self.ping() }
        }

        fn ping(&self) -> Answer<'_, ()> {
            self.moody(())
        }
    }

    async fn load(breaker: &Breaker) -> Result<Loaded, Unavailable> {
        breaker.load(&Handle::new([1; 16])).await
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_left_in_peace_until_it_is_back() {
        let store = Moody::in_trouble(Trouble::Timeout);
        let breaker = Breaker::new(Arc::clone(&store) as Arc<dyn Store>, Random::system());
        for _ in 0..FAILURES {
            assert_eq!(load(&breaker).await.unwrap_err().kind, Trouble::Timeout);
        }
        let waited = Stopwatch::start();
        while !breaker.circuit.is_open.load(Ordering::Relaxed) {
            assert!(waited.elapsed() < Duration::from_secs(5), "nobody finds out that it is away");
            sleep(Duration::from_millis(1)).await;
        }
        let asked = store.asked.load(Ordering::Relaxed);
        let failures = breaker.circuit.failures.load(Ordering::Relaxed);
        for _ in 0..1_000 {
            assert_eq!(load(&breaker).await.unwrap_err().kind, Trouble::Timeout);
        }
        assert!(store.asked.load(Ordering::Relaxed) < asked + 3, "the probe alone asks");
        assert_eq!(
            breaker.circuit.failures.load(Ordering::Relaxed),
            failures,
            "who did not ask did not fail"
        );
        assert_eq!(breaker.ping().await.unwrap_err().kind, Trouble::Timeout);

        *lock(&store.trouble) = None;
        let waited = Stopwatch::start();
        while load(&breaker).await.is_err() {
            assert!(waited.elapsed() < Duration::from_secs(5), "nobody finds out that it is back");
            sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_refusal_of_one_thing_does_not_mean_that_it_is_away() {
        for refusal in [Trouble::Denied, Trouble::ReadOnly, Trouble::Full, Trouble::Protocol] {
            let store = Moody::in_trouble(refusal);
            let breaker = Breaker::new(Arc::clone(&store) as Arc<dyn Store>, Random::system());
            for _ in 0..20 {
                assert_eq!(load(&breaker).await.unwrap_err().kind, refusal);
            }
            assert_eq!(store.asked.load(Ordering::Relaxed), 20);
        }
    }

    /// A store of which a part is away.
    #[tokio::test]
    async fn a_store_that_answers_when_it_is_knocked_at_is_asked_on() {
        let store = Moody::in_trouble(Trouble::Connection);
        store.opens.store(true, Ordering::Relaxed);
        let breaker = Breaker::new(Arc::clone(&store) as Arc<dyn Store>, Random::system());
        for n in 0..100 {
            assert!(load(&breaker).await.is_err());
            sleep(Duration::from_millis(1)).await;
            assert!(!breaker.circuit.is_open.load(Ordering::Relaxed), "after {n}");
        }
    }

    #[tokio::test]
    async fn a_success_forgets_the_failures_before_it() {
        let store = Moody::in_trouble(Trouble::Connection);
        let breaker = Breaker::new(Arc::clone(&store) as Arc<dyn Store>, Random::system());
        for _ in 0..10 {
            for _ in 0..FAILURES - 1 {
                assert!(load(&breaker).await.is_err());
            }
            *lock(&store.trouble) = None;
            assert!(load(&breaker).await.is_ok());
            *lock(&store.trouble) = Some(Trouble::Connection);
        }
    }
}
