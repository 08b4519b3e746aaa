//! `/api/v1/`: sessions and findings for scripts, described in openapi.json.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

use super::AdminParts;
use super::order::{Order, Refusal};
use crate::base::identity::Account;
use crate::base::request_id::RequestId;
use crate::http::{Body, Problem};
use crate::session::Report;
use crate::store::Unavailable;
use crate::telemetry::{Facts, TracedClient, Traces, pretty};

/// Where it lives.
pub(super) const PREFIX: &str = "/api/v1";

/// Why sessions end here.
const REASON: &str = "admin";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Serialize)]
struct Counted {
    count: usize,
}

#[derive(Serialize)]
struct Revoked {
    revoked: usize,
}

/// Who is traced, and what there are traces of.
#[derive(Serialize)]
struct TracesTold {
    clients: Vec<TracedTold>,
    requests: Vec<String>,
}

#[derive(Serialize)]
struct TracedTold {
    client: String,
    until: String,
}

impl TracesTold {
    fn of(traces: &Traces) -> Self {
        Self {
            clients: traces.clients().iter().map(TracedTold::of).collect(),
            requests: traces.requests().iter().map(ToString::to_string).collect(),
        }
    }
}

impl TracedTold {
    fn of(traced: &TracedClient) -> Self {
        Self { client: traced.client.to_string(), until: traced.until.rfc3339() }
    }
}

impl From<Unavailable> for Refusal {
    fn from(_: Unavailable) -> Self {
        Self::Problem(Problem::StoreUnavailable)
    }
}

impl AdminParts {
    /// The answer of what lies at `path`, below the prefix.
    pub(super) async fn api(&self, parts: &Parts, path: &str) -> Response<Body> {
        let id = RequestId::new(self.random);
        let performed = match Order::read(parts, path) {
            Ok(order) => self.perform(order, id).await,
            Err(refusal) => Err(refusal),
        };
        let mut response = performed.map_or_else(|refusal| refused(&refusal, id), answer);
        let id = HeaderValue::from_str(&id.to_string()).expect("digits stand in a header");
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }

    async fn perform(&self, order: Order, id: RequestId) -> Result<String, Refusal> {
        let sessions = &self.sessions;
        let about = Facts { request_id: Some(id), ..Facts::default() };
        Ok(match order {
            Order::List { user, limit } => {
                let account = user.as_deref().map(Account::local);
                let listed = sessions.list(account.as_ref(), limit).await?;
                json(&listed.iter().map(|session| Report::from(&**session)).collect::<Vec<_>>())
            }
            Order::Count => json(&Counted { count: sessions.count(|_| {}).await? }),
            Order::Find(handle) => {
                let found = sessions.find(&handle).await?.ok_or(Problem::NoRoute)?;
                json(&Report::from(&*found))
            }
            Order::End(handle) => {
                if !sessions.end_by_handle(&handle, REASON, about).await? {
                    return Err(Problem::NoRoute.into());
                }
                json(&Revoked { revoked: 1 })
            }
            Order::EndUser(user) => {
                let revoked = sessions.end_account(&Account::local(&user), REASON, about).await?;
                json(&Revoked { revoked })
            }
            Order::EndAll => json(&Revoked { revoked: sessions.end_all(REASON, about, |_| {}).await? }),
            Order::Findings(policy) => json(&self.findings.list(policy)),
            Order::Traces => json(&TracesTold::of(&self.traces)),
            Order::Trace(id) => json(&self.traces.find(&id).ok_or(Problem::NoRoute)?),
            Order::BeginTrace { client, span } => {
                let traced = self.traces.begin(client, span).map_err(|_| Problem::Busy)?;
                tracing::info!(%client, until = traced.until.rfc3339(), "requests of this client are traced");
                json(&TracedTold::of(&traced))
            }
            Order::EndTrace(client) => {
                if !self.traces.end(client) {
                    return Err(Problem::NoRoute.into());
                }
                tracing::info!(%client, "requests of this client are traced no longer");
                json(&TracesTold::of(&self.traces))
            }
            Order::Describe => include_str!("openapi.json").to_owned(),
        })
    }
}

fn json(value: &impl Serialize) -> String {
    pretty(value) + "\n"
}

fn answer(json: String) -> Response<Body> {
    response(StatusCode::OK, "application/json", json)
}

fn refused(refusal: &Refusal, id: RequestId) -> Response<Body> {
    let (problem, methods) = match refusal {
        Refusal::Problem(problem) => (*problem, None),
        Refusal::Method(methods) => (Problem::MethodNotAllowed, Some(methods)),
    };
    let mut response = response(problem.status(), "application/problem+json", problem.json(id));
    let headers = response.headers_mut();
    if let Some(methods) = methods {
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let allow = HeaderValue::from_str(&names.join(", ")).expect("methods are tokens");
        headers.insert(ALLOW, allow);
    }
    if problem == Problem::StoreUnavailable {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

fn response(status: StatusCode, kind: &'static str, json: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
