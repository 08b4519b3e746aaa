//! Buckets in this process's memory: of the stores that one process has to itself.

use std::collections::HashMap;
use std::sync::Mutex;

use super::bucket::{Bucket, BucketName, Level, Place, Taken};
use crate::base::clock::Timestamp;
use crate::base::lock::lock;

/// Parts that are locked apart. Digests are keyed, so nobody can choose a part.
const SHARDS: usize = 16;

/// Buckets in one part: all of them take some 10 MiB.
const MOST: usize = 8192;

/// Below this many, a sweep is not worth its walk.
const FIRST_SWEEP: usize = 256;

/// Buckets, as many as there is room for. Where somebody makes up names faster than their buckets drain, those that
/// are least full are forgotten: whoever wants to be forgotten would have to fill half of all others first.
#[derive(Debug, Default)]
pub struct Buckets([Mutex<Shard>; SHARDS]);

#[derive(Debug, Default)]
struct Shard {
    levels: HashMap<BucketName, Level>,
    /// The number of buckets at which those that are empty are swept out: twice what the last sweep left.
    sweep_at: usize,
}

impl Buckets {
    /// Takes a place where there is one.
    pub fn take(&self, bucket: &Bucket, now: Timestamp) -> Taken {
        let mut shard = lock(self.shard(&bucket.name));
        let stored = shard.levels.get(&bucket.name).copied();
        match Level::take(stored, bucket.rate, now) {
            Ok(level) => {
                shard.put(bucket.name, level, now);
                Taken::Place(level.place())
            }
            Err(wait) => Taken::Full(wait),
        }
    }

    /// Gives a place back.
    pub fn give_back(&self, bucket: &Bucket, place: Place, now: Timestamp) {
        let mut shard = lock(self.shard(&bucket.name));
        let Some(level) = shard.levels.get(&bucket.name) else { return };
        match level.give_back(place, bucket.rate, now) {
            Some(level) => shard.levels.insert(bucket.name, level),
            None => shard.levels.remove(&bucket.name),
        };
    }

    fn shard(&self, name: &BucketName) -> &Mutex<Shard> {
        &self.0[usize::from(name.digest[0]) % SHARDS]
    }
}

impl Shard {
    fn put(&mut self, name: BucketName, level: Level, now: Timestamp) {
        if self.levels.len() >= self.sweep_at {
            self.levels.retain(|_, level| !level.is_empty(now));
            if self.levels.len() >= MOST {
                self.forget_half();
            }
            self.sweep_at = (self.levels.len() * 2).clamp(FIRST_SWEEP, MOST);
        }
        self.levels.insert(name, level);
    }

    /// Forgets the emptier half.
    fn forget_half(&mut self) {
        let mut levels: Vec<Level> = self.levels.values().copied().collect();
        let middle = levels.len() / 2;
        let (_, median, _) = levels.select_nth_unstable(middle);
        let median = *median;
        let mut spare = middle;
        self.levels.retain(|_, level| {
            // Of those that stand alike, as many go as have to.
            let goes = *level <= median && spare > 0;
            spare -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::rate;

    const NOW: Timestamp = Timestamp::from_seconds(1_763_800_000);

    fn bucket(n: u64) -> Bucket {
        // Spread over the parts, as digests are.
        let digest = (u128::from(n) | u128::from(n.to_le_bytes()[0]) << 120).to_be_bytes();
        Bucket { name: BucketName { scope: "user", digest }, rate: rate::parse("5/m").unwrap() }
    }

    fn kept(buckets: &Buckets) -> usize {
        buckets.0.iter().map(|shard| lock(shard).levels.len()).sum()
    }

    #[test]
    fn what_has_drained_is_swept_out_as_others_come() {
        let buckets = Buckets::default();
        for n in 0..200_000 {
            buckets.take(&bucket(n), NOW.plus(Duration::from_millis(n * 100)));
        }
        assert!(kept(&buckets) <= SHARDS * FIRST_SWEEP, "{} for 120 that are not empty", kept(&buckets));
    }

    #[test]
    fn made_up_names_take_bounded_memory_and_empty_nobodys_bucket() {
        let buckets = Buckets::default();
        let alice = bucket(u64::MAX);
        for _ in 0..5 {
            assert!(matches!(buckets.take(&alice, NOW), Taken::Place(_)));
        }
        for n in 0..1_000_000 {
            buckets.take(&bucket(n), NOW);
        }
        assert!(kept(&buckets) <= SHARDS * MOST, "{}", kept(&buckets));
        assert!(matches!(buckets.take(&alice, NOW), Taken::Full(_)));
    }

    #[test]
    fn a_bucket_that_is_given_all_back_is_forgotten() {
        let buckets = Buckets::default();
        let Taken::Place(place) = buckets.take(&bucket(1), NOW) else { panic!() };
        buckets.give_back(&bucket(1), place, NOW);
        assert_eq!(kept(&buckets), 0);
    }
}
