//! A session as its record tells it, and which ids it is borne by.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
    /// What has been ordered to be recorded of it: once, since the record is another after that.
    pub(super) ordered: Ordered,
}

/// What is on its way into a session's record.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    pub(super) use_of_it: AtomicBool,
    pub(super) settlement: AtomicBool,
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

/// What is to become of the id before the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settlement {
    /// It has its last moments, for the present one was used.
    Begin,
    /// It is forgotten, and with it what was sealed for its bearer.
    End,
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

    /// What the use of its present id at `now` means for the one before.
    pub(super) fn settlement(&self, now: Timestamp) -> Option<Settlement> {
        match self.previous.as_ref()?.until {
            None => Some(Settlement::Begin),
            Some(until) if until <= now => Some(Settlement::End),
            Some(_) => None,
        }
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
