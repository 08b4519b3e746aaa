//! What rides on the session that it was permitted to: what may take longer than a moment, and nothing else.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::progress::Progress;
use crate::config::Activity;
use crate::policy::{Permit, frames_count_as_use};
use crate::session::{Live, Ride, Uses};

/// A body of a known length up to this is over in a moment.
const MOMENTARY: u64 = 64 * 1024;

/// An answer that has begun by then was no long wait. With half a second between two looks at a session that leaves
/// enough of the second within which what rides is to end.
const MOMENT: Duration = Duration::from_millis(250);

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
    /// What `answer` comes to; `None` where the session is over first. With a long `body` the request rides until the
    /// answer begins, with any other from the time when that is late.
    pub(super) async fn until_answered<T>(
        &self,
        permit: &Permit,
        body: Length,
        mut answer: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let Some(session) = permit.session() else { return Some(answer.await) };
        if body == Length::Momentary
            && let Ok(answer) = timeout(MOMENT, answer.as_mut()).await
        {
            return Some(answer);
        }
        self.live.ride(session).while_it_lasts(answer).await
    }

    /// The ride of an answer, with what is left of its request.
    pub(super) fn answer(&self, permit: &Permit, body: &Incoming, request: &Progress) -> Option<Ride> {
        let rides = Length::of(body) == Length::Long || (request.is_uploading() && !body.is_end_stream());
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

/// How long a body is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Momentary,
    Long,
}

impl Length {
    pub(super) fn of(body: &impl HttpBody) -> Self {
        let is_short =
            body.is_end_stream() || body.size_hint().exact().is_some_and(|bytes| bytes <= MOMENTARY);
        if is_short { Self::Momentary } else { Self::Long }
    }
}
