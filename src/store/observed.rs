//! Any store, watched: how long it takes, what fails, and when it goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    Answer, Bucket, Cursor, Fetch, Loaded, Member, NewSession, Parcel, Part, Place, Removed, Replaced, Store,
    Taken, Touch, Transition, Unavailable,
};
use crate::base::clock::{Stopwatch, Timestamp};
use crate::base::handle::Handle;
use crate::telemetry::{Audit, Event, Facts, Metrics};

/// A store whose doings are measured. Going away and coming back are each said once.
#[derive(Debug)]
pub struct Observed {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    audit: Audit,
    away: AtomicBool,
}

impl Observed {
    /// Watches `store`.
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, audit: Audit) -> Self {
        Self { store, metrics, audit, away: AtomicBool::new(false) }
    }

    fn watch<'a, T: Send + 'a>(&'a self, operation: &'static str, answer: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            let watch = Stopwatch::start();
            let answer = answer.await;
            self.metrics.store_took(operation, watch.elapsed());
            match &answer {
                Ok(_) => self.is_back(),
                Err(error) => self.is_away(operation, error),
            }
            answer
        })
    }

    fn is_away(&self, operation: &'static str, error: &Unavailable) {
        self.metrics.store_error(error.kind.as_str());
        if self.away.swap(true, Ordering::Relaxed) {
            return;
        }
        let cause = error.source.as_deref().map(ToString::to_string);
        tracing::error!(operation, cause, "{error}");
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
        self.watch("deposit", self.store.deposit(parcel))
    }

    fn fetch<'a>(&'a self, name: &'a Handle, how: Fetch) -> Answer<'a, Option<Vec<u8>>> {
        self.watch("fetch", self.store.fetch(name, how))
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
