//! Requests that come again and again because somebody sends their browser round in a circle. It would go on until it
//! gives up, and say nothing of the reason.

use sha2::{Digest, Sha256};

use crate::base::clock::Clock;
use crate::base::random::Random;
use crate::base::rate::Rate;
use crate::base::secret::Secret;
use crate::store::{Bucket, BucketName, Buckets, Taken};

/// Counts them, in this process. Where rounds meet one process and another by turns, a browser may give up first.
#[derive(Debug)]
pub struct Rounds {
    buckets: Buckets,
    most: Rate,
    /// So that nobody can choose a digest.
    key: Secret<[u8; 32]>,
    clock: Clock,
}

impl Rounds {
    /// Of one kind of circle; a browser that is sent round it more often than `most` is told so.
    pub fn new(most: Rate, clock: Clock, random: Random) -> Self {
        Self { buckets: Buckets::default(), most, key: Secret::new(random.bytes()), clock }
    }

    /// Counts a round, told from others by `parts`; whether it is one too many.
    pub fn is_one_too_many(&self, parts: &[&[u8]]) -> bool {
        let name = BucketName { scope: "round", digest: self.digest(parts) };
        let bucket = Bucket { name, rate: self.most };
        matches!(self.buckets.take(&bucket, self.clock.now()), Taken::Full(_))
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hash = Sha256::new_with_prefix(self.key.expose());
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        std::array::from_fn(|at| digest[at])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::{ClockHand, Timestamp};

    #[test]
    fn each_circle_has_its_own_count_and_is_forgotten() {
        let hand = ClockHand::at(Timestamp::from_seconds(1_763_800_000));
        let most = Rate::per(3, Duration::from_secs(30));
        let rounds = Rounds::new(most, hand.clock(), Random::system());
        let around = |parts: &[&[u8]]| rounds.is_one_too_many(parts);
        assert_eq!([(); 4].map(|()| around(&[b"ab", b"c"])), [false, false, false, true]);
        assert!(!around(&[b"a", b"bc"]) && !around(&[b"ab"]));
        hand.advance(Duration::from_secs(10));
        assert!(!around(&[b"ab", b"c"]) && around(&[b"ab", b"c"]));
    }
}
