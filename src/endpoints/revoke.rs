//! Ending one's own sessions: another one, all others, or this one.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::form::{Form, Sent};
use super::{Parts, Refusal, see_other};
use crate::base::handle::Handle;
use crate::http::{Body, Problem, RequestContext, RequestKind};
use crate::session::{Finding, Session};
use crate::store::Unavailable;
use crate::telemetry::Facts;

/// Which sessions a form wants ended.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    One(Handle),
    Others,
}

impl Wanted {
    fn of(form: &Form) -> Result<Self, Problem> {
        match (form.field("handle"), form.field("scope")) {
            ("", "others") => Ok(Self::Others),
            (handle, "") => handle.parse().map(Self::One).map_err(|_| Problem::BadRequest),
            _ => Err(Problem::BadRequest),
        }
    }
}

impl Parts {
    /// Ends sessions of the account whose session asks for it, and no others: that there is one of another account
    /// is not told.
    pub(super) async fn revoke(
        &self,
        context: &RequestContext,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let Sent { headers, form } = self.sent(context, request).await?;
        let found =
            self.sessions.find(context, &headers).await.map_err(|_| Problem::RevocationUnavailable)?;
        let Finding::Session(found) = found else { return self.log_in_first(context) };
        let own = &found.session;
        if !self.forms.is_session_token(context, &own.handle, form.field("csrf_token")) {
            return Err(self.refuse_foreign(context, "token"));
        }
        let wanted = Wanted::of(&form)?;
        let is_own = wanted == Wanted::One(own.handle);
        self.end_wanted(context, own, wanted).await.map_err(|_| Problem::RevocationUnavailable)?;
        if !is_own {
            return Ok(see_other(&format!("{}/session", self.prefix)));
        }
        Ok(self.signed_out(&headers))
    }

    fn log_in_first(&self, context: &RequestContext) -> Result<Response<Body>, Refusal> {
        match context.kind {
            RequestKind::Script => Err(Problem::LoginRequired.into()),
            RequestKind::Navigation | RequestKind::FrameNavigation => {
                Ok(see_other(&format!("{}/login", self.prefix)))
            }
        }
    }

    async fn end_wanted(
        &self,
        context: &RequestContext,
        own: &Session,
        wanted: Wanted,
    ) -> Result<(), Unavailable> {
        let directory = self.sessions.directory();
        let account = &own.identity.account;
        let sessions: Vec<Arc<Session>> = match wanted {
            Wanted::One(handle) => {
                let found = directory.find(&handle).await?;
                found.into_iter().filter(|session| session.identity.account == *account).collect()
            }
            Wanted::Others => {
                let all = directory.of_account(account).await?;
                all.into_iter().filter(|session| session.handle != own.handle).collect()
            }
        };
        for session in sessions {
            directory.end(&session, "user", Facts::of(context)).await?;
        }
        Ok(())
    }
}
