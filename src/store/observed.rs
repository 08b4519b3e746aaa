//! Any store, watched: how long it takes, what fails, and when it goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{
    Answer, Bucket, Cursor, Fetch, Loaded, Member, NewSession, Parcel, Part, Place, Removed, Replaced, Store,
    Taken, Touch, Transition, Unavailable,
};
use crate::base::clock::{Stopwatch, Timestamp};
use crate::base::handle::Handle;
use crate::base::seldom::Seldom;
use crate::telemetry::{Audit, Event, Facts, Metrics};

/// How often the log tells at most that parcels fail.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// A store whose doings are measured. Going away and coming back are each said once.
#[derive(Debug)]
pub struct Observed {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    audit: Audit,
    away: AtomicBool,
    parcels: Seldom,
}

impl Observed {
    /// Watches `store`.
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, audit: Audit) -> Self {
        Self { store, metrics, audit, away: AtomicBool::new(false), parcels: Seldom::every(TOLD_EVERY) }
    }

    fn watch<'a, T: Send + 'a>(&'a self, operation: &'static str, answer: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            let answer = self.measure(operation, answer).await;
            match &answer {
                Ok(_) => self.is_back(),
                Err(error) => self.is_away(operation, error),
            }
            answer
        })
    }

    /// The same for parcels. No session hangs on one: a store that has no room for them, or lets us do less with them
    /// than it should, is there.
    fn watch_parcel<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        answer: Answer<'a, T>,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let answer = self.measure(operation, answer).await;
            if let Err(error) = &answer
                && self.parcels.is_due()
            {
                tracing::warn!(
                    operation,
                    cause = cause_of(error),
                    "what is kept for a user cannot be kept or fetched: {error}"
                );
            }
            answer
        })
    }

    async fn measure<T>(&self, operation: &'static str, answer: Answer<'_, T>) -> Result<T, Unavailable> {
        let watch = Stopwatch::start();
        let answer = answer.await;
        self.metrics.store_took(operation, watch.elapsed());
        if let Err(error) = &answer {
            self.metrics.store_error(error.kind.as_str());
        }
        answer
    }

    fn is_away(&self, operation: &'static str, error: &Unavailable) {
        if self.away.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(operation, cause = cause_of(error), "{error}");
        let facts = Facts { reason: Some(error.kind.as_str()), ..Facts::default() };
        self.audit.record(Event::StoreUnavailable, &facts);
    }

    fn is_back(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("the session store is available again");
            self.audit.record(Event::StoreRecovered, &Facts::default());
        }
    }
}

fn cause_of(error: &Unavailable) -> Option<String> {
    error.source.as_deref().map(ToString::to_string)
}

impl Store for Observed {
    fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Loaded> {
        self.watch("load", self.store.load(handle))
    }

    fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()> {
        self.watch("create", self.store.create(session))
    }

    fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool> {
        self.watch("touch", self.store.touch(handle, touch))
    }

    fn remove<'a>(&'a self, handle: &'a Handle, account: &'a str) -> Answer<'a, Removed> {
        self.watch("remove", self.store.remove(handle, account))
    }

    fn replace<'a>(&'a self, handle: &'a Handle, transition: Transition<'a>) -> Answer<'a, Replaced> {
        self.watch("replace", self.store.replace(handle, transition))
    }

    fn members<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Member>> {
        self.watch("members", self.store.members(account))
    }

    fn survey(&self, from: Cursor) -> Answer<'_, Part> {
        self.watch("survey", self.store.survey(from))
    }

    fn take<'a>(&'a self, bucket: &'a Bucket, now: Timestamp) -> Answer<'a, Taken> {
        self.watch("take", self.store.take(bucket, now))
    }

    fn give_back<'a>(&'a self, bucket: &'a Bucket, place: Place, now: Timestamp) -> Answer<'a, ()> {
        self.watch("give_back", self.store.give_back(bucket, place, now))
    }

    fn deposit<'a>(&'a self, parcel: &'a Parcel<'a>) -> Answer<'a, ()> {
        self.watch_parcel("deposit", self.store.deposit(parcel))
    }

    fn fetch<'a>(&'a self, name: &'a Handle, how: Fetch) -> Answer<'a, Option<Vec<u8>>> {
        self.watch_parcel("fetch", self.store.fetch(name, how))
    }

    fn knock(&self) -> Answer<'_, ()> {
        self.watch("ping", self.store.knock())
    }

    fn remark(&self) -> Option<String> {
        self.store.remark()
    }

    fn ping(&self) -> Answer<'_, ()> {
        self.watch("ping", self.store.ping())
    }
}
