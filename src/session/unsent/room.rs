//! How many forms are kept: whoever has the cookie of an ended session could fill the store with them.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::LIFE;
use crate::base::client::network_of;
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::rate::Rate;
use crate::base::signed::Signer;
use crate::http::RequestContext;
use crate::store::{Bucket, BucketName, Store, Taken, Unavailable};

/// How many one ended session may leave.
const OF_A_SESSION: Rate = Rate::per(20, Duration::from_secs(3600));

/// How much the store takes in within the life of one, in bytes: 128 MiB. So it holds twice as much at most.
const IN_ALL: u64 = 128 * 1024 * 1024;

/// What part of that one client may take: an eighth.
const SHARE: u32 = 8;

/// How many are read at a time, and lie in this process's memory.
const AT_A_TIME: usize = 32;

/// Counts them.
#[derive(Debug)]
pub(super) struct Room {
    of_a_client: Rate,
    in_all: Rate,
    /// Keyed, so that the store learns no addresses.
    names: Signer,
    reading: Semaphore,
}

/// Room for one, until it is kept.
#[derive(Debug)]
pub struct Place<'a>(
    #[expect(dead_code, reason = "the room is given back when it is dropped")] SemaphorePermit<'a>,
);

impl Room {
    /// For forms of `most_bytes` at most.
    pub(super) fn new(most_bytes: u64, names: Signer) -> Self {
        let share =
            u32::try_from(IN_ALL / u64::from(SHARE) / most_bytes).unwrap_or(u32::MAX).clamp(1, 100_000);
        Self {
            of_a_client: Rate::per(share, LIFE),
            in_all: Rate::per(share * SHARE, LIFE),
            names,
            reading: Semaphore::new(AT_A_TIME),
        }
    }

    /// A place for a form that came with the cookie of the session `ended`; `None` where there is none.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub(super) async fn take(
        &self,
        store: &dyn Store,
        request: &RequestContext,
        ended: &Handle,
        now: Timestamp,
    ) -> Result<Option<Place<'_>>, Unavailable> {
        let Ok(reading) = self.reading.try_acquire() else { return Ok(None) };
        for bucket in self.buckets(request, ended) {
            if let Taken::Full(_) = store.take(&bucket, now).await? {
                return Ok(None);
            }
        }
        Ok(Some(Place(reading)))
    }

    /// Those that are full first leave the others alone.
    fn buckets(&self, request: &RequestContext, ended: &Handle) -> [Bucket; 3] {
        let client = network_of(request.client).to_string();
        [
            bucket(*ended.as_bytes(), OF_A_SESSION),
            bucket(self.name(client.as_bytes()), self.of_a_client),
            bucket(self.name(b"all"), self.in_all),
        ]
    }

    fn name(&self, whose: &[u8]) -> [u8; 16] {
        let tag = self.names.tag(&[whose]);
        std::array::from_fn(|at| tag[at])
    }
}

fn bucket(digest: [u8; 16], rate: Rate) -> Bucket {
    Bucket { name: BucketName { scope: "unsent", digest }, rate }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;
    use crate::base::signed::{Purpose, Secrets};

    #[test]
    fn however_large_forms_may_be_the_store_takes_in_so_much_and_one_client_an_eighth() {
        let secrets = Secrets { current: Secret::new(vec![7; 32]), previous: Vec::new() };
        for (most_bytes, of_a_client) in [(1, 100_000), (64 << 10, 256), (1 << 20, 16), (1 << 40, 1)] {
            let room = Room::new(most_bytes, Signer::derive(&secrets, Purpose::UnsentRoom));
            assert_eq!(room.of_a_client.count(), of_a_client, "{most_bytes}");
            assert_eq!(room.in_all.count(), of_a_client * SHARE);
        }
    }
}
