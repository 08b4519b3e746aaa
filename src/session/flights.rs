//! Look-ups under way: those of one session at one time share one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::SetOnce;

use crate::base::handle::Handle;
use crate::base::lock::lock;

/// Sessions are spread over so many locks.
const SHARDS: usize = 16;

/// What is under way.
#[derive(Debug)]
pub(super) struct Flights<T>([Shard<T>; SHARDS]);

type Shard<T> = Mutex<HashMap<Handle, Arc<Flight<T>>>>;

/// One look-up. Its outcome is `None` where whoever led it went away.
pub(super) type Flight<T> = SetOnce<Option<T>>;

/// What a caller has to do.
pub(super) enum Turn<'a, T> {
    /// Look up, and [`land`](Lead::land) what came of it.
    Lead(Lead<'a, T>),
    /// Wait for somebody else's look-up.
    Follow(Arc<Flight<T>>),
}

/// Looks up for all. Where it is dropped before it lands, the others are told so and look again.
pub(super) struct Lead<'a, T> {
    flights: &'a Flights<T>,
    handle: Handle,
    flight: Arc<Flight<T>>,
}

impl<T> Flights<T> {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// Takes part in the look-up of `handle` that is under way, or begins one.
    pub(super) fn board(&self, handle: Handle) -> Turn<'_, T> {
        match self.shard(&handle).entry(handle) {
            Entry::Occupied(flight) => Turn::Follow(Arc::clone(flight.get())),
            Entry::Vacant(vacant) => {
                let flight = Arc::clone(vacant.insert(Arc::new(SetOnce::new())));
                Turn::Lead(Lead { flights: self, handle, flight })
            }
        }
    }

    /// What lands from now on may be out of date: it is not kept, and nobody boards it any more. Does `meanwhile`
    /// where nothing lands.
    pub(super) fn spoil(&self, handle: &Handle, meanwhile: impl FnOnce()) {
        let mut shard = self.shard(handle);
        shard.remove(handle);
        meanwhile();
    }

    fn shard(&self, handle: &Handle) -> MutexGuard<'_, HashMap<Handle, Arc<Flight<T>>>> {
        let shard = usize::from(handle.as_bytes()[0]) % SHARDS;
        // Whole between any two statements, so a panic elsewhere poisons nothing.
        lock(&self.0[shard])
    }
}

impl<T: Clone> Lead<'_, T> {
    /// Tells everybody of the outcome, after `keep`, which is done where nothing has spoilt it.
    pub(super) fn land(self, outcome: T, keep: impl FnOnce()) {
        {
            let mut shard = self.flights.shard(&self.handle);
            if self.is_in(&shard) {
                keep();
                shard.remove(&self.handle);
            }
        }
        let _ = self.flight.set(Some(outcome));
    }
}

impl<T> Lead<'_, T> {
    fn is_in(&self, shard: &HashMap<Handle, Arc<Flight<T>>>) -> bool {
        shard.get(&self.handle).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
    }
}

impl<T> Drop for Lead<'_, T> {
    fn drop(&mut self) {
        let mut shard = self.flights.shard(&self.handle);
        if self.is_in(&shard) {
            shard.remove(&self.handle);
        }
        drop(shard);
        // Set already where it has landed.
        let _ = self.flight.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLE: Handle = Handle::new([1; 16]);

    fn lead(flights: &Flights<u8>) -> Lead<'_, u8> {
        match flights.board(HANDLE) {
            Turn::Lead(lead) => lead,
            Turn::Follow(_) => panic!("nothing is under way"),
        }
    }

    fn follow(flights: &Flights<u8>) -> Arc<Flight<u8>> {
        match flights.board(HANDLE) {
            Turn::Follow(flight) => flight,
            Turn::Lead(_) => panic!("one is under way"),
        }
    }

    #[test]
    fn those_who_come_while_one_looks_up_share_its_outcome() {
        let flights = Flights::new();
        let first = lead(&flights);
        let (second, third) = (follow(&flights), follow(&flights));
        let mut kept = false;
        first.land(7, || kept = true);
        assert!(kept);
        assert_eq!((second.get(), third.get()), (Some(&Some(7)), Some(&Some(7))));
        drop(lead(&flights));
    }

    #[test]
    fn what_has_changed_meanwhile_is_told_but_not_kept_and_boarded_no_more() {
        let flights = Flights::new();
        let first = lead(&flights);
        let second = follow(&flights);
        flights.spoil(&HANDLE, || ());
        let third = lead(&flights);
        first.land(1, || panic!("it may be out of date"));
        assert_eq!(second.get(), Some(&Some(1)));
        let fourth = follow(&flights);
        let mut kept = false;
        third.land(2, || kept = true);
        assert!(kept);
        assert_eq!(fourth.get(), Some(&Some(2)));
    }

    #[test]
    fn who_goes_away_leaves_it_to_the_others() {
        let flights = Flights::new();
        let first = lead(&flights);
        let second = follow(&flights);
        drop(first);
        assert_eq!(second.get(), Some(&None));
        drop(lead(&flights));
    }
}
