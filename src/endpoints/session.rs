//! The user's own sessions: a page for people, JSON for scripts. Looking at them is no use of any.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::{Parts, Refusal};
use crate::base::clock::Timestamp;
use crate::http::{Body, Problem, RequestContext, RequestKind, accepts};
use crate::pages::{OwnSession, SessionPage};
use crate::session::{Finding, Remember, Session};
use crate::store::Unavailable;

/// What a script is told.
#[derive(Serialize)]
struct Told<'a> {
    user: &'a str,
    name: Option<&'a str>,
    email: Option<&'a str>,
    groups: &'a [String],
    provider: &'a str,
    handle: String,
    logged_in_at: String,
    last_seen_at: String,
    idle_expires_at: String,
    expires_at: String,
    remember: bool,
    csrf_token: String,
    sessions: Vec<ToldSession<'a>>,
    more: bool,
}

/// An account that many people or programs share has more sessions than anybody reads.
const MOST_SHOWN: usize = 100;

#[derive(Serialize)]
struct ToldSession<'a> {
    handle: &'a str,
    current: bool,
    logged_in_at: String,
    last_seen_at: String,
    address: &'a str,
    device: &'a str,
    user_agent: Option<&'a str>,
}

/// One of the user's sessions, with what is put into words.
struct Own {
    session: Arc<Session>,
    handle: String,
    device: String,
}

/// Those of the user's sessions that are shown.
struct Shown {
    own: Vec<Own>,
    /// Whether there are others.
    more: bool,
}

impl Parts {
    /// Who somebody is here, and for how long.
    pub(super) async fn session(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        let found = self.sessions.find(context, headers).await.map_err(|_| Problem::StoreUnavailable)?;
        let Finding::Session(found) = found else { return Err(Problem::LoginRequired.into()) };
        let session = &found.session;
        let Shown { own, more } = self.shown(session).await.map_err(|_| Problem::StoreUnavailable)?;
        let own: Vec<OwnSession<'_>> = own.iter().map(|own| own.seen_from(session)).collect();
        let csrf_token = self.forms.session_token(context, &session.handle);
        if context.kind == RequestKind::Script || accepts(headers, "application/json") {
            return Ok(json(&Told { more, ..told(session, csrf_token, &own) }));
        }
        let page = SessionPage { more, ..page(session, self.clock.now(), &csrf_token, own) };
        Ok(self.pages.session(&page).into_response(StatusCode::OK))
    }

    /// The sessions of the account of `session`, itself among them, the latest use first.
    async fn shown(&self, session: &Arc<Session>) -> Result<Shown, Unavailable> {
        let mut all = self.sessions.directory().list(Some(&session.identity.account), MOST_SHOWN + 1).await?;
        let more = all.len() > MOST_SHOWN;
        all.truncate(MOST_SHOWN);
        if all.iter().all(|other| other.handle != session.handle) {
            all.insert(0, Arc::clone(session));
        }
        Ok(Shown { own: all.into_iter().map(Own::of).collect(), more })
    }
}

impl Own {
    fn of(session: Arc<Session>) -> Self {
        Self { handle: session.handle.to_string(), device: session.device(), session }
    }

    fn seen_from(&self, current: &Session) -> OwnSession<'_> {
        let Self { session, handle, device } = self;
        OwnSession {
            handle,
            current: session.handle == current.handle,
            logged_in_at: session.logged_in_at,
            last_seen_at: session.last_seen_at,
            address: &session.address,
            device,
            user_agent: session.user_agent.as_deref(),
        }
    }
}

fn page<'a>(
    session: &'a Session,
    now: Timestamp,
    csrf_token: &'a str,
    sessions: Vec<OwnSession<'a>>,
) -> SessionPage<'a> {
    let identity = &session.identity;
    SessionPage {
        now,
        user: &identity.user,
        name: identity.name.as_deref(),
        email: identity.email.as_deref(),
        groups: identity.groups.iter().map(String::as_str).collect(),
        logged_in_at: session.logged_in_at,
        last_seen_at: session.last_seen_at,
        idle_expires_at: session.idle_ends_at(),
        expires_at: session.ends_at,
        csrf_token,
        sessions,
        more: false,
    }
}

fn told<'a>(session: &'a Session, csrf_token: String, own: &[OwnSession<'a>]) -> Told<'a> {
    let identity = &session.identity;
    Told {
        user: &identity.user,
        name: identity.name.as_deref(),
        email: identity.email.as_deref(),
        groups: &identity.groups,
        provider: &identity.account.provider,
        handle: session.handle.to_string(),
        logged_in_at: session.logged_in_at.rfc3339(),
        last_seen_at: session.last_seen_at.rfc3339(),
        idle_expires_at: session.idle_ends_at().rfc3339(),
        expires_at: session.ends_at.rfc3339(),
        remember: session.remember == Remember::Yes,
        csrf_token,
        sessions: own.iter().map(ToldSession::of).collect(),
        more: false,
    }
}

impl<'a> ToldSession<'a> {
    fn of(own: &OwnSession<'a>) -> Self {
        Self {
            handle: own.handle,
            current: own.current,
            logged_in_at: own.logged_in_at.rfc3339(),
            last_seen_at: own.last_seen_at.rfc3339(),
            address: own.address,
            device: own.device,
            user_agent: own.user_agent,
        }
    }
}

fn json(told: &Told<'_>) -> Response<Body> {
    let text = serde_json::to_string(told).expect("strings and booleans are always JSON");
    let mut response = Response::new(Body::whole(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
