//! `memory:`: sessions that end with the process. It keeps no index: who asks for an account's sessions waits for a walk
//! over all of them.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::sync::Mutex;

use crate::base::clock::{Clock, Timestamp};
use crate::base::handle::Handle;
use crate::base::lock::lock;

use super::buckets::Buckets;
use super::parcels::Parcels;
use super::{
    Answer, Bucket, Cursor, Fetch, HandleTaken, Loaded, Member, NewSession, Parcel, Part, Place, Removed,
    Replaced, Store, Taken, Touch, Transition, swapped,
};

/// Below this many entries a sweep is not worth its walk.
const FIRST_SWEEP: usize = 1024;

/// Sessions in this process's memory.
pub(super) struct MemoryStore {
    clock: Clock,
    shelf: Mutex<Shelf>,
    buckets: Buckets,
    parcels: Parcels,
}

struct Shelf {
    entries: HashMap<Handle, Entry>,
    /// The number of entries at which those that have expired are swept out: twice what the last sweep left, so
    /// that the shelf holds at most about twice the living, and adding stays cheap.
    sweep_at: usize,
}

struct Entry {
    record: Vec<u8>,
    account: String,
    logged_in_at: Timestamp,
    expires_at: Timestamp,
}

impl MemoryStore {
    pub(super) fn new(clock: Clock) -> Self {
        let shelf = Mutex::new(Shelf { entries: HashMap::new(), sweep_at: FIRST_SWEEP });
        Self { clock, shelf, buckets: Buckets::default(), parcels: Parcels::default() }
    }
}

impl Shelf {
    fn living(&mut self, handle: &Handle, now: Timestamp) -> Option<&mut Entry> {
        self.entries.get_mut(handle).filter(|entry| entry.expires_at > now)
    }

    fn put(&mut self, session: &NewSession<'_>, now: Timestamp) -> Result<(), HandleTaken> {
        if self.living(session.handle, now).is_some() {
            return Err(HandleTaken);
        }
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, entry| entry.expires_at > now);
            self.sweep_at = FIRST_SWEEP.max(self.entries.len() * 2);
        }
        let entry = Entry {
            record: session.record.to_vec(),
            account: session.account.to_owned(),
            logged_in_at: session.logged_in_at,
            expires_at: session.expires_at,
        };
        self.entries.insert(*session.handle, entry);
        Ok(())
    }

    fn touch(&mut self, handle: &Handle, touch: Touch, now: Timestamp) -> bool {
        let Some(entry) = self.living(handle, now) else {
            return false;
        };
        let digits = entry.record.get_mut(touch.offset..).and_then(|tail| tail.first_chunk_mut());
        if let Some(stored) = digits
            && *stored <= touch.due
        {
            *stored = touch.digits;
            entry.expires_at = touch.expires_at;
        }
        true
    }

    fn replace(&mut self, handle: &Handle, transition: Transition<'_>, now: Timestamp) -> Replaced {
        let Some(entry) = self.living(handle, now) else { return Replaced::Gone };
        let Some(record) = swapped(&entry.record, transition) else { return Replaced::Changed };
        entry.record = record;
        Replaced::Done
    }

    fn all(&self, now: Timestamp) -> Vec<Handle> {
        self.entries.iter().filter(|(_, entry)| entry.expires_at > now).map(|(handle, _)| *handle).collect()
    }

    fn members(&self, account: &str, now: Timestamp) -> Vec<Member> {
        let of_account = |entry: &Entry| entry.account == account && entry.expires_at > now;
        let entries = self.entries.iter().filter(|(_, entry)| of_account(entry));
        let mut members: Vec<_> = entries
            .map(|(handle, entry)| Member { handle: *handle, logged_in_at: entry.logged_in_at })
            .collect();
        members.sort_by_key(|member| (member.logged_in_at, member.handle));
        members
    }
}

impl Store for MemoryStore {
    fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Loaded> {
        let now = self.clock.now();
        let record = lock(&self.shelf).living(handle, now).map(|entry| entry.record.clone());
        Box::pin(ready(Ok(Loaded { record, tether: None })))
    }

    fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()> {
        let outcome = lock(&self.shelf).put(session, self.clock.now());
        Box::pin(ready(outcome.map_err(Into::into)))
    }

    fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool> {
        Box::pin(ready(Ok(lock(&self.shelf).touch(handle, touch, self.clock.now()))))
    }

    fn remove<'a>(&'a self, handle: &'a Handle, _account: &'a str) -> Answer<'a, Removed> {
        let now = self.clock.now();
        let removed = lock(&self.shelf).entries.remove(handle);
        Box::pin(ready(Ok(Removed::here(removed.is_some_and(|entry| entry.expires_at > now)))))
    }

    fn replace<'a>(&'a self, handle: &'a Handle, transition: Transition<'a>) -> Answer<'a, Replaced> {
        Box::pin(ready(Ok(lock(&self.shelf).replace(handle, transition, self.clock.now()))))
    }

    fn members<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Member>> {
        Box::pin(ready(Ok(lock(&self.shelf).members(account, self.clock.now()))))
    }

    fn survey(&self, _from: Cursor) -> Answer<'_, Part> {
        let handles = lock(&self.shelf).all(self.clock.now());
        Box::pin(ready(Ok(Part { handles, next: None })))
    }

    fn take<'a>(&'a self, bucket: &'a Bucket, now: Timestamp) -> Answer<'a, Taken> {
        Box::pin(ready(Ok(self.buckets.take(bucket, now))))
    }

    fn give_back<'a>(&'a self, bucket: &'a Bucket, place: Place, now: Timestamp) -> Answer<'a, ()> {
        self.buckets.give_back(bucket, place, now);
        Box::pin(ready(Ok(())))
    }

    fn deposit<'a>(&'a self, parcel: &'a Parcel<'a>) -> Answer<'a, ()> {
        Box::pin(ready(self.parcels.deposit(parcel, self.clock.now())))
    }

    fn fetch<'a>(&'a self, name: &'a Handle, how: Fetch) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(ready(Ok(self.parcels.fetch(name, how, self.clock.now()))))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(ready(Ok(())))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MemoryStore({} entries)", lock(&self.shelf).entries.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::base::clock::ClockHand;

    use super::*;

    fn session(handle: &Handle, expires_at: Timestamp) -> NewSession<'_> {
        let (account, record) = ("account", b"record".as_slice());
        NewSession { handle, account, record, logged_in_at: expires_at, expires_at, ends_at: expires_at }
    }

    #[tokio::test]
    async fn a_record_is_gone_at_its_expiry_to_the_millisecond() {
        let hand = ClockHand::at(Timestamp::from_seconds(0));
        let store = MemoryStore::new(hand.clock());
        let handle = Handle::new([1; 16]);
        store.create(&session(&handle, Timestamp::from_seconds(60))).await.unwrap();
        hand.advance(Duration::from_millis(59_999));
        assert!(store.load(&handle).await.unwrap().record.is_some());
        hand.advance(Duration::from_millis(1));
        assert_eq!(store.load(&handle).await.unwrap().record, None);
        assert!(!store.remove(&handle, "account").await.unwrap().existed);
    }

    #[tokio::test]
    async fn what_has_expired_is_swept_out_as_others_come() {
        let hand = ClockHand::at(Timestamp::from_seconds(0));
        let store = MemoryStore::new(hand.clock());
        for n in 0..20_000_u128 {
            let handle = Handle::new(n.to_be_bytes());
            let expires_at = hand.clock().now().plus(Duration::from_secs(10));
            store.create(&session(&handle, expires_at)).await.unwrap();
            hand.advance(Duration::from_millis(10));
        }
        let kept = lock(&store.shelf).entries.len();
        assert!(kept <= 2 * FIRST_SWEEP, "{kept} entries are kept for 1000 that live");
    }
}
