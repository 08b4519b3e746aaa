//! Opening the file, and making it where there is none.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use redb::{Builder, Database};

use super::tables;

/// Pages that redb keeps in memory; its own default is a gibibyte.
const CACHE: usize = 32 * 1024 * 1024;

/// A smaller file is not worth compacting.
const SMALL: u64 = 4 * 1024 * 1024;

/// The store's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Another process has it open.
    #[error(
        "{} is in use by another foregate: one file serves one process (end the other one, name another file, or \
         share a Redis: session.store.url = \"redis://HOST:6379/0\")",
        path.display()
    )]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It is no file of sessions, or no longer.
    #[error(
        "{} is damaged or holds no sessions: {source} (move it away and start again: everyone logs in again)",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: redb::Error,
    },
    /// It can be neither opened nor made.
    #[error(
        "cannot keep sessions in {}: {source} (the file and its folder must be writable by the user that foregate \
         runs as)",
        path.display()
    )]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: redb::Error,
    },
}

impl FileError {
    pub(super) fn unusable(path: &Path, error: io::Error) -> Self {
        Self::Unusable { path: path.to_owned(), source: error.into() }
    }

    fn new(path: &Path, source: redb::Error) -> Self {
        let path = path.to_owned();
        match source {
            redb::Error::DatabaseAlreadyOpen => Self::InUse { path },
            redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => Self::Damaged { path, source },
            redb::Error::Io(ref error)
                if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                Self::Damaged { path, source }
            }
            _ => Self::Unusable { path, source },
        }
    }
}

/// Opens the file at `path`; makes it (0600), and its folder (0700), where there is none.
pub(super) fn open(path: &Path) -> Result<Database, FileError> {
    let opened = || -> Result<Database, redb::Error> {
        if !fs::exists(path)? {
            make(path)?;
        }
        let mut database = again(path)?;
        tables::prepare(&database)?;
        compact(&mut database, fs::metadata(path)?.len())?;
        Ok(database)
    };
    opened().map_err(|source| FileError::new(path, source))
}

/// Opens the file at `path`, which is there.
pub(super) fn again(path: &Path) -> Result<Database, redb::Error> {
    Ok(builder().open(path)?)
}

/// Whether [`open`] could write where it has to. Nothing is made and nothing is locked.
pub(in super::super) fn probe(path: &Path) -> Result<(), FileError> {
    let probed = || -> io::Result<()> {
        if fs::exists(path)? {
            fs::OpenOptions::new().read(true).write(true).open(path)?;
        }
        let there = folder(path).ancestors().find(|folder| folder.exists());
        tempfile::tempfile_in(there.unwrap_or(Path::new("."))).map(drop)
    };
    probed().map_err(|error| FileError::new(path, error.into()))
}

/// Checks every page: an unchecked file that is damaged makes redb panic later on.
fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

/// Makes the file under another name first: whoever kills the process leaves a whole file or none.
fn make(path: &Path) -> Result<(), redb::Error> {
    let folder = folder(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let made = tempfile::Builder::new().prefix(".foregate-").tempfile_in(folder)?;
    let database = builder().create(made.path())?;
    tables::prepare(&database)?;
    database.close()?;
    made.as_file().sync_all()?;
    match made.persist_noclobber(path) {
        Ok(_) => Ok(File::open(folder)?.sync_all()?),
        Err(taken) if taken.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(failed) => Err(failed.error.into()),
    }
}

/// Gives the room of sessions that are gone back to the file system, where that is most of the file.
fn compact(database: &mut Database, length: u64) -> Result<(), redb::Error> {
    if length < SMALL {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    let stats = transaction.stats()?;
    transaction.abort()?;
    let used = stats.allocated_pages().saturating_mul(stats.page_size() as u64);
    if used < length / 2 {
        database.compact()?;
    }
    Ok(())
}

pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
