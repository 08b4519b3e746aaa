//! Applications that send a signed-in user to the login again and again: the login sends them back each time.

use std::time::Duration;

use http::Method;

use crate::base::clock::Clock;
use crate::base::random::Random;
use crate::base::rate::Rate;
use crate::base::seldom::Seldom;
use crate::http::{RequestContext, RequestKind};
use crate::policy::Rounds;
use crate::session::Session;

/// So often is somebody sent on to one place who need not log in. Safari gives up after sixteen redirects, and others after
/// twenty: five rounds by way of a page that the application or this proxy has in between.
const MOST: Rate = Rate::per(5, Duration::from_secs(30));

/// How often the log tells of them at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Notices them.
#[derive(Debug)]
pub struct LoginRounds {
    rounds: Rounds,
    told: Seldom,
}

impl LoginRounds {
    /// Counts in this process.
    pub fn new(clock: Clock, random: Random) -> Self {
        Self { rounds: Rounds::new(MOST, clock, random), told: Seldom::every(TOLD_EVERY) }
    }

    /// Whether the user of `session` was sent on to `destination` too often to be sent there again. Only browsers are
    /// counted that show what they get.
    pub(super) fn is_one_too_many(
        &self,
        request: &RequestContext,
        session: &Session,
        destination: &str,
    ) -> bool {
        if request.kind == RequestKind::Script || request.method != Method::GET {
            return false;
        }
        let host = request.authority.host();
        let parts = [session.handle.as_bytes(), host.as_bytes(), destination.as_bytes()];
        let is_too_many = self.rounds.is_one_too_many(&parts);
        // A query may hold what is not for logs.
        let path = destination.split(['?', '#']).next().unwrap_or_default();
        if is_too_many && self.told.is_due() {
            tracing::warn!(
                handle = %session.handle,
                host,
                path,
                "an application sends a signed-in user to the login again and again"
            );
        }
        is_too_many
    }
}
