//! Forms that met an ended session: kept on the way to the login, sent when their user says so.

use std::pin::Pin;
use std::sync::Arc;
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
use crate::session::{Finding, NoSession, Session, UnsentForm, UnsentForms};
use crate::upstream::{ForwardError, RequestBody, Trail};

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
    pub(super) form: Option<Box<OnItsWay>>,
}

/// A form that is being sent. Whatever becomes of that, it waits again unless somebody has begun to.
pub(super) struct OnItsWay {
    /// `None` once it is accounted for.
    form: Option<UnsentForm>,
    trail: Trail,
    forms: Arc<UnsentForms>,
}

impl OnItsWay {
    fn form(&self) -> &UnsentForm {
        self.form.as_ref().expect("it is not accounted for yet")
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        if let Some(form) = self.form.take()
            && !self.trail.has_begun()
        {
            drop(self.forms.put_back(form, None));
        }
    }
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
            form.form().restore(&mut head.headers);
            let body = RequestBody::Traced(form.form().body.clone(), form.trail.clone());
            Ok(Sent { request: Request::from_parts(head, body), form: Some(Box::new(form)) })
        })
    }

    /// Sees to a form that was sent: where it did not arrive, it waits again.
    pub(super) fn account_for<'a>(
        &'a self,
        mut sent: Box<OnItsWay>,
        context: &'a RequestContext,
        answer: Result<Response<Body>, ForwardError>,
    ) -> Apart<'a, Result<Accounted, Rejection>> {
        Box::pin(async move {
            let fate = self.fate(&answer, &sent.trail, context);
            let form = sent.form.take().expect("it is accounted for once");
            let is_back = match &fate {
                Fate::Arrived => false,
                Fate::Returned(target) => sent.forms.put_back(form, target.as_ref()).await.unwrap_or(false),
            };
            match (answer.map_err(Rejection::from), fate) {
                (Ok(response), Fate::Arrived) => {
                    Ok(Accounted { response, forget: Some(sent.forms.forget()) })
                }
                (Ok(response), Fate::Returned(_)) => Ok(Accounted { response, forget: None }),
                (Err(Rejection::Problem(problem)), Fate::Arrived) => {
                    Err(Rejection::Spent(problem, sent.forms.forget()))
                }
                (Err(Rejection::Problem(problem)), Fate::Returned(_))
                    if is_back && is_the_applications(problem) =>
                {
                    Err(Rejection::StillUnsent(format!("{}/unsent?failed=1", self.prefix)))
                }
                (Err(rejection), _) => Err(rejection),
            }
        })
    }

    /// An application that asks for credentials, or to send the same to another place of its own, has not taken the form.
    fn fate(
        &self,
        answer: &Result<Response<Body>, ForwardError>,
        trail: &Trail,
        context: &RequestContext,
    ) -> Fate {
        let Ok(response) = answer else {
            return if trail.has_begun() { Fate::Arrived } else { Fate::Returned(None) };
        };
        match response.status() {
            StatusCode::UNAUTHORIZED => Fate::Returned(None),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                let location = response.headers().get(LOCATION);
                let target = location.and_then(|location| redirected(context, location));
                let target = target.filter(|target| self.takes_forms(context, target));
                target.map_or(Fate::Arrived, |target| Fate::Returned(Some(target)))
            }
            _ => Fate::Arrived,
        }
    }

    /// Whether a form may be sent to `target` that only its user may send: somebody has to ask who that is.
    fn takes_forms(&self, context: &RequestContext, target: &Target) -> bool {
        let elsewhere = RequestContext { target: target.clone(), ..context.clone() };
        self.endpoint(&elsewhere).is_ok_and(|endpoint| endpoint.is_none())
            && self.route(&elsewhere).is_ok_and(|route| route.asks_who())
    }

    async fn collected(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        session: &Session,
        token: &str,
    ) -> Result<OnItsWay, Rejection> {
        if provenance(headers, context.scheme, &context.authority) != Provenance::SameOrigin {
            return Err(Rejection::Problem(Problem::CrossSite));
        }
        let Some(forms) = &self.unsent else { return Err(Rejection::Problem(Problem::FormGone)) };
        let form = forms.collect(context, headers, session, token).await;
        let form = form.map_err(|_| Rejection::Problem(Problem::StoreUnavailable))?;
        let form = form.ok_or(Rejection::Problem(Problem::FormGone))?;
        let trail = Trail::of(&form.body);
        Ok(OnItsWay { form: Some(form), trail, forms: Arc::clone(forms) })
    }
}

/// Whether another try may find the application ready.
fn is_the_applications(problem: Problem) -> bool {
    matches!(
        problem.status(),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
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
