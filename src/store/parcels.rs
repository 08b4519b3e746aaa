//! Parcels in this process's memory: of the stores that one process has to itself.

use std::collections::HashMap;
use std::sync::Mutex;

use super::{Fetch, Parcel, Trouble, Unavailable};
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::lock::lock;

/// All of them together: 64 MiB. Beyond that nothing more is taken in until somebody comes for theirs, or never came.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Parcels, as many as there is room for.
#[derive(Debug, Default)]
pub(super) struct Parcels(Mutex<Room>);

#[derive(Debug, Default)]
struct Room {
    parcels: HashMap<Handle, Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    content: Vec<u8>,
    until: Timestamp,
}

impl Parcels {
    /// Takes one in.
    ///
    /// # Errors
    /// Where there is no room.
    pub(super) fn deposit(&self, parcel: &Parcel<'_>, now: Timestamp) -> Result<(), Unavailable> {
        let mut room = lock(&self.0);
        if room.with(parcel) > MOST_BYTES {
            room.tidy(now);
        }
        let bytes = room.with(parcel);
        if bytes > MOST_BYTES {
            return Err(Unavailable { kind: Trouble::Full, source: None });
        }
        room.bytes = bytes;
        room.parcels.insert(*parcel.name, Kept { content: parcel.content.to_vec(), until: parcel.until });
        Ok(())
    }

    /// What lies under `name`.
    pub(super) fn fetch(&self, name: &Handle, how: Fetch, now: Timestamp) -> Option<Vec<u8>> {
        let mut room = lock(&self.0);
        let kept = match how {
            Fetch::Look => room.parcels.get(name).map(|kept| (kept.content.clone(), kept.until)),
            Fetch::Collect => room.parcels.remove(name).map(|kept| (kept.content, kept.until)),
        };
        let (content, until) = kept?;
        if how == Fetch::Collect {
            room.bytes -= content.len();
        }
        (until > now).then_some(content)
    }
}

impl Room {
    /// How many bytes there are with `parcel` in the place of what lies under its name.
    fn with(&self, parcel: &Parcel<'_>) -> usize {
        let before = self.parcels.get(parcel.name).map_or(0, |kept| kept.content.len());
        self.bytes - before + parcel.content.len()
    }

    fn tidy(&mut self, now: Timestamp) {
        self.parcels.retain(|_, kept| kept.until > now);
        self.bytes = self.parcels.values().map(|kept| kept.content.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_763_800_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn deposit(parcels: &Parcels, number: u128, content: &[u8], now: Timestamp) -> Result<(), Unavailable> {
        let name = &Handle::new(number.to_be_bytes());
        parcels.deposit(&Parcel { name, content, until: now.plus(MINUTE) }, now)
    }

    fn fetch(parcels: &Parcels, number: u128, how: Fetch, now: Timestamp) -> Option<Vec<u8>> {
        parcels.fetch(&Handle::new(number.to_be_bytes()), how, now)
    }

    #[test]
    fn a_parcel_is_gone_at_its_time() {
        let parcels = Parcels::default();
        deposit(&parcels, 1, b"one", NOW).unwrap();
        let last = NOW.plus(MINUTE).minus(Duration::from_millis(1));
        assert_eq!(fetch(&parcels, 1, Fetch::Look, last).as_deref(), Some(b"one".as_slice()));
        assert_eq!(fetch(&parcels, 1, Fetch::Collect, NOW.plus(MINUTE)), None);
    }

    #[test]
    fn beyond_the_room_there_is_nothing_is_taken_in_until_others_are_gone() {
        let parcels = Parcels::default();
        let large = vec![7; MOST_BYTES / 4];
        (0..4).for_each(|number| deposit(&parcels, number, &large, NOW).unwrap());
        assert_eq!(deposit(&parcels, 4, b"x", NOW).unwrap_err().kind, Trouble::Full);
        assert!(fetch(&parcels, 0, Fetch::Collect, NOW).is_some());
        deposit(&parcels, 4, &large, NOW).unwrap();
        assert_eq!(deposit(&parcels, 5, b"x", NOW).unwrap_err().kind, Trouble::Full);
        let later = NOW.plus(MINUTE);
        (5..9).for_each(|number| deposit(&parcels, number, &large, later).unwrap());
        assert_eq!(lock(&parcels.0).parcels.len(), 4);
    }

    #[test]
    fn what_takes_anothers_place_takes_its_room() {
        let parcels = Parcels::default();
        for _ in 0..2 {
            deposit(&parcels, 1, &vec![7; MOST_BYTES], NOW).unwrap();
        }
        for _ in 0..3 {
            deposit(&parcels, 1, b"four", NOW).unwrap();
        }
        assert_eq!(lock(&parcels.0).bytes, 4);
        assert!(fetch(&parcels, 1, Fetch::Collect, NOW).is_some());
        assert_eq!(lock(&parcels.0).bytes, 0);
    }
}
