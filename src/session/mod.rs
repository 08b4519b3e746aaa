//! Sessions: what one is, how it travels, when it is over. Rank 5.

mod cookie;
mod forms;
mod id;
mod record;
mod sessions;
mod touch;
mod value;

use std::time::Duration;

pub use cookie::SessionCookie;
pub use forms::{FormBinding, FormTokens};
pub use sessions::{Begun, Finding, NoSession, Sessions, Surroundings};
pub use touch::Toucher;

use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::identity::Identity;

/// Somebody's session, as its record told when it was looked up.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its name.
    pub handle: Handle,
    /// Whose it is.
    pub identity: Identity,
    /// When it began.
    pub logged_in_at: Timestamp,
    /// Its latest recorded use.
    pub last_seen_at: Timestamp,
    /// The longest pause between two uses.
    pub idle_timeout: Duration,
    /// Its absolute end.
    pub ends_at: Timestamp,
}

impl Session {
    /// Whether it is over at `now`, whatever the store still keeps.
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends_at || now >= self.last_seen_at.plus(self.idle_timeout)
    }
}

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// The longest pause between two uses.
    pub idle: Duration,
    /// The longest life from login.
    pub absolute: Duration,
}
