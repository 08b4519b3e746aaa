//! A fresh id for a session in use, so that one that leaked is of use for an hour and not for a week.
//!
//! The id before counts until the new one is first used, and a little longer: whoever comes with it in that time is
//! handed the same new one, so that requests in flight agree and an answer that was lost costs nobody the session.

use std::time::Duration;

use super::id::{SessionId, VerifierKey};
use super::lookup::Lookup;
use super::opened::{Opened, Settlement, Standing, successor};
use super::record::{RecordFault, SEEN_OFFSET};
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::random::Random;
use crate::store::{Changes, Replaced, Transition, Unavailable};

/// Others may change the record in between; who loses so often leaves it for the next request.
const ATTEMPTS: usize = 4;

/// Rotates ids.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    pub(super) lookup: Lookup,
    pub(super) every: Duration,
    pub(super) grace: Duration,
    pub(super) random: Random,
}

/// What a rotation came to.
#[derive(Debug)]
pub(super) enum Rotated {
    /// The session has this id from now on.
    Here(SessionId),
    /// Another request was quicker, and this is what it came to.
    Elsewhere(SessionId),
    /// The id counts for nothing any more.
    Ended,
}

impl Rotation {
    pub(super) fn is_due(&self, opened: &Opened, now: Timestamp) -> bool {
        now.since(opened.rotated_at) >= self.every
    }

    /// Gives the session of `id` another one.
    ///
    /// # Errors
    /// Where the store cannot do it: then `id` is still the present one.
    pub(super) async fn rotate(&self, id: &SessionId) -> Result<Rotated, Unavailable> {
        let handle = id.handle();
        for _ in 0..ATTEMPTS {
            let Some(Current { record, opened }) = self.current(&handle).await? else {
                return Ok(Rotated::Ended);
            };
            let now = self.lookup.clock.now();
            match opened.standing(id, now) {
                None => return Ok(Rotated::Ended),
                Some(Standing::Replaced(next)) => return Ok(Rotated::Elsewhere(next)),
                Some(Standing::Present) => {}
            }
            let next = successor(id, self.random);
            let Ok(to) = self.lookup.records.rotated(&record, id, &next, now) else {
                return Ok(Rotated::Ended);
            };
            match self.replace(&handle, &record, &to).await? {
                Replaced::Done => return Ok(Rotated::Here(next.id)),
                Replaced::Gone => return Ok(Rotated::Ended),
                Replaced::Changed => {}
            }
        }
        Ok(Rotated::Ended)
    }

    /// Takes notice that the present id of a session, whose verifier is `key`, was used. Where there is another by
    /// now, that one was not.
    ///
    /// # Errors
    /// Where the store cannot do it: the next use will.
    pub(super) async fn settle(&self, handle: &Handle, key: &VerifierKey) -> Result<(), Unavailable> {
        let Some(Current { record, opened }) = self.current(handle).await? else { return Ok(()) };
        let now = self.lookup.clock.now();
        let settlement = opened.settlement(now).filter(|_| opened.key == *key);
        let records = &self.lookup.records;
        let to = match settlement {
            None => return Ok(()),
            Some(Settlement::Begin) => records.settled(handle, &record, now.plus(self.grace)),
            Some(Settlement::End) => records.without_previous(handle, &record),
        };
        if let Ok(to) = to {
            self.replace(handle, &record, &to).await?;
        }
        Ok(())
    }

    async fn current(&self, handle: &Handle) -> Result<Option<Current>, Unavailable> {
        let loaded = self.lookup.store.load(handle).await?;
        let Some(record) = loaded.record else { return Ok(None) };
        let opened = self.lookup.records.open(handle, &record, self.lookup.clock.now());
        match opened {
            Ok(opened) => Ok(Some(Current { record, opened })),
            // Whoever looked it up has told of it.
            Err(RecordFault::Garbage | RecordFault::Forged | RecordFault::TooNew) => Ok(None),
        }
    }

    async fn replace(&self, handle: &Handle, from: &[u8], to: &[u8]) -> Result<Replaced, Unavailable> {
        let transition = Transition { from, to, offset: SEEN_OFFSET };
        let replaced = self.lookup.store.replace(handle, transition).await;
        self.lookup.memory.changed(handle);
        replaced
    }
}

/// A record as it stands, and what it says.
struct Current {
    record: Vec<u8>,
    opened: Opened,
}
