//! Sessions: what one is, how it travels, when it is over. Rank 5.

mod beginning;
mod bind;
mod browsers;
mod carried;
mod cookie;
mod device;
mod directory;
mod entering;
mod flights;
mod forms;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod id;
mod judged;
mod limit;
mod live;
mod lookup;
mod memory;
mod opened;
mod own_cookie;
mod record;
mod report;
mod rotation;
mod sessions;
#[cfg(test)]
pub mod testing;
mod touch;
mod unsent;
mod value;
mod watchman;

use std::time::Duration;

use sha2::{Digest, Sha256};

pub use beginning::Begun;
pub use browsers::{KnownBrowser, KnownBrowsers};
pub use cookie::SessionCookie;
pub use directory::Directory;
pub use forms::{FormBinding, FormTokens};
pub use judged::Judged;
pub use limit::BeginError;
pub use live::{Live, Ride, Uses};
pub use memory::SessionMemory;
pub use report::Report;
pub use sessions::{Finding, Found, NoSession, Sessions, Surroundings};
pub use touch::Toucher;
pub use unsent::{Place, UnsentForm, UnsentForms, UnsentParts, Waiting};
pub use watchman::Watchman;

use crate::base::base64url;
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::identity::{Account, Identity};
use crate::config;
use crate::telemetry::Facts;

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
    /// The address it began at.
    pub address: String,
    /// What the browser called itself then.
    pub user_agent: Option<String>,
    /// Whether its user asked to stay signed in.
    pub remember: Remember,
    /// The longest pause between two uses.
    pub idle_timeout: Duration,
    /// Its absolute end.
    pub ends_at: Timestamp,
}

impl Session {
    /// When it ends unless it is used again.
    pub fn idle_ends_at(&self) -> Timestamp {
        self.last_seen_at.plus(self.idle_timeout).min(self.ends_at)
    }

    /// When it ends after a use at `now`, which is recorded where the use before is long enough ago.
    fn idle_ends_after_use(&self, now: Timestamp) -> Timestamp {
        if now.since(self.last_seen_at) < self.touch_interval() {
            return self.idle_ends_at();
        }
        now.plus(self.idle_timeout).min(self.ends_at)
    }

    /// Where its user signed in, in words, as far as the browser says.
    pub fn device(&self) -> String {
        device::words(self.user_agent.as_deref().unwrap_or_default())
    }

    /// What is known of an event that is about it: it and its user, besides what `about` tells.
    pub fn facts<'a>(&'a self, about: Facts<'a>) -> Facts<'a> {
        Facts {
            user: Some(&self.identity.user),
            account: Some(&self.identity.account),
            handle: Some(self.handle),
            ..about
        }
    }

    /// Whether it is over at `now`, whatever the store still keeps.
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.idle_ends_at()
    }

    /// How often at most a use is recorded: a sixtieth of the idle timeout, one second to five minutes.
    fn touch_interval(&self) -> Duration {
        (self.idle_timeout / 60).clamp(Duration::from_secs(1), Duration::from_secs(300))
    }
}

/// Whether a session outlives the browser's, by its user's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remember {
    /// It ends with the browser's session, or sooner.
    No,
    /// It goes on, for longer.
    Yes,
}

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
struct Lifetimes {
    ordinary: Lifetime,
    remembered: Lifetime,
}

/// How long one session lives.
#[derive(Clone, Copy, Debug)]
struct Lifetime {
    /// The longest pause between two uses.
    idle: Duration,
    /// The longest life from login.
    absolute: Duration,
}

impl Lifetimes {
    fn new(config: &config::Session) -> Self {
        Self {
            ordinary: Lifetime { idle: config.idle_timeout, absolute: config.absolute_timeout },
            remembered: Lifetime {
                idle: config.remember_idle_timeout,
                absolute: config.remember_absolute_timeout,
            },
        }
    }

    fn of(&self, remember: Remember) -> Lifetime {
        match remember {
            Remember::No => self.ordinary,
            Remember::Yes => self.remembered,
        }
    }

    /// No session lives longer.
    fn longest(&self) -> Duration {
        self.ordinary.absolute.max(self.remembered.absolute)
    }
}

/// When the store may forget a session that was last used at `seen`.
fn forgotten_at(seen: Timestamp, idle: Duration, ends_at: Timestamp) -> Timestamp {
    seen.plus(idle).min(ends_at)
}

/// The account's name in the store: 16 bytes of SHA-256 over its length-prefixed parts, so that no name stands
/// in a key and no two accounts share one.
fn account_key(account: &Account) -> String {
    let mut hash = Sha256::new();
    for part in [&account.provider, &account.subject] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    base64url::encode(&hash.finalize()[..16])
}
