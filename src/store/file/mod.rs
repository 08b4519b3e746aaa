//! `file:`: sessions in an embedded database, for one process, that outlive it.
//!
//! A login and a logout are on the disk before they are acknowledged; those that wait together share one
//! transaction. Uses are written once a second, or with the next login: who kills the process undoes a second of
//! them at most. Buckets of attempts begin anew with the process, and parcels do not outlive it. Readers never wait for the [`writer`], except while it opens a file again that has failed.

mod entry;
mod opening;
mod shelf;
mod tables;
mod trouble;
mod writer;

use std::future::{Future, ready};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub use opening::FileError;
pub(super) use opening::probe;

use super::buckets::Buckets;
use super::parcels::Parcels;
use super::tether::Mooring;
use super::{
    Answer, Bucket, Changes, Cursor, Fetch, HandleTaken, Loaded, Member, NewSession, Parcel, Part, Place,
    Removed, Replaced, Store, Taken, Touch, Transition, Unavailable,
};
use crate::base::clock::{Clock, Timestamp};
use crate::base::handle::Handle;
use entry::Entry;
use shelf::Shelf;
use tables::{Newcomer, Swap};
use trouble::{Shared, overdue, stopped};
use writer::{Change, Writer};

/// Threads that read at once; a look-up that misses redb's cache is one read of a page or two.
const READERS: usize = 32;

/// Sessions looked at in one part of a survey.
const SURVEYED: usize = 1000;

/// Sessions in one file.
#[derive(Debug)]
pub(super) struct FileStore {
    shelf: Arc<Shelf>,
    writer: Writer,
    mooring: Mooring,
    buckets: Buckets,
    parcels: Parcels,
    readers: Arc<Semaphore>,
    patience: Duration,
}

impl FileStore {
    /// Opens the file at `path`; every call ends within `patience`.
    pub(super) fn open(
        path: &Path,
        patience: Duration,
        clock: Clock,
        changes: Option<Arc<dyn Changes>>,
    ) -> Result<Self, FileError> {
        let shelf = Arc::new(Shelf::open(path, clock, changes)?);
        let writer = Writer::start(Arc::clone(&shelf)).map_err(|error| FileError::unusable(path, error))?;
        let readers = Arc::new(Semaphore::new(READERS));
        let (mooring, buckets, parcels) = (Mooring::new(), Buckets::default(), Parcels::default());
        Ok(Self { shelf, writer, mooring, buckets, parcels, readers, patience })
    }

    /// Reads on a thread of its own.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shelf) -> Result<T, Shared> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let shared = Arc::clone(&self.shelf);
        self.in_time(async {
            let permit = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| stopped())?;
            let reading = spawn_blocking(move || {
                let _permit = permit;
                read(&shared)
            });
            Ok(reading.await.map_err(|_| stopped())??)
        })
        .await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Unavailable>>) -> Result<T, Unavailable> {
        timeout(self.patience, work).await.unwrap_or_else(|_| Err(overdue()))
    }
}

impl Store for FileStore {
    fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Loaded> {
        let (handle, tether) = (*handle, Some(self.mooring.tether()));
        Box::pin(self.read(move |shelf| {
            let record = shelf.load(&handle)?.map(|entry| entry.record);
            Ok(Loaded { record, tether })
        }))
    }

    fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()> {
        let (handle, logged_in_at) = (*session.handle, session.logged_in_at);
        let newcomer = Newcomer { handle, entry: Entry::of(session), logged_in_at };
        Box::pin(async {
            match self.in_time(self.writer.perform(Change::Put(newcomer))).await? {
                Replaced::Changed => Err(HandleTaken.into()),
                Replaced::Done | Replaced::Gone => Ok(()),
            }
        })
    }

    fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool> {
        let handle = *handle;
        Box::pin(self.read(move |shelf| shelf.touch(&handle, touch)))
    }

    fn remove<'a>(&'a self, handle: &'a Handle, _account: &'a str) -> Answer<'a, Removed> {
        let removal = self.in_time(self.writer.perform(Change::TakeOff(*handle)));
        Box::pin(async { Ok(Removed::here(removal.await? == Replaced::Done)) })
    }

    fn replace<'a>(&'a self, handle: &'a Handle, transition: Transition<'a>) -> Answer<'a, Replaced> {
        let swap = Swap {
            handle: *handle,
            from: transition.from.to_vec(),
            to: transition.to.to_vec(),
            offset: transition.offset,
        };
        Box::pin(self.in_time(self.writer.perform(Change::Swap(swap))))
    }

    fn members<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Member>> {
        let account = account.as_bytes().to_vec();
        Box::pin(self.read(move |shelf| shelf.read(|database| tables::members(database, &account))))
    }

    fn survey(&self, from: Cursor) -> Answer<'_, Part> {
        Box::pin(self.read(move |shelf| {
            let survey = shelf.survey(&from.0, SURVEYED)?;
            Ok(Part { handles: survey.living, next: survey.next.map(Cursor) })
        }))
    }

    fn take<'a>(&'a self, bucket: &'a Bucket, now: Timestamp) -> Answer<'a, Taken> {
        Box::pin(ready(Ok(self.buckets.take(bucket, now))))
    }

    fn give_back<'a>(&'a self, bucket: &'a Bucket, place: Place, now: Timestamp) -> Answer<'a, ()> {
        self.buckets.give_back(bucket, place, now);
        Box::pin(ready(Ok(())))
    }

    fn deposit<'a>(&'a self, parcel: &'a Parcel<'a>) -> Answer<'a, ()> {
        Box::pin(ready(self.parcels.deposit(parcel, self.shelf.clock().now())))
    }

    fn fetch<'a>(&'a self, name: &'a Handle, how: Fetch) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(ready(Ok(self.parcels.fetch(name, how, self.shelf.clock().now()))))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(self.read(|shelf| shelf.read(|_| Ok(()))))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::sleep;

    use super::super::Trouble;
    use super::*;
    use crate::base::clock::{ClockHand, Stopwatch, Timestamp};
    use crate::base::random::Random;

    fn open(path: &Path, hand: &ClockHand) -> Arc<FileStore> {
        Arc::new(FileStore::open(path, Duration::from_secs(30), hand.clock(), None).unwrap())
    }

    fn session(handle: &Handle, now: Timestamp) -> NewSession<'_> {
        let (account, record) = ("0123456789abcdef0123456789abcdef", [b'7'; 500].as_slice());
        let expires_at = now.plus(Duration::from_secs(3600));
        NewSession { handle, account, record, logged_in_at: now, expires_at, ends_at: expires_at }
    }

    /// Logs `count` users in, each for an hour.
    async fn log_in(store: &Arc<FileStore>, hand: &ClockHand, count: usize) {
        let mut logins = JoinSet::new();
        for _ in 0..count / 100 {
            let (store, now) = (Arc::clone(store), hand.clock().now());
            logins.spawn(async move {
                for _ in 0..100 {
                    store.create(&session(&Handle::new(Random::system().bytes()), now)).await.unwrap();
                }
            });
        }
        logins.join_all().await;
    }

    async fn until_there_are(store: &FileStore, sessions: u64) {
        let waited = Stopwatch::start();
        while store.shelf.read(tables::count).unwrap() != (sessions, sessions) {
            assert!(waited.elapsed() < Duration::from_secs(60), "the sweep does not come");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn touch(second: u64, expires_at: Timestamp) -> Touch {
        let digits = format!("{second:010}").into_bytes().try_into().unwrap();
        Touch { offset: 0, digits, due: digits, expires_at }
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "the lock is what the calls wait for in vain")]
    async fn a_file_that_hangs_is_a_timeout() {
        let folder = tempfile::tempdir().unwrap();
        let patience = Duration::from_millis(50);
        let store = FileStore::open(&folder.path().join("f"), patience, Clock::system(), None).unwrap();
        let (handle, now) = (Handle::new([1; 16]), Clock::system().now());
        let waited = Stopwatch::start();
        let stalled = store.shelf.stall();
        let troubles = [
            store.load(&handle).await.unwrap_err(),
            store.create(&session(&handle, now)).await.unwrap_err(),
            store.touch(&handle, touch(1, now)).await.unwrap_err(),
            store.remove(&handle, "account").await.unwrap_err(),
            store.ping().await.unwrap_err(),
        ];
        assert!(troubles.iter().all(|trouble| trouble.kind == Trouble::Timeout), "{troubles:?}");
        assert!(waited.elapsed() < Duration::from_secs(2), "{:?}", waited.elapsed());
        drop(stalled);
        store.create(&session(&handle, now)).await.unwrap();
    }

    #[tokio::test]
    async fn uses_are_written_within_a_second_or_two_though_nobody_logs_in() {
        let folder = tempfile::tempdir().unwrap();
        let hand = ClockHand::at(Timestamp::from_seconds(1_700_000_000));
        let store = open(&folder.path().join("f"), &hand);
        let (handle, now) = (Handle::new([1; 16]), hand.clock().now());
        store.create(&session(&handle, now)).await.unwrap();
        let later = now.plus(Duration::from_secs(7200));
        assert!(store.touch(&handle, touch(7_777_777_778, later)).await.unwrap());
        let waited = Stopwatch::start();
        while store.shelf.was_used() {
            assert!(waited.elapsed() < Duration::from_secs(5), "nobody writes them");
            sleep(Duration::from_millis(20)).await;
        }
        let written = store.shelf.read(|database| tables::look_up(database, &handle)).unwrap().unwrap();
        assert_eq!((&written.record[..10], written.expires_at), (b"7777777778".as_slice(), later));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sessions_that_are_over_leave_the_file_and_give_their_room_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let hand = ClockHand::at(Timestamp::from_seconds(1_700_000_000));
        let size = || fs::metadata(&path).unwrap().len();
        let store = open(&path, &hand);
        log_in(&store, &hand, 100_000).await;
        until_there_are(&store, 100_000).await;
        let full = size();
        hand.advance(Duration::from_secs(3600));
        until_there_are(&store, 0).await;
        log_in(&store, &hand, 10_000).await;
        assert!(size() <= full, "what was freed is used again: {} of {full}", size());
        drop(store);
        let store = open(&path, &hand);
        until_there_are(&store, 10_000).await;
        assert!(size() < full / 4, "what is not used is given back: {} of {full}", size());
    }
}
