//! Requests that are sent on to https and come by http again: a proxy before this one passes by http on what came to it
//! by https, and nobody here believes it. A browser would go round until it gives up, and say nothing of the reason.

use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::walk::TOLD_EVERY;
use crate::base::clock::Clock;
use crate::base::rate;
use crate::base::seldom::Seldom;
use crate::http::{RequestContext, is_said_to_be_secure};
use crate::store::{Bucket, BucketName, Buckets, Taken};

/// So often may one client ask for one address in vain; browsers give up after twenty redirects.
const MOST: &str = "8/m";

/// Counts them, in this process.
#[derive(Debug)]
pub(super) struct Rounds {
    buckets: Buckets,
    clock: Clock,
    told: Seldom,
}

impl Rounds {
    pub(super) fn new(clock: Clock) -> Self {
        Self { buckets: Buckets::default(), clock, told: Seldom::every(TOLD_EVERY) }
    }

    /// Whether a request that is to be sent on to https has been there too often. Others are not counted: somebody has
    /// to have said that it came by https.
    pub(super) fn is_one_too_many(&self, request: &RequestContext, headers: &HeaderMap) -> bool {
        if !is_said_to_be_secure(headers) {
            return false;
        }
        let rate = rate::parse(MOST).expect("a rate");
        let bucket = Bucket { name: BucketName { scope: "round", digest: digest(request) }, rate };
        let is_too_many = matches!(self.buckets.take(&bucket, self.clock.now()), Taken::Full(_));
        if is_too_many && self.told.is_due() {
            tracing::warn!(
                client = %request.client,
                host = request.authority.host(),
                "requests come by http that another proxy got by https, and are sent back there in vain (name it in \
                 server.trusted_proxies and have it connect to server.plain, or to server.https by TLS)"
            );
        }
        is_too_many
    }
}

fn digest(request: &RequestContext) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [&request.client.to_string(), request.authority.host(), &request.target.path_and_query()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|at| digest[at])
}
