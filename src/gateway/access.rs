//! Who may go on: a decision's permit, or the answer that stands in its place.

use std::sync::Arc;

use super::rejection::Rejection;
use super::walk::Gateway;
use crate::config::Unauthenticated;
use crate::http::{Problem, RequestContext, RequestKind};
use crate::policy::{Decision, Permit, ReturnTo, Route, decide, login_location};
use crate::session::{Finding, NoSession, Session};
use crate::telemetry::{Event, Facts};

impl Gateway {
    pub(super) fn permit(
        &self,
        route: &Arc<Route>,
        context: &RequestContext,
        visitor: &Finding,
    ) -> Result<Permit, Rejection> {
        let (session, why_not) = match visitor {
            Finding::Session(found) => (Some(Arc::clone(&found.session)), None),
            Finding::Nobody(why_not) => (None, Some(*why_not)),
        };
        match decide(route, &context.method, context.intent, session.clone()) {
            Decision::Forward(permit) => Ok(permit),
            Decision::Login => Err(self.login(route, context, why_not)),
            Decision::Forbid => Err(self.forbid(context, session.as_deref())),
            Decision::RefuseMethod => Err(Rejection::Method(route.rule.methods.clone())),
        }
    }

    fn login(&self, route: &Route, context: &RequestContext, why_not: Option<NoSession>) -> Rejection {
        let is_safe = context.method.is_safe();
        let return_to = is_safe.then(|| ReturnTo::of(&context.target, &self.prefix)).flatten();
        let location = login_location(&self.prefix, return_to.as_ref());
        match (route.rule.unauthenticated, context.kind) {
            (Unauthenticated::Unauthorized, _) | (Unauthenticated::Auto, RequestKind::Script) => {
                Rejection::Problem(Problem::LoginRequired)
            }
            (Unauthenticated::Auto, RequestKind::FrameNavigation) => Rejection::LoginOutsideFrame(location),
            (Unauthenticated::Auto, RequestKind::Navigation)
                if context.cross_site
                    && self.sessions.cookie().is_strict()
                    && why_not == Some(NoSession::NoCookie) =>
            {
                // The browser kept a strict cookie back; on a navigation of the page's own it will not.
                Rejection::ComeAgain(context.target.path_and_query())
            }
            (Unauthenticated::Auto | Unauthenticated::Redirect, _) => {
                Rejection::Login { location, cookie: None }
            }
        }
    }

    fn forbid(&self, context: &RequestContext, session: Option<&Session>) -> Rejection {
        let about = Facts { reason: Some("route"), ..Facts::of(context) };
        let facts = session.map_or(about, |session| session.facts(about));
        self.audit.record(Event::AccessDenied, &facts);
        Rejection::Problem(Problem::Forbidden)
    }
}
