//! The tables of the file. Keys and values are bytes and `u64`, whose form every version of redb keeps.

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::entry::Entry;
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::store::{Member, Replaced, Touch, Transition, swapped};

/// A handle's bytes → its [`Entry`].
const SESSIONS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("session");

/// An account, then a handle's bytes → the login in milliseconds.
const ACCOUNTS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("session-user");

/// Makes the tables where there are none.
pub(super) fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    Tables::open(&transaction)?;
    Ok(transaction.commit()?)
}

/// The entry of `handle` as it is in the file; an empty record where nobody can make sense of it.
pub(super) fn look_up(database: &Database, handle: &Handle) -> Result<Option<Entry>, redb::Error> {
    let sessions = database.begin_read()?.open_table(SESSIONS)?;
    let stored = sessions.get(handle.as_bytes().as_slice())?;
    Ok(stored.map(|bytes| Entry::decode(bytes.value()).unwrap_or_else(Entry::garbage)))
}

/// Some of the sessions.
#[derive(Debug)]
pub(super) struct Survey {
    /// Those that are alive.
    pub(super) living: Vec<Handle>,
    /// Keys of sessions whose time is over.
    pub(super) expired: Vec<Vec<u8>>,
    /// Where the next survey goes on; `None`: this one came to the end.
    pub(super) next: Option<Vec<u8>>,
}

/// Looks at `limit` sessions from `start` on.
pub(super) fn survey(
    database: &Database,
    start: &[u8],
    limit: usize,
    now: Timestamp,
) -> Result<Survey, redb::Error> {
    let sessions = database.begin_read()?.open_table(SESSIONS)?;
    let mut range = sessions.range(start..)?;
    let mut survey = Survey { living: Vec::new(), expired: Vec::new(), next: None };
    for session in range.by_ref().take(limit) {
        let (key, bytes) = session?;
        let is_alive = Entry::decode(bytes.value()).is_some_and(|entry| entry.is_alive(now));
        match handle(key.value()).filter(|_| is_alive) {
            Some(handle) => survey.living.push(handle),
            None => survey.expired.push(key.value().to_vec()),
        }
    }
    survey.next = range.next().transpose()?.map(|(key, _)| key.value().to_vec());
    Ok(survey)
}

/// The sessions in the index of `account`, the earliest first.
pub(super) fn members(database: &Database, account: &[u8]) -> Result<Vec<Member>, redb::Error> {
    let accounts = database.begin_read()?.open_table(ACCOUNTS)?;
    let mut members = Vec::new();
    for place in accounts.range(account..)? {
        let (place, logged_in_at) = place?;
        let Some(key) = place.value().strip_prefix(account) else { break };
        members.extend(handle(key).map(|handle| (logged_in_at.value(), handle)));
    }
    members.sort_unstable();
    let member = |(millis, handle): (u64, Handle)| {
        let logged_in_at = Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        Member { handle, logged_in_at }
    };
    Ok(members.into_iter().map(member).collect())
}

fn handle(key: &[u8]) -> Option<Handle> {
    key.try_into().ok().map(Handle::new)
}

/// The tables within a transaction.
pub(super) struct Tables<'t> {
    sessions: Table<'t, &'static [u8], &'static [u8]>,
    accounts: Table<'t, &'static [u8], u64>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self { sessions: transaction.open_table(SESSIONS)?, accounts: transaction.open_table(ACCOUNTS)? })
    }

    /// Puts a session on the shelf and into its account's index. Says whether the handle was free.
    pub(super) fn put(&mut self, session: &Newcomer, now: Timestamp) -> Result<bool, redb::Error> {
        let key = session.handle.as_bytes().as_slice();
        if self.entry(key)?.is_some_and(|entry| entry.is_alive(now)) {
            return Ok(false);
        }
        self.forget(key)?;
        let logged_in_at = u64::try_from(session.logged_in_at.millis()).unwrap_or(0);
        self.accounts.insert(place(&session.entry.account, key).as_slice(), logged_in_at)?;
        self.sessions.insert(key, session.entry.encode().as_slice())?;
        Ok(true)
    }

    /// Records a use of a session that is there.
    pub(super) fn touch(&mut self, handle: &Handle, touch: &Touch) -> Result<(), redb::Error> {
        let key = handle.as_bytes().as_slice();
        if let Some(mut entry) = self.entry(key)?
            && entry.touch(touch)
        {
            self.sessions.insert(key, entry.encode().as_slice())?;
        }
        Ok(())
    }

    /// Brings a session's record from one state to the next.
    pub(super) fn swap(&mut self, swap: &Swap, now: Timestamp) -> Result<Replaced, redb::Error> {
        let key = swap.handle.as_bytes().as_slice();
        let Some(mut entry) = self.entry(key)?.filter(|entry| entry.is_alive(now)) else {
            return Ok(Replaced::Gone);
        };
        let Some(record) = swapped(&entry.record, swap.transition()) else {
            return Ok(Replaced::Changed);
        };
        entry.record = record;
        self.sessions.insert(key, entry.encode().as_slice())?;
        Ok(Replaced::Done)
    }

    /// Takes a session off the shelf and out of its account's index. Says whether it was alive.
    pub(super) fn take_off(&mut self, handle: &Handle, now: Timestamp) -> Result<bool, redb::Error> {
        let gone = self.forget(handle.as_bytes())?;
        Ok(gone.is_some_and(|entry| entry.is_alive(now)))
    }

    /// Takes a session off the shelf if its time is over.
    pub(super) fn expire(&mut self, key: &[u8], now: Timestamp) -> Result<(), redb::Error> {
        if !self.entry(key)?.is_some_and(|entry| entry.is_alive(now)) {
            self.forget(key)?;
        }
        Ok(())
    }

    fn entry(&self, key: &[u8]) -> Result<Option<Entry>, redb::Error> {
        Ok(self.sessions.get(key)?.and_then(|bytes| Entry::decode(bytes.value())))
    }

    fn forget(&mut self, key: &[u8]) -> Result<Option<Entry>, redb::Error> {
        let entry = self.sessions.remove(key)?.and_then(|bytes| Entry::decode(bytes.value()));
        if let Some(entry) = &entry {
            self.accounts.remove(place(&entry.account, key).as_slice())?;
        }
        Ok(entry)
    }
}

/// A session that is to be put on the shelf.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) handle: Handle,
    pub(super) entry: Entry,
    pub(super) logged_in_at: Timestamp,
}

/// A [`Transition`] on its way to the file.
#[derive(Debug)]
pub(super) struct Swap {
    pub(super) handle: Handle,
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    pub(super) offset: usize,
}

impl Swap {
    fn transition(&self) -> Transition<'_> {
        Transition { from: &self.from, to: &self.to, offset: self.offset }
    }
}

/// Where in its account's index a session stands. Accounts are hashes of one length: none is another's beginning.
fn place(account: &[u8], key: &[u8]) -> Vec<u8> {
    [account, key].concat()
}

/// How many sessions there are, and how many places in indexes.
#[cfg(test)]
pub(super) fn count(database: &Database) -> Result<(u64, u64), redb::Error> {
    use redb::ReadableTableMetadata;
    let transaction = database.begin_read()?;
    Ok((transaction.open_table(SESSIONS)?.len()?, transaction.open_table(ACCOUNTS)?.len()?))
}
