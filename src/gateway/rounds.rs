//! Requests that are sent on to https and come by http again: a proxy before this one passes by http on what came to it
//! by https, and nobody here believes it.

use std::time::Duration;

use http::HeaderMap;

use super::walk::TOLD_EVERY;
use crate::base::clock::Clock;
use crate::base::random::Random;
use crate::base::rate::Rate;
use crate::base::seldom::Seldom;
use crate::http::{RequestContext, RequestKind, is_said_to_be_secure};
use crate::policy::Rounds;

/// So often may one client go to one place in vain; browsers give up after twenty redirects.
const MOST: Rate = Rate::per(8, Duration::from_secs(60));

/// Notices them.
#[derive(Debug)]
pub(super) struct HttpsRounds {
    rounds: Rounds,
    told: Seldom,
}

impl HttpsRounds {
    pub(super) fn new(clock: Clock, random: Random) -> Self {
        Self { rounds: Rounds::new(MOST, clock, random), told: Seldom::every(TOLD_EVERY) }
    }

    /// Whether a request that is to be sent on to https has been there too often. Only those are counted that somebody
    /// says came by https, and that a browser shows the answer of.
    pub(super) fn is_one_too_many(&self, request: &RequestContext, headers: &HeaderMap) -> bool {
        if request.kind == RequestKind::Script || !is_said_to_be_secure(headers) {
            return false;
        }
        let (client, host) = (request.client.to_string(), request.authority.host());
        let parts = [&client, host, request.target.path()].map(str::as_bytes);
        let is_too_many = self.rounds.is_one_too_many(&parts);
        if is_too_many && self.told.is_due() {
            tracing::warn!(
                client,
                host,
                "requests come by http that another proxy got by https, and are sent back there in vain (name it in \
                 server.trusted_proxies and have it connect to server.plain, or to server.https by TLS)"
            );
        }
        is_too_many
    }
}
