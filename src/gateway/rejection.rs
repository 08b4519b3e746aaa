//! Why a request does not go upstream, and the answer that it gets instead.

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::base::request_id::RequestId;
use crate::endpoints::Refusal;
use crate::http::{
    BadForwarding, BadMaxForwards, Body, HeadTooLarge, Malformed, Problem, RequestKind, Sender, redirect,
};
use crate::pages::{Framing, Pages};
use crate::upstream::{BodyFault, ForwardError};

/// How soon a client may try again what we could not do. Stores and upstreams come back within moments, or
/// after a time that nobody knows.
const RETRY_AFTER_SECONDS: &str = "2";

/// What decides whether another site's page sent a request, and how it is told.
const PROVENANCE: HeaderValue =
    HeaderValue::from_static("Origin, Referer, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest");

/// Why a request does not go upstream.
#[derive(Debug)]
pub(super) enum Rejection {
    /// Something is wrong with it, or with us.
    Problem(Problem),
    /// The proxy and an upstream might not read it alike; nor may they read what follows it on its connection.
    Unsound,
    /// Only these methods are taken.
    Method(Vec<Method>),
    /// Another site's page may have had the browser send it.
    CrossSite(Sender),
    /// Too often; once more in so many seconds.
    TooManyRequests(u64),
    /// Its sender has to log in.
    Login {
        /// At this address.
        location: String,
        /// By which the browser comes for the form that it sent; `None` where none was kept.
        cookie: Option<HeaderValue>,
    },
    /// Something went wrong when the form that it stood for may have arrived: the browser is to forget that.
    Spent(Problem, HeaderValue),
    /// The form that it stood for did not arrive, and waits again: it is offered at this address.
    StillUnsent(String),
    /// Its sender has to log in, but the login page does not open in a frame.
    LoginOutsideFrame(String),
    /// The browser kept its cookies back because another site sent it here; the page navigates once more.
    ComeAgain(String),
}

impl From<ForwardError> for Rejection {
    fn from(error: ForwardError) -> Self {
        Self::Problem(match error {
            ForwardError::Timeout => Problem::UpstreamTimeout,
            ForwardError::Body(BodyFault::TooLarge) => Problem::TooLarge,
            ForwardError::Body(BodyFault::TooSlow) => Problem::RequestTimeout,
            ForwardError::Body(BodyFault::BrokenOff) => Problem::BadRequest,
            ForwardError::Full => Problem::UpstreamBusy,
            ForwardError::Down => Problem::UpstreamDown,
            ForwardError::Identity(_) => Problem::InternalError,
            ForwardError::SessionOver => Problem::LoginRequired,
            ForwardError::Connect(_)
            | ForwardError::Tls(_)
            | ForwardError::ConnectTimeout
            | ForwardError::Broken(_)
            | ForwardError::UnaskedSwitch
            | ForwardError::TwoLengths
            | ForwardError::HeaderName => Problem::UpstreamUnreachable,
        })
    }
}

impl From<HeadTooLarge> for Rejection {
    fn from(fault: HeadTooLarge) -> Self {
        Self::Problem(match fault {
            HeadTooLarge::Uri => Problem::UriTooLong,
            HeadTooLarge::Headers => Problem::HeadersTooLarge,
        })
    }
}

impl From<Malformed> for Rejection {
    fn from(fault: Malformed) -> Self {
        match fault {
            Malformed::RefusedMethod => Self::Problem(Problem::MethodNotAllowed),
            Malformed::Expectation => Self::Problem(Problem::ExpectationFailed),
            _ => Self::Unsound,
        }
    }
}

impl From<BadMaxForwards> for Rejection {
    fn from(BadMaxForwards: BadMaxForwards) -> Self {
        Self::Problem(Problem::BadRequest)
    }
}

impl From<BadForwarding> for Rejection {
    fn from(_: BadForwarding) -> Self {
        Self::Problem(Problem::BadRequest)
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Problem(problem) => Self::Problem(problem),
            Refusal::Method(methods) => Self::Method(methods.to_vec()),
            Refusal::TooManyRequests { retry_after } => Self::TooManyRequests(retry_after),
        }
    }
}

/// The answer to a rejected request: a page for a person, a problem (RFC 9457) for a script.
pub(super) fn answer_to(
    rejection: &Rejection,
    id: RequestId,
    kind: RequestKind,
    pages: &Pages,
) -> Response<Body> {
    match rejection {
        Rejection::Problem(problem) => problem_answer(*problem, id, kind, pages),
        Rejection::Unsound => {
            let mut response = problem_answer(Problem::BadRequest, id, kind, pages);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        Rejection::Method(methods) => {
            let mut response = problem_answer(Problem::MethodNotAllowed, id, kind, pages);
            response.headers_mut().insert(ALLOW, allow(methods));
            response
        }
        Rejection::CrossSite(sender) => cross_site(sender, id, kind, pages),
        Rejection::TooManyRequests(seconds) => {
            let mut response = problem_answer(Problem::TooManyRequests, id, kind, pages);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(*seconds));
            response
        }
        Rejection::Login { location, cookie } => {
            let mut response = redirect(StatusCode::SEE_OTHER, location);
            if let Some(cookie) = cookie {
                response.headers_mut().append(SET_COOKIE, cookie.clone());
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            response
        }
        Rejection::Spent(problem, forget) => {
            let mut response = problem_answer(*problem, id, kind, pages);
            response.headers_mut().append(SET_COOKIE, forget.clone());
            response
        }
        Rejection::StillUnsent(location) => redirect(StatusCode::SEE_OTHER, location),
        Rejection::LoginOutsideFrame(location) => {
            pages.login_outside_frame(location).into_response(StatusCode::UNAUTHORIZED)
        }
        Rejection::ComeAgain(address) => pages.come_again(address).into_response(StatusCode::OK),
    }
}

/// What another site's page sent to an application.
fn cross_site(sender: &Sender, id: RequestId, kind: RequestKind, pages: &Pages) -> Response<Body> {
    let Some(framing) = framing_of(kind) else { return problem_answer(Problem::CrossSite, id, kind, pages) };
    let mut response = pages.cross_site(sender, id, framing).into_response(Problem::CrossSite.status());
    response.headers_mut().insert(VARY, PROVENANCE);
    response
}

/// How the page of an answer may be shown; `None` where it is no page.
fn framing_of(kind: RequestKind) -> Option<Framing> {
    match kind {
        RequestKind::Script => None,
        RequestKind::Navigation => Some(Framing::Refused),
        RequestKind::FrameNavigation => Some(Framing::Allowed),
    }
}

fn problem_answer(problem: Problem, id: RequestId, kind: RequestKind, pages: &Pages) -> Response<Body> {
    let mut response = match framing_of(kind) {
        None => problem_json(problem, id),
        Some(framing) => pages.problem(problem, id, framing).into_response(problem.status()),
    };
    let headers = response.headers_mut();
    match problem.status() {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Foregate"));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, allow(&[]));
        }
        _ => {}
    }
    if problem == Problem::CrossSite {
        headers.insert(VARY, PROVENANCE);
    }
    response
}

/// What is allowed where these methods are; where none are named, the usual ones.
pub(super) fn allow(methods: &[Method]) -> HeaderValue {
    if methods.is_empty() {
        return HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).expect("methods are tokens")
}

fn problem_json(problem: Problem, id: RequestId) -> Response<Body> {
    let mut response = Response::new(Body::whole(problem.json(id)));
    *response.status_mut() = problem.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
