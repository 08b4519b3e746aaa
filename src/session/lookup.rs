//! From a handle to a session: from memory where that is known to hold, else from the store.

use std::sync::Arc;
use std::time::Duration;

use super::Session;
use super::memory::{Found, Memory};
use super::opened::Opened;
use super::record::{RecordFault, Records};
use crate::base::clock::Clock;
use crate::base::handle::Handle;
use crate::config::OnOutage;
use crate::store::{Loaded, Store, Trouble, Unavailable};
use crate::telemetry::{Audit, CacheResult, Event, Facts, Metrics};

/// Looks sessions up.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub(super) store: Arc<dyn Store>,
    pub(super) records: Arc<Records>,
    pub(super) memory: Arc<Memory<Arc<Opened>>>,
    /// How long sessions go on that nobody can vouch for at the moment; zero: not at all.
    pub(super) grace: Duration,
    pub(super) clock: Clock,
    pub(super) audit: Audit,
    pub(super) metrics: Arc<Metrics>,
}

/// What lies under a handle.
#[derive(Debug)]
pub(super) enum Peek {
    /// A session, over or not.
    Session(Arc<Session>),
    /// Garbage, or the record of a newer program or of another secret.
    Unreadable,
    /// Nothing.
    Nothing,
}

/// How long sessions outlive an outage by configuration.
pub(super) fn grace(on_outage: OnOutage, outage_grace: Duration) -> Duration {
    match on_outage {
        OnOutage::Refuse => Duration::ZERO,
        OnOutage::ServeCached => outage_grace,
    }
}

impl Lookup {
    /// The session of `handle`, over or not; `None` where there is none. `about` is what is known of who asks.
    ///
    /// # Errors
    /// Where the store has to be asked and cannot answer, and nothing may stand in for its answer.
    pub(super) async fn find(
        &self,
        handle: &Handle,
        about: &Facts<'_>,
    ) -> Result<Option<Arc<Opened>>, Unavailable> {
        if let Some(opened) = self.memory.fresh(handle) {
            self.metrics.cache_lookup(CacheResult::Hit);
            return Ok(Some(opened));
        }
        match self.memory.share(handle, || self.load(handle, about)).await {
            Ok(found) => {
                self.metrics.cache_lookup(CacheResult::Miss);
                Ok(found)
            }
            Err(unavailable) => self.proven(handle).ok_or(unavailable).map(Some),
        }
    }

    /// What lies under a handle, past memory; told to nobody.
    ///
    /// # Errors
    /// Where the store cannot answer.
    pub(super) async fn peek(&self, handle: &Handle) -> Result<Peek, Unavailable> {
        let Some(record) = self.store.load(handle).await?.record else { return Ok(Peek::Nothing) };
        Ok(match self.records.open(handle, &record, self.clock.now()) {
            Ok(opened) => Peek::Session(opened.session),
            Err(_) => Peek::Unreadable,
        })
    }

    /// What the store has, past memory.
    ///
    /// # Errors
    /// Where it cannot answer.
    pub(super) async fn load(
        &self,
        handle: &Handle,
        about: &Facts<'_>,
    ) -> Result<Found<Arc<Opened>>, Unavailable> {
        let Loaded { record, tether } = self.store.load(handle).await?;
        let value = match record {
            Some(record) => self.open(handle, &record, about)?,
            None => None,
        };
        Ok(Found { value, tether })
    }

    /// What a record says; `None` where it is nothing that this program wrote.
    ///
    /// # Errors
    /// Where a newer program wrote it, and this one cannot know what it says.
    pub(super) fn open(
        &self,
        handle: &Handle,
        record: &[u8],
        about: &Facts<'_>,
    ) -> Result<Option<Arc<Opened>>, Unavailable> {
        match self.records.open(handle, record, self.clock.now()) {
            Ok(opened) => Ok(Some(Arc::new(opened))),
            Err(fault @ RecordFault::TooNew) => {
                tracing::error!(%handle, "{fault}");
                Err(Unavailable { kind: Trouble::Protocol, source: Some(Box::new(fault)) })
            }
            Err(fault) => {
                tracing::warn!(%handle, "a session's record is refused: {fault}");
                self.metrics.store_error("record");
                let facts = Facts { handle: Some(*handle), reason: Some("record"), ..*about };
                self.audit.record(Event::CookieRefused, &facts);
                Ok(None)
            }
        }
    }

    fn proven(&self, handle: &Handle) -> Option<Arc<Opened>> {
        if self.grace.is_zero() {
            return None;
        }
        let proven = self.memory.proven(handle, self.grace)?;
        self.metrics.cache_lookup(CacheResult::Outage);
        Some(proven)
    }
}
