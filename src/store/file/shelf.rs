//! The open file, and the uses that have not been written to it yet.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::RwLockWriteGuard;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::Database;

use super::entry::Entry;
use super::opening::{self, FileError};
use super::tables::{self, Survey, Tables};
use super::trouble::Shared;
use crate::base::clock::Clock;
use crate::base::handle::Handle;
use crate::base::lock::lock;
use crate::store::{Changes, Touch};

/// What a file system must take before a transaction is tried again.
const TRIAL: usize = 1024 * 1024;

/// What readers and the one writer share.
pub(super) struct Shelf {
    path: PathBuf,
    clock: Clock,
    changes: Option<Arc<dyn Changes>>,
    /// Or why the file is not open.
    database: RwLock<Result<Database, Shared>>,
    /// The latest use of each session since the last transaction. Whoever reads these and the file reads these
    /// first: a transaction brings them into the file before they are forgotten here.
    uses: Mutex<HashMap<Handle, Touch>>,
}

impl Shelf {
    pub(super) fn open(
        path: &Path,
        clock: Clock,
        changes: Option<Arc<dyn Changes>>,
    ) -> Result<Self, FileError> {
        let database = RwLock::new(Ok(opening::open(path)?));
        Ok(Self { path: path.to_owned(), clock, changes, database, uses: Mutex::default() })
    }

    /// The living session of `handle`, its latest use included.
    pub(super) fn load(&self, handle: &Handle) -> Result<Option<Entry>, Shared> {
        let last_use = lock(&self.uses).get(handle).copied();
        let mut found = self.read(|database| tables::look_up(database, handle))?;
        if let (Some(entry), Some(last_use)) = (&mut found, &last_use) {
            entry.touch(last_use);
        }
        Ok(found.filter(|entry| entry.is_alive(self.clock.now())))
    }

    /// Takes notice of a use. Says whether there is such a session.
    pub(super) fn touch(&self, handle: &Handle, touch: Touch) -> Result<bool, Shared> {
        let Some(mut entry) = self.load(handle)? else {
            return Ok(false);
        };
        if entry.touch(&touch) {
            let mut uses = lock(&self.uses);
            let latest = uses.entry(*handle).or_insert(touch);
            if latest.digits < touch.digits {
                *latest = touch;
            }
            drop(uses);
            self.tell(handle);
        }
        Ok(true)
    }

    /// Reads what is in the file, and in no transaction under way.
    pub(super) fn read<T>(
        &self,
        look: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Shared> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        look(database.as_ref().map_err(Arc::clone)?).map_err(Shared::new)
    }

    /// Tells that a session is another by now, or gone.
    pub(super) fn tell(&self, handle: &Handle) {
        if let Some(changes) = &self.changes {
            changes.changed(handle);
        }
    }

    /// Some of the sessions from `start` on, and which of them are over.
    pub(super) fn survey(&self, start: &[u8], limit: usize) -> Result<Survey, Shared> {
        self.read(|database| tables::survey(database, start, limit, self.clock.now()))
    }

    /// Writes, after the uses that there have been, and has it all on the disk before it returns.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, Shared> {
        let uses = lock(&self.uses).clone();
        let done = self.read(|database| {
            let transaction = database.begin_write()?;
            let mut tables = Tables::open(&transaction)?;
            uses.iter().try_for_each(|(handle, touch)| tables.touch(handle, touch))?;
            let done = work(&mut tables)?;
            drop(tables);
            transaction.commit()?;
            Ok(done)
        })?;
        lock(&self.uses).retain(|handle, touch| {
            let written = uses.get(handle);
            written.is_none_or(|written| written.digits < touch.digits)
        });
        Ok(done)
    }

    /// Whether there are uses to be written.
    pub(super) fn was_used(&self) -> bool {
        !lock(&self.uses).is_empty()
    }

    pub(super) fn is_open(&self) -> bool {
        self.database.read().unwrap_or_else(PoisonError::into_inner).is_ok()
    }

    /// Opens the file again: redb does nothing more with one that has failed it once.
    pub(super) fn reopen(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old one's lock on the file goes with it, and before the new one comes.
        *database = Err(Shared::new(redb::Error::DatabaseClosed));
        *database = opening::again(&self.path).map_err(Shared::new);
    }

    /// Whether the file system takes anything: a failed trial costs nothing, a failed transaction a reopening.
    pub(super) fn has_room(&self) -> bool {
        let folder = opening::folder(&self.path);
        let tried = tempfile::tempfile_in(folder).and_then(|mut file| file.write_all(&vec![0; TRIAL]));
        tried.is_ok()
    }

    /// Ends it: the file may be opened by others.
    pub(super) fn close(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = Err(Shared::new(redb::Error::DatabaseClosed));
    }

    /// Keeps everybody from the file for as long as the guard lives.
    #[cfg(test)]
    pub(super) fn stall(&self) -> RwLockWriteGuard<'_, Result<Database, Shared>> {
        self.database.write().unwrap()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Shelf({})", self.path.display())
    }
}
