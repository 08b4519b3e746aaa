//! What a request's cookies come to, for whoever asks why.

use std::sync::Arc;

use http::HeaderMap;

use super::Session;
use super::sessions::{Bounds, Sessions};
use crate::base::handle::Handle;
use crate::base::signed::Verified;
use crate::http::RequestContext;
use crate::telemetry::CookieVerdict;

/// What a request's cookies come to.
#[derive(Debug)]
pub struct Judged {
    /// In a word.
    pub verdict: CookieVerdict,
    /// The sessions that their signatures vouch for, alive or not, and under which secret.
    pub vouched: Vec<(Handle, Verified)>,
    /// The session that is alive.
    pub session: Option<Arc<Session>>,
}

impl Sessions {
    /// Judges the request's cookies as [`Sessions::find`] does. That the store cannot be asked is a verdict, too.
    pub async fn judge(&self, request: &RequestContext, headers: &HeaderMap) -> Judged {
        let carried = self.read_cookies(request, headers);
        let vouched = carried.presented.iter().map(|presented| (presented.id.handle(), presented.under));
        let vouched = vouched.collect();
        let Ok(mut looked_up) = self.look_up_uncounted(request, headers, Bounds::Kept).await else {
            return Judged { verdict: CookieVerdict::Unavailable, vouched, session: None };
        };
        let counts = matches!(looked_up.verdict, CookieVerdict::Valid | CookieVerdict::OldKey);
        let session = looked_up.alive.pop().filter(|_| counts).map(|found| found.session);
        Judged { verdict: looked_up.verdict, vouched, session }
    }
}
