//! The shelf where sessions lie: bytes, a time to live and an index, nothing more. What the bytes mean, and
//! whether a session is alive, is decided above; a store's expiry is housekeeping. Beside it stand the buckets in which
//! attempts are counted, and the parcels that somebody will come for, for all who share the store.
//!
//! Rank 4.

mod breaker;
mod bucket;
mod buckets;
mod file;
mod memory;
mod observed;
mod parcels;
mod reading;
mod redis;
mod survey;
mod tether;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use breaker::Breaker;
pub use bucket::{Bucket, BucketName, Place, Taken};
pub use buckets::Buckets;
pub use file::FileError;
pub use observed::Observed;
pub use survey::{Info, Survey};
#[cfg(test)]
pub(crate) use tether::Mooring;
pub use tether::Tether;

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
/// yet, so this succeeds where it is away, and the first call connects. `changes` hears of every change to what was
/// loaded.
///
/// # Errors
/// Where a file cannot be used: its own, or one that TLS needs.
pub fn open(
    config: &config::Store,
    clock: Clock,
    random: Random,
    changes: Option<Arc<dyn Changes>>,
) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match &config.url {
        config::StoreUrl::Memory => Arc::new(memory::MemoryStore::new(clock)),
        config::StoreUrl::File(path) => {
            Arc::new(file::FileStore::open(path, config.command_timeout, clock, changes)?)
        }
        config::StoreUrl::Redis(url) => Arc::new(redis::RedisStore::new(url, config, random, changes)?),
    })
}

/// The store that `config` names, for who only looks. A file and a process's memory belong to the proxy that runs:
/// of what lies there nobody can tell here.
///
/// # Errors
/// As [`open`].
pub fn reading(config: &config::Store, clock: Clock, random: Random) -> Result<Arc<dyn Store>, OpenError> {
    let store = match &config.url {
        config::StoreUrl::Redis(_) => Some(open(config, clock, random, None)?),
        config::StoreUrl::File(_) | config::StoreUrl::Memory => None,
    };
    Ok(Arc::new(reading::Reading { store }))
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

/// What the Redis of `config` tells of how it is set up; `None` where sessions lie in none.
///
/// # Errors
/// Where it does not answer.
pub async fn survey(config: &config::Store, random: Random) -> Result<Option<Survey>, Unavailable> {
    match &config.url {
        config::StoreUrl::Redis(url) => redis::survey(url, config, random).await.map(Some),
        config::StoreUrl::File(_) | config::StoreUrl::Memory => Ok(None),
    }
}

/// How wide a record's second of use is.
const DIGITS: usize = 10;

/// What a store answers, in its own time. Whoever drops the future gives the command up.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// A place for sessions. Every method ends within the configured command timeout; one that writes and has to
/// make a connection first, within the connect timeout.
pub trait Store: Send + Sync + fmt::Debug {
    /// The record of `handle`. What lies there and cannot be a record (another type, a size beyond reason) is
    /// loaded as an empty one: garbage is no outage.
    fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Loaded>;

    /// Puts a new session on the shelf: first into its account's index, then its record, so that a crash in
    /// between lets nobody in. Refused as unavailable where the handle is taken.
    fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()>;

    /// Records a use in one step: where the record exists and its bytes at `touch.offset` are no more than
    /// `touch.due`, replaces them and moves its expiry. Says whether the record exists.
    fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool>;

    /// Puts a record in the place of the one that was loaded, in one step, so that a late transition undoes nothing:
    /// where another stands there by now, nothing is changed, and what has gone does not come back. Uses in between
    /// are no change; they and the expiry are kept.
    fn replace<'a>(&'a self, handle: &'a Handle, transition: Transition<'a>) -> Answer<'a, Replaced>;

    /// Takes a session off the shelf for good: first its record, then its place in the account's index.
    fn remove<'a>(&'a self, handle: &'a Handle, account: &'a str) -> Answer<'a, Removed>;

    /// The sessions in an account's index, those that began first standing first. Of some the record may be gone, and
    /// of one that begins this moment it may be yet to come.
    fn members<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Member>>;

    /// Some of all sessions, in no order, and where to go on. One that is there throughout is met at least once.
    fn survey(&self, from: Cursor) -> Answer<'_, Part>;

    /// Takes a place in a bucket, in one step: of all who ask at once, as many get one as there are. It drains by
    /// itself.
    fn take<'a>(&'a self, bucket: &'a Bucket, now: Timestamp) -> Answer<'a, Taken>;

    /// Gives a place back before it has drained.
    fn give_back<'a>(&'a self, bucket: &'a Bucket, place: Place, now: Timestamp) -> Answer<'a, ()>;

    /// Keeps something for whoever comes for it; what lay under its name before is gone.
    fn deposit<'a>(&'a self, parcel: &'a Parcel<'a>) -> Answer<'a, ()>;

    /// What was deposited under `name`; `None` where there is nothing (any more). Of all who collect it, one gets it.
    fn fetch<'a>(&'a self, name: &'a Handle, how: Fetch) -> Answer<'a, Option<Vec<u8>>>;

    /// What an operator should know although nothing fails; `None` where there is nothing.
    fn remark(&self) -> Option<String> {
        None
    }

    /// Asks for a sign of life, from every part of it.
    fn ping(&self) -> Answer<'_, ()>;

    /// Asks whether anybody is there: a part of it may be away.
    fn knock(&self) -> Answer<'_, ()> {
        self.ping()
    }
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

/// A session's place in its account's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub handle: Handle,
    /// When it began.
    pub logged_in_at: Timestamp,
}

/// What a store has under a handle.
#[derive(Debug)]
pub struct Loaded {
    /// The bytes; `None` where there is no such session.
    pub record: Option<Vec<u8>>,
    /// Holds for as long as the store tells of every change to them; `None` where it does not at all.
    pub tether: Option<Tether>,
}

/// Hears of records that are no longer what they were when they were loaded.
pub trait Changes: Send + Sync + fmt::Debug {
    /// The record of `handle` is another by now, or gone.
    fn changed(&self, handle: &Handle);
}

/// What a removal came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Whether there was a record, as far as is known: where an answer was lost on the way, the repetition finds
    /// none.
    pub existed: bool,
    /// How many replicas had taken notice when it was acknowledged; `None` where there are none to ask.
    pub replicas: Option<u64>,
}

impl Removed {
    /// Where there are no replicas.
    const fn here(existed: bool) -> Self {
        Self { existed, replicas: None }
    }
}

/// A session's way from one state to the next.
#[derive(Clone, Copy, Debug)]
pub struct Transition<'a> {
    /// The record as it was loaded.
    pub from: &'a [u8],
    /// The record that takes its place.
    pub to: &'a [u8],
    /// Where in both the ten digits of the latest use stand.
    pub offset: usize,
}

/// What a transition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The new record stands.
    Done,
    /// Another record stands there by now.
    Changed,
    /// There is no such session any more.
    Gone,
}

/// Where a [`Store::survey`] goes on; the default is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

/// A part of all sessions.
#[derive(Debug)]
pub struct Part {
    /// Their names. One may be met twice.
    pub handles: Vec<Handle>,
    /// `None`: that was all.
    pub next: Option<Cursor>,
}

/// A use of a session.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Where in the record the digits stand.
    pub offset: usize,
    /// Ten ASCII digits: the second of use.
    pub digits: [u8; DIGITS],
    /// A use that is recorded later than this stands for this one.
    pub due: [u8; DIGITS],
    /// When the record may be forgotten unless it is touched again.
    pub expires_at: Timestamp,
}

/// Something that is kept for a while.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// Its name.
    pub name: &'a Handle,
    /// What is kept.
    pub content: &'a [u8],
    /// When it is thrown away.
    pub until: Timestamp,
}

/// How a parcel is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// It stays where it is.
    Look,
    /// It is taken away.
    Collect,
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

/// The record after `transition`, the latest use kept; `None` where `stored` is not what it starts from.
fn swapped(stored: &[u8], transition: Transition<'_>) -> Option<Vec<u8>> {
    let [before, digits, after] = around_digits(stored, transition.offset)?;
    let [from_before, _, from_after] = around_digits(transition.from, transition.offset)?;
    if (before, after) != (from_before, from_after) {
        return None;
    }
    let [before, _, after] = around_digits(transition.to, transition.offset)?;
    Some([before, digits, after].concat())
}

fn around_digits(record: &[u8], offset: usize) -> Option<[&[u8]; 3]> {
    let (before, rest) = record.split_at_checked(offset)?;
    let (digits, after) = rest.split_at_checked(DIGITS)?;
    Some([before, digits, after])
}
