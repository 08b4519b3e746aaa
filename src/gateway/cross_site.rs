//! What other sites' pages have browsers send: refused, or told of.

use super::rejection::Rejection;
use super::walk::Gateway;
use crate::config::PolicyMode;
use crate::http::{Intent, RequestContext};
use crate::policy::{Route, Suspicion, Verdict};
use crate::telemetry::{Event, Facts, Finding, Outcome, Policy};

impl Gateway {
    /// Refuses what another site's page may have sent, as far as the route wants that.
    ///
    /// This comes before anybody asks who is signed in, and whether they may: another site must not learn from the
    /// answer, or from how long it takes, whether its visitor is, nor keep the visitor's session alive.
    pub(super) fn check_sender(
        &self,
        route: &Route,
        context: &RequestContext,
        headers: &http::HeaderMap,
    ) -> Result<(), Rejection> {
        let outcome = match route.rule.csrf {
            PolicyMode::Enforce => Outcome::Enforced,
            PolicyMode::Report => Outcome::Reported,
            PolicyMode::Off => return Ok(()),
        };
        let Verdict::Refuse(suspicion) = self.cross_site.judge(context, headers) else { return Ok(()) };
        let sender = suspicion.sender.to_string();
        let change = match context.intent {
            Intent::WebSocket => "a WebSocket is refused",
            Intent::Read | Intent::Preflight | Intent::Change => "an unsafe request is refused",
        };
        let finding = Finding {
            policy: Policy::CrossSite,
            application: &route.upstream,
            subject: &sender,
            change,
            outcome,
        };
        if self.findings.note(&finding) {
            let (upstream, method) = (&*route.upstream, context.method.as_str());
            tracing::warn!(
                upstream,
                method,
                from = sender,
                ?outcome,
                "another site's page sent this: {change}"
            );
        }
        if outcome == Outcome::Reported {
            return Ok(());
        }
        self.tell_of_refusal(context, &suspicion, &sender);
        Err(Rejection::CrossSite(suspicion.sender))
    }

    fn tell_of_refusal(&self, context: &RequestContext, suspicion: &Suspicion, sender: &str) {
        let facts = Facts {
            request_id: Some(context.id),
            address: Some(context.client),
            reason: Some(suspicion.evidence.as_str()),
            origin: Some(sender),
            ..Facts::default()
        };
        self.audit.record(Event::CrossSiteRefused, &facts);
    }
}
