//! What rides on the session that it was permitted to: what may take longer than a moment, and nothing else.

use http_body::Body as HttpBody;
use hyper::body::Incoming;

use super::progress::Progress;
use crate::config::Activity;
use crate::policy::{Permit, frames_count_as_use};
use crate::session::{Live, Ride, Uses};

/// A body of a known length up to this is over in a moment.
const MOMENTARY: u64 = 64 * 1024;

/// Decides what rides.
#[derive(Debug)]
pub(super) struct Riding {
    pub(super) live: Live,
    pub(super) activity: Activity,
}

/// A tunnel's ride.
#[derive(Debug)]
pub(super) struct Rider {
    pub(super) ride: Ride,
    /// Who notes what its client sends; `None` where that is no use of the session.
    pub(super) uses: Option<Uses>,
}

impl Riding {
    /// The ride of a request's body, until the answer begins.
    pub(super) fn upload(&self, permit: &Permit, body: &Incoming) -> Option<Ride> {
        takes_long(body).then(|| self.ride(permit)).flatten()
    }

    /// The ride of an answer, with what is left of its request.
    pub(super) fn answer(&self, permit: &Permit, body: &Incoming, request: &Progress) -> Option<Ride> {
        let rides = takes_long(body) || (request.is_uploading() && !body.is_end_stream());
        rides.then(|| self.ride(permit)).flatten()
    }

    pub(super) fn tunnel(&self, permit: &Permit) -> Option<Rider> {
        let session = permit.session()?;
        let counts = frames_count_as_use(&permit.route().rule, self.activity);
        Some(Rider { ride: self.live.ride(session), uses: counts.then(|| self.live.uses(session)) })
    }

    fn ride(&self, permit: &Permit) -> Option<Ride> {
        permit.session().map(|session| self.live.ride(session))
    }
}

fn takes_long(body: &impl HttpBody) -> bool {
    !body.is_end_stream() && body.size_hint().exact().is_none_or(|length| length > MOMENTARY)
}
