//! Forms that met an ended session: kept on the way to the login, sent when their user says so.

use std::pin::Pin;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use hyper::body::Incoming;

use super::rejection::Rejection;
use super::walk::Gateway;
use crate::http::{Problem, Provenance, RequestContext, RequestKind, provenance, read_whole};
use crate::pages::UNSENT_FIELD;
use crate::policy::Permit;
use crate::session::{Finding, NoSession, Session, UnsentForm};
use crate::upstream::RequestBody;

/// The longest that one may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The length of the token that stands for a form: 32 bytes in base64url.
const TOKEN: usize = 43;

/// Work that is done for few requests, apart from what all of them need: it must not make every request's future larger.
type Apart<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What goes upstream for a request that may have stood for a form.
pub(super) struct Sent {
    pub(super) request: Request<RequestBody>,
    /// Has the browser forget the form that was sent.
    pub(super) forget: Option<HeaderValue>,
}

impl Gateway {
    /// The rejection of a request, after its form was put aside where its sender has to log in again to send it.
    pub(super) fn put_aside<'a>(
        &'a self,
        rejection: Rejection,
        context: &'a RequestContext,
        visitor: Finding,
        request: Request<Incoming>,
    ) -> Apart<'a, Rejection> {
        Box::pin(async move {
            let Rejection::Login { location, .. } = rejection else { return rejection };
            let cookie = self.kept(context, &visitor, request).await;
            Rejection::Login { location, cookie }
        })
    }

    async fn kept(
        &self,
        context: &RequestContext,
        visitor: &Finding,
        request: Request<Incoming>,
    ) -> Option<HeaderValue> {
        let forms = self.unsent.as_deref()?;
        let Finding::Nobody(NoSession::Ended(handle)) = visitor else { return None };
        let (head, body) = request.into_parts();
        let is_own_page = context.kind == RequestKind::Navigation
            && provenance(&head.headers, context.scheme, &context.authority) == Provenance::SameOrigin;
        if context.method != Method::POST || !is_own_page || !forms.may_keep(&head.headers) {
            return None;
        }
        // What is too large or comes too slowly is lost, as it would be without us; its sender has to log in anyhow.
        let body = read_whole(body, forms.most_bytes(), PATIENCE).await.ok()?;
        // What stands for a form that is kept already is worth nothing after another login, which offers it anew.
        if token_in(&body).is_some() {
            return None;
        }
        forms.keep(context, &head.headers, &body, handle).await
    }

    /// The request, with the form that it stands for in its place, where it does stand for one.
    pub(super) fn form_in_place_of<'a>(
        &'a self,
        request: Request<Incoming>,
        context: &'a RequestContext,
        permit: &'a Permit,
    ) -> Apart<'a, Result<Sent, Rejection>> {
        Box::pin(async move {
            match permit.session() {
                Some(session) => self.form_that_it_stands_for(context, session, request).await,
                None => Ok(Sent { request: request.map(RequestBody::Incoming), forget: None }),
            }
        })
    }

    async fn form_that_it_stands_for(
        &self,
        context: &RequestContext,
        session: &Session,
        request: Request<Incoming>,
    ) -> Result<Sent, Rejection> {
        let (mut head, body) = request.into_parts();
        let sent = read_whole(body, LENGTH as u64, PATIENCE).await.map_err(Rejection::Problem)?;
        let Some(token) = token_in(&sent) else {
            return Ok(Sent { request: Request::from_parts(head, RequestBody::Whole(sent)), forget: None });
        };
        let form = self.collected(context, &head.headers, session, token).await?;
        form.restore(&mut head.headers);
        // Whoever brings the parcel back to the store brings nobody the key.
        let forget = self.unsent.as_ref().map(|forms| forms.forget());
        Ok(Sent { request: Request::from_parts(head, RequestBody::Whole(form.body)), forget })
    }

    async fn collected(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        session: &Session,
        token: &str,
    ) -> Result<UnsentForm, Rejection> {
        if provenance(headers, context.scheme, &context.authority) == Provenance::Foreign {
            return Err(Rejection::Problem(Problem::CrossSite));
        }
        let Some(forms) = &self.unsent else { return Err(Rejection::Problem(Problem::FormGone)) };
        let form = forms.collect(context, headers, session, token).await;
        let form = form.map_err(|_| Rejection::Problem(Problem::StoreUnavailable))?;
        form.ok_or(Rejection::Problem(Problem::FormGone))
    }
}

/// The length of what the page's button sends: the field, an equals sign and the token.
const LENGTH: usize = UNSENT_FIELD.len() + 1 + TOKEN;

/// Whether it is worth reading the body: it has the type and the very length of what stands for a form.
pub(super) fn may_stand_for_a_form(context: &RequestContext, headers: &HeaderMap) -> bool {
    let is = |name, value: &str| headers.get(name).is_some_and(|line| line == value);
    context.method == Method::POST
        && is(CONTENT_LENGTH, &LENGTH.to_string())
        && is(CONTENT_TYPE, "application/x-www-form-urlencoded")
}

/// The token in what the page's button sends.
fn token_in(body: &[u8]) -> Option<&str> {
    let (name, value) = str::from_utf8(body).ok()?.split_once('=')?;
    (name == UNSENT_FIELD && value.len() == TOKEN).then_some(value)
}
