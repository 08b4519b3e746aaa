//! The shelf where sessions lie: bytes, a time to live and an index, nothing more. What the bytes mean, and
//! whether a session is alive, is decided above; a store's expiry is housekeeping.
//!
//! Rank 4.

mod file;
mod memory;
mod observed;
mod redis;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use file::FileError;
pub use observed::Observed;

use crate::base::clock::{Clock, Timestamp};
use crate::base::handle::Handle;
use crate::base::random::Random;
use crate::config;
use crate::outgoing::TlsError;

/// The store cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files of TLS towards it.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The store that `config` names. A file is opened, and made where there is none; to a Redis nothing is connected
/// yet, so this succeeds where it is away, and the first call connects.
///
/// # Errors
/// Where a file cannot be used: its own, or one that TLS needs.
pub fn open(config: &config::Store, clock: Clock, random: Random) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match &config.url {
        config::StoreUrl::Memory => Arc::new(memory::MemoryStore::new(clock)),
        config::StoreUrl::File(path) => Arc::new(file::FileStore::open(path, config.command_timeout, clock)?),
        config::StoreUrl::Redis(url) => Arc::new(redis::RedisStore::new(url, config, random)?),
    })
}

/// Whether [`open`] could use the files that it has to; nothing is made, locked or connected.
///
/// # Errors
/// Where it could not.
pub fn check(config: &config::Store) -> Result<(), OpenError> {
    match &config.url {
        config::StoreUrl::File(path) => file::probe(path)?,
        config::StoreUrl::Redis(url) => redis::probe(&url.address)?,
        config::StoreUrl::Memory => {}
    }
    Ok(())
}

/// What a store answers, in its own time. Whoever drops the future gives the command up.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// A place for sessions. Every method ends within the configured command timeout; one that writes and has to
/// make a connection first, within the connect timeout.
pub trait Store: Send + Sync + fmt::Debug {
    /// The record of `handle`; `None` where there is none. What lies there and cannot be a record (another
    /// type, a size beyond reason) is loaded as an empty one: garbage is no outage.
    fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Option<Vec<u8>>>;

    /// Puts a new session on the shelf: first into its account's index, then its record, so that a crash in
    /// between lets nobody in. Refused as unavailable where the handle is taken.
    fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()>;

    /// Records a use in one step: where the record exists and its bytes at `touch.offset` are less than
    /// `touch.digits`, replaces them and moves its expiry. Says whether the record exists.
    fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool>;

    /// Takes a session off the shelf: first its record, then its place in the account's index. Says whether
    /// there was a record, as far as is known: where an answer was lost on the way, the repetition finds none.
    fn remove<'a>(&'a self, handle: &'a Handle, account: &'a str) -> Answer<'a, bool>;

    /// Asks for a sign of life.
    fn ping(&self) -> Answer<'_, ()>;
}

/// A session on its way to the shelf.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// Its name.
    pub handle: &'a Handle,
    /// The index it belongs to: an account's hash, no plain name.
    pub account: &'a str,
    /// What is kept.
    pub record: &'a [u8],
    /// The index's order.
    pub logged_in_at: Timestamp,
    /// When the record may be forgotten unless it is touched.
    pub expires_at: Timestamp,
    /// When the session is over whatever happens; the account's index is kept until its latest member's.
    pub ends_at: Timestamp,
}

/// A use of a session.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Where in the record the digits stand.
    pub offset: usize,
    /// Ten ASCII digits: the second of use.
    pub digits: [u8; 10],
    /// When the record may be forgotten unless it is touched again.
    pub expires_at: Timestamp,
}

/// The store could not do what was asked: never to be taken for "there is no such session".
#[derive(Debug, thiserror::Error)]
#[error("the session store is unavailable ({kind})")]
pub struct Unavailable {
    /// What kind of trouble, for metrics.
    pub kind: Trouble,
    /// What the store said; never a password.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// Kinds of trouble with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No connection could be made, or it broke; a file could not be read or written.
    Connection,
    /// No answer in time.
    Timeout,
    /// No TLS with it: it is not whom we trust, does not trust us, or speaks none.
    Tls,
    /// The store does not accept our credentials or lacks a permission.
    Denied,
    /// A replica that takes no writes.
    ReadOnly,
    /// No room for more.
    Full,
    /// It starts, or has lost its master.
    NotReady,
    /// An answer that makes no sense.
    Protocol,
}

impl Trouble {
    /// The word for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Denied => "denied",
            Self::ReadOnly => "read-only",
            Self::Full => "full",
            Self::NotReady => "not-ready",
            Self::Protocol => "protocol",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Two logins drew the same handle, or somebody wrote where only we write.
#[derive(Debug, thiserror::Error)]
#[error("the handle is taken")]
struct HandleTaken;

impl From<HandleTaken> for Unavailable {
    fn from(taken: HandleTaken) -> Self {
        Self { kind: Trouble::Protocol, source: Some(Box::new(taken)) }
    }
}

/// What these locks guard is whole between any two statements, so a panic elsewhere poisons nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
