//! Forms that met an ended session: kept on the way to the login, sent when their user says so.

use std::pin::Pin;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use super::rejection::Rejection;
use super::walk::Gateway;
use crate::http::{
    Body, Problem, Provenance, RequestContext, RequestKind, Target, provenance, read_whole, redirected,
};
use crate::pages::UNSENT_FIELD;
use crate::policy::Permit;
use crate::session::{Finding, NoSession, Session, UnsentForm};
use crate::upstream::{ForwardError, RequestBody};

/// The longest that one may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The length of the token that stands for a form: 32 bytes in base64url.
const TOKEN: usize = 43;

/// Work that is done for few requests, apart from what all of them need: it must not make every request's future larger.
type Apart<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What goes upstream for a request that may have stood for a form.
pub(super) struct Sent {
    pub(super) request: Request<RequestBody>,
    /// The form that it stood for.
    pub(super) form: Option<Box<UnsentForm>>,
}

/// The answer to a form.
pub(super) struct Accounted {
    pub(super) response: Response<Body>,
    /// Has the browser forget the form, where it arrived.
    pub(super) forget: Option<HeaderValue>,
}

/// What became of a form that was sent.
enum Fate {
    /// The application has it, or may have.
    Arrived,
    /// It does not: the form waits again, for this place where it is another than before.
    Returned(Option<Target>),
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
        if body.size_hint().lower() > forms.most_bytes() {
            return None;
        }
        let place = forms.place_for(context, handle).await?;
        // What is too large or comes too slowly is lost, as it would be without us; its sender has to log in anyhow.
        let body = read_whole(body, forms.most_bytes(), PATIENCE).await.ok()?;
        // What stands for a form that is kept already is worth nothing after another login, which offers it anew.
        if token_in(&body).is_some() {
            return None;
        }
        forms.keep(place, context, &head.headers, body).await
    }

    /// The request, with the form that it stands for in its place, where it does stand for one.
    pub(super) fn form_in_place_of<'a>(
        &'a self,
        request: Request<Incoming>,
        context: &'a RequestContext,
        permit: &'a Permit,
    ) -> Apart<'a, Result<Sent, Rejection>> {
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let sent = read_whole(body, LENGTH as u64, PATIENCE).await.map_err(Rejection::Problem)?;
            let Some(token) = token_in(&sent) else {
                return Ok(Sent { request: Request::from_parts(head, RequestBody::Whole(sent)), form: None });
            };
            let gone = Rejection::Problem(Problem::FormGone);
            let session = permit.session().ok_or(gone)?;
            let form = self.collected(context, &head.headers, session, token).await?;
            form.restore(&mut head.headers);
            let body = RequestBody::Whole(form.body.clone());
            Ok(Sent { request: Request::from_parts(head, body), form: Some(Box::new(form)) })
        })
    }

    /// Sees to a form that was sent: where it did not arrive, it waits again.
    pub(super) fn account_for<'a>(
        &'a self,
        form: Box<UnsentForm>,
        context: &'a RequestContext,
        answer: Result<Response<Body>, ForwardError>,
    ) -> Apart<'a, Result<Accounted, Rejection>> {
        Box::pin(async move {
            let forms = self.unsent.as_deref().expect("a form comes from where forms are kept");
            let Fate::Returned(target) = fate(&answer, context) else {
                return Ok(Accounted { response: answer?, forget: Some(forms.forget()) });
            };
            let is_back = forms.put_back(context, *form, target.as_ref()).await.is_ok();
            match answer {
                Ok(response) => Ok(Accounted { response, forget: None }),
                Err(_) if is_back && context.kind == RequestKind::Navigation => {
                    Err(Rejection::StillUnsent(format!("{}/unsent?failed=1", self.prefix)))
                }
                Err(error) => Err(error.into()),
            }
        })
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

/// An application that asks for credentials, or to send the same to another place, has not taken the form.
fn fate(answer: &Result<Response<Body>, ForwardError>, context: &RequestContext) -> Fate {
    let response = match answer {
        Ok(response) => response,
        Err(error) if error.came_before_sending() => return Fate::Returned(None),
        Err(_) => return Fate::Arrived,
    };
    match response.status() {
        StatusCode::UNAUTHORIZED => Fate::Returned(None),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
            let location = response.headers().get(LOCATION);
            Fate::Returned(location.and_then(|location| redirected(context, location)))
        }
        _ => Fate::Arrived,
    }
}

/// The length of what the page's button sends: the field, an equals sign and the token.
const LENGTH: usize = UNSENT_FIELD.len() + 1 + TOKEN;

/// Whether it is worth reading the body: it has the type and the very length of what stands for a form.
pub(super) fn may_stand_for_a_form(context: &RequestContext, headers: &HeaderMap) -> bool {
    let line = |name| headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = line(CONTENT_TYPE).split(|byte| *byte == b';').next().unwrap_or_default();
    context.method == Method::POST
        && line(CONTENT_LENGTH) == LENGTH.to_string().as_bytes()
        && essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// The token in what the page's button sends.
fn token_in(body: &[u8]) -> Option<&str> {
    let (name, value) = str::from_utf8(body).ok()?.split_once('=')?;
    (name == UNSENT_FIELD && value.len() == TOKEN).then_some(value)
}
