//! A form that met an ended session: offered to its user, who sends it after all or throws it away.

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use url::form_urlencoded;

use super::form::Sent;
use super::login::add_cookies;
use super::{Parts, Refusal, see_other};
use crate::http::{Body, Problem, RequestContext, RequestKind};
use crate::pages::UnsentPage;
use crate::policy::{ReturnTo, login_location};
use crate::session::{Finding, Found, Waiting};

impl Parts {
    /// Where somebody who has just signed in goes on to: first to the form that waits for them, if one may.
    pub(super) fn after_login(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        wish: &str,
    ) -> Response<Body> {
        let destination = self.destination(wish);
        let waits = self.unsent.as_ref().is_some_and(|forms| forms.may_wait(context, headers));
        if !waits {
            return see_other(&destination);
        }
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &destination).finish();
        see_other(&format!("{}/unsent?{query}", self.prefix))
    }

    /// The offer; where there is nothing to offer, the visitor goes on.
    pub(super) async fn unsent_page(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        if context.kind != RequestKind::Navigation {
            // What sends the form is for its user's hand, not for a script that found its way into the page.
            return Err(Problem::NoRoute.into());
        }
        let (return_to, failed) = (wished(context, "return_to"), wished(context, "failed") == "1");
        let Some(found) = self.signed_in(context, headers).await? else {
            let return_to = ReturnTo::parse(&return_to, &self.prefix);
            return Ok(see_other(&login_location(&self.prefix, return_to.as_ref())));
        };
        let Some(forms) = &self.unsent else { return Ok(see_other(&self.destination(&return_to))) };
        let waiting = forms.offer(context, headers, &found.session).await;
        let offer = match waiting.map_err(|_| Problem::StoreUnavailable)? {
            Waiting::Form(offer) => offer,
            Waiting::AnothersForm => return Ok(see_other(&self.destination(&return_to))),
            Waiting::Nothing => {
                let mut response = see_other(&self.destination(&return_to));
                add_cookies(&mut response, [forms.forget()]);
                return Ok(response);
            }
        };
        let page = UnsentPage {
            target: &offer.target,
            bytes: offer.bytes,
            left: offer.left,
            token: offer.token.expose(),
            csrf_token: &self.forms.session_token(context, &found.session.handle),
            return_to: &return_to,
            failed,
        };
        Ok(self.pages.unsent(&page).into_response(StatusCode::OK))
    }

    /// The user does not want to send it.
    pub(super) async fn discard_unsent(
        &self,
        context: &RequestContext,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let Sent { headers, form } = self.sent(context, request).await?;
        let Some(found) = self.signed_in(context, &headers).await? else {
            return Ok(see_other(&format!("{}/login", self.prefix)));
        };
        if !self.forms.is_session_token(context, &found.session.handle, form.field("csrf_token")) {
            return Err(self.refuse_foreign(context, "token"));
        }
        let mut response = see_other(&self.destination(form.field("return_to")));
        if let Some(forms) = &self.unsent {
            forms.discard(context, &headers).await.map_err(|_| Problem::StoreUnavailable)?;
            add_cookies(&mut response, [forms.forget()]);
        }
        Ok(response)
    }

    async fn signed_in(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
    ) -> Result<Option<Found>, Refusal> {
        match self.sessions.find(context, headers).await.map_err(|_| Problem::StoreUnavailable)? {
            Finding::Session(found) => Ok(Some(found)),
            Finding::Nobody(_) => Ok(None),
        }
    }
}

/// What the address asks for by this name; empty where it asks for nothing.
fn wished(context: &RequestContext, name: &str) -> String {
    let query = context.target.query().unwrap_or_default().as_bytes();
    let wish = form_urlencoded::parse(query).find(|(other, _)| other == name);
    wish.map(|(_, value)| value.into_owned()).unwrap_or_default()
}
