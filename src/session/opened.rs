//! A session as its record tells it, and which ids it is borne by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Session;
use super::id::{SessionId, VerifierKey};
use super::record::Successor;
use crate::base::clock::Timestamp;
use crate::base::random::Random;
use crate::base::sealed::{SealPurpose, Sealer};
use crate::base::secret::Secret;

/// A record that this program wrote.
#[derive(Debug)]
pub(super) struct Opened {
    /// What it says.
    pub(super) session: Arc<Session>,
    /// The present id's verifier.
    pub(super) key: VerifierKey,
    /// When the present id came.
    pub(super) rotated_at: Timestamp,
    /// The id before.
    pub(super) previous: Option<Previous>,
    /// Whether what this record is to be told has been ordered: it is told once, by a new record.
    pub(super) noticed: AtomicBool,
}

/// The id before the present one.
#[derive(Debug)]
pub(super) struct Previous {
    /// Its verifier.
    pub(super) key: VerifierKey,
    /// The present id, sealed for its bearer.
    pub(super) next: Vec<u8>,
    /// It counts until then; `None` while the present one has not been used.
    pub(super) until: Option<Timestamp>,
}

/// What an id is to its session.
#[derive(Debug)]
pub(super) enum Standing {
    /// The present one.
    Present,
    /// The one before, which still counts; its bearer is to have this one.
    Replaced(SessionId),
}

impl Opened {
    /// What `id` is to the session; `None`: nothing, or nothing any more.
    pub(super) fn standing(&self, id: &SessionId, now: Timestamp) -> Option<Standing> {
        if self.key == id.key() {
            return Some(Standing::Present);
        }
        let previous = self.previous.as_ref().filter(|previous| previous.key == id.key())?;
        let counts = previous.until.is_none_or(|until| now < until);
        let next = counts.then(|| unsealed(id, &previous.next)).flatten()?;
        Some(Standing::Replaced(next))
    }

    /// Whether its present id was just used for the first time, as far as the record knows.
    pub(super) fn is_unsettled(&self) -> bool {
        self.previous.as_ref().is_some_and(|previous| previous.until.is_none())
    }

    /// Whether this is the first time that it is noticed.
    pub(super) fn notice(&self) -> bool {
        !self.noticed.swap(true, Ordering::Relaxed)
    }
}

/// An id to take the place of `id`, which alone opens what goes into the record.
pub(super) fn successor(id: &SessionId, random: Random) -> Successor {
    let next = id.successor(random);
    let sealed = sealer(id).seal(next.bytes().expose(), handle(id).as_bytes(), random);
    Successor { id: next, sealed }
}

fn unsealed(id: &SessionId, sealed: &[u8]) -> Option<SessionId> {
    let bytes = sealer(id).open(sealed, handle(id).as_bytes())?;
    let next = SessionId::from_bytes(Secret::new(bytes.expose().as_slice().try_into().ok()?));
    (next.handle() == id.handle()).then_some(next)
}

fn sealer(id: &SessionId) -> Sealer {
    Sealer::derive(id.bytes().expose(), SealPurpose::NextSessionId)
}

fn handle(id: &SessionId) -> String {
    id.handle().to_string()
}
