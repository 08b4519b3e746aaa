//! What was looked up, in this process's memory: used only as long as the store says that it still holds.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::flights::{Flights, Turn};
use super::opened::Opened;
use crate::base::clock::{Clock, Timestamp};
use crate::base::handle::Handle;
use crate::config;
use crate::store::{Changes, Tether, Trouble, Unavailable};

/// What this process remembers of sessions; the store tells it of changes.
#[derive(Clone, Debug)]
pub struct SessionMemory(pub(super) Arc<Memory<Arc<Opened>>>);

impl SessionMemory {
    /// Remembers nothing yet.
    pub fn new(config: &config::Cache, clock: Clock) -> Self {
        Self(Arc::new(Memory::new(config, clock)))
    }

    /// Who is to hear of changes.
    pub fn changes(&self) -> Arc<dyn Changes> {
        Arc::clone(&self.0) as Arc<dyn Changes>
    }
}

/// Remembers a `V` for each handle.
pub(super) struct Memory<V> {
    known: Cache<Handle, Known<V>>,
    flights: Flights<Result<Option<V>, Trouble>>,
    /// Nothing is used for longer, should word of a change be lost; zero where nothing is remembered.
    max_age: Duration,
    clock: Clock,
}

/// What a look-up came to.
#[derive(Clone, Debug)]
pub(super) struct Found<V> {
    /// `None`: there is no such session.
    pub(super) value: Option<V>,
    /// Holds for as long as a change would be told; `None`: it would not.
    pub(super) tether: Option<Tether>,
}

#[derive(Clone)]
struct Known<V> {
    value: V,
    loaded_at: Timestamp,
    tether: Option<Tether>,
}

impl<V: Clone> Memory<V> {
    pub(super) fn new(config: &config::Cache, clock: Clock) -> Self {
        Self {
            known: Cache::new(config.entries),
            flights: Flights::new(),
            max_age: if config.enabled { config.max_age } else { Duration::ZERO },
            clock,
        }
    }

    /// What is known to be true now.
    pub(super) fn fresh(&self, handle: &Handle) -> Option<V> {
        let known = self.known.get(handle)?;
        let told = known.tether.as_ref().is_some_and(Tether::holds);
        (told && self.is_within(&known, self.max_age)).then_some(known.value)
    }

    /// What was known to be true within `grace` and the time for which anything is used.
    pub(super) fn proven(&self, handle: &Handle, grace: Duration) -> Option<V> {
        let known = self.known.get(handle)?;
        self.is_within(&known, self.max_age + grace).then_some(known.value)
    }

    /// What `look_up` finds, or somebody else's at this time. It is remembered unless it changes meanwhile.
    ///
    /// # Errors
    /// Where the look-up fails, for all who wait for it.
    pub(super) async fn share<F>(
        &self,
        handle: &Handle,
        look_up: impl FnOnce() -> F,
    ) -> Result<Option<V>, Unavailable>
    where
        F: Future<Output = Result<Found<V>, Unavailable>>,
    {
        loop {
            let flight = match self.flights.board(*handle) {
                Turn::Follow(flight) => flight,
                Turn::Lead(lead) => {
                    let loaded_at = self.clock.now();
                    let found = look_up().await;
                    let outcome = found.as_ref().map(|found| found.value.clone());
                    lead.land(outcome.map_err(|error| error.kind), || {
                        if let Ok(found) = &found {
                            self.remember(handle, found, loaded_at);
                        }
                    });
                    return found.map(|found| found.value);
                }
            };
            if let Some(outcome) = flight.wait().await {
                return outcome.clone().map_err(|kind| Unavailable { kind, source: None });
            }
        }
    }

    fn remember(&self, handle: &Handle, found: &Found<V>, loaded_at: Timestamp) {
        match &found.value {
            Some(value) if !self.max_age.is_zero() => {
                let known = Known { value: value.clone(), loaded_at, tether: found.tether.clone() };
                self.known.insert(*handle, known);
            }
            _ => {
                self.known.remove(handle);
            }
        }
    }

    /// A clock that was set back says nothing of an age.
    fn is_within(&self, known: &Known<V>, longest: Duration) -> bool {
        let now = self.clock.now();
        now >= known.loaded_at && now.since(known.loaded_at) < longest
    }
}

impl<V: Clone + Send + Sync> Changes for Memory<V> {
    fn changed(&self, handle: &Handle) {
        self.flights.spoil(handle, || {
            self.known.remove(handle);
        });
    }
}

impl<V> fmt::Debug for Memory<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Memory").finish_non_exhaustive()
    }
}
