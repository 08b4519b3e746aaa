//! What the proxy itself answers, under its prefix on every host. Rank 8.

mod assets;
mod attempt;
mod form;
mod login;
mod logout;
mod revoke;
mod rounds;
mod session;
mod unsent;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

pub use rounds::LoginRounds;

use crate::auth::{Attempts, LocalUsers};
use crate::base::clock::Clock;
use crate::http::{Body, PathPrefix, Problem, RequestContext, Target, redirect};
use crate::pages::Pages;
use crate::policy::{ClearSiteData, CookiePolicy};
use crate::session::{FormTokens, KnownBrowsers, Sessions, UnsentForms};
use crate::telemetry::{Audit, Metrics};

/// The proxy's own pages.
#[derive(Debug)]
pub struct Endpoints {
    prefix: PathPrefix,
    parts: Parts,
}

/// What the endpoints are put together from.
#[derive(Debug)]
pub struct Parts {
    /// Where they live.
    pub prefix: String,
    /// Where a login leads that came from nowhere.
    pub default_redirect: String,
    /// Whether a user may ask to stay signed in.
    pub remember_me: bool,
    /// What logging in and out is about.
    pub sessions: Arc<Sessions>,
    /// What proves that a form is ours.
    pub forms: FormTokens,
    /// Who may log in; `None` where no provider is configured.
    pub users: Option<Arc<LocalUsers>>,
    /// How often somebody may try.
    pub attempts: Attempts,
    /// Browsers that somebody has logged in from.
    pub browsers: Arc<KnownBrowsers>,
    /// Forms that met an ended session; `None` where they are not kept.
    pub unsent: Option<Arc<UnsentForms>>,
    /// What people see.
    pub pages: Arc<Pages>,
    /// What notices users who are sent on in vain.
    pub rounds: LoginRounds,
    /// The time that pages tell.
    pub clock: Clock,
    /// What ends the applications' cookies with their user's session.
    pub cookies: Arc<CookiePolicy>,
    /// What a browser is to forget at logout.
    pub clear_site_data: ClearSiteData,
    /// Who hears of security events.
    pub audit: Audit,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The form, and what it sends.
    Login,
    /// The question, and the answer.
    Logout,
    /// The user's own sessions.
    Session,
    /// Ending some of them.
    Revoke,
    /// A form that met an ended session, for its user.
    Unsent,
    /// A stylesheet or an image, by its name.
    Asset(String),
    /// Nothing of ours; and nothing under the prefix goes upstream.
    Unknown,
}

/// Why an endpoint has no answer of its own.
#[derive(Debug)]
pub enum Refusal {
    /// Something is wrong with the request, or with us.
    Problem(Problem),
    /// Only these methods are taken.
    Method(&'static [Method]),
    /// Too often.
    TooManyRequests {
        /// When to come back, in seconds.
        retry_after: u64,
    },
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Endpoints {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self { prefix: PathPrefix::new(&parts.prefix), parts }
    }

    /// The endpoint at `target`; `None` where it is none of ours.
    pub fn find(&self, target: &Target) -> Option<Endpoint> {
        if !target.matches_prefix(&self.prefix) {
            return None;
        }
        let path = target.without_prefix(&self.prefix).to_ascii_lowercase();
        Some(match path.as_str() {
            "/login" => Endpoint::Login,
            "/logout" => Endpoint::Logout,
            "/session" => Endpoint::Session,
            "/session/revoke" => Endpoint::Revoke,
            "/unsent" => Endpoint::Unsent,
            _ => match path.strip_prefix("/assets/") {
                Some(name) => Endpoint::Asset(name.to_owned()),
                None => Endpoint::Unknown,
            },
        })
    }

    /// Its answer.
    ///
    /// # Errors
    /// Where the gateway's own answer to the trouble says all there is to say.
    pub async fn answer(
        &self,
        endpoint: Endpoint,
        context: &RequestContext,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let parts = &self.parts;
        match (endpoint, context.method.as_str()) {
            (Endpoint::Login, "GET" | "HEAD") => parts.login_page(context, request.headers()).await,
            (Endpoint::Login, "POST") => parts.log_in(context, request).await,
            (Endpoint::Logout, "GET" | "HEAD") => parts.logout_page(context, request.headers()).await,
            (Endpoint::Logout, "POST") => parts.log_out(context, request).await,
            (Endpoint::Session, "GET" | "HEAD") => parts.session(context, request.headers()).await,
            (Endpoint::Revoke, "POST") => parts.revoke(context, request).await,
            (Endpoint::Unsent, "GET" | "HEAD") => parts.unsent_page(context, request.headers()).await,
            (Endpoint::Unsent, "POST") => parts.discard_unsent(context, request).await,
            (Endpoint::Asset(name), "GET" | "HEAD") => parts.asset(&name),
            (Endpoint::Login | Endpoint::Logout | Endpoint::Unsent, _) => Err(Refusal::Method(&FORM_METHODS)),
            (Endpoint::Session | Endpoint::Asset(_), _) => Err(Refusal::Method(&FORM_METHODS[..2])),
            (Endpoint::Revoke, _) => Err(Refusal::Method(&FORM_METHODS[2..])),
            (Endpoint::Unknown, _) => Err(Problem::NoRoute.into()),
        }
    }
}

/// Answers a POST: the browser goes on by GET.
fn see_other(location: &str) -> Response<Body> {
    redirect(StatusCode::SEE_OTHER, location)
}

static FORM_METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];
