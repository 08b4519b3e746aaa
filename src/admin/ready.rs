//! Whether the process can do its work, and what stands in its way.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::AdminParts;
use crate::http::Body;
use crate::store::Unavailable;

/// `/readyz`: ready where all checks are.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    ready: bool,
    checks: Vec<Check>,
    /// Upstreams none of whose servers gets requests. Another proxy could not reach them either.
    upstreams_down: Vec<String>,
}

/// One thing that the work needs.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    /// Why not, or what else an operator should know; never a password.
    reason: Option<String>,
}

impl AdminParts {
    /// Asks everything that the work needs.
    pub(super) async fn readiness(&self) -> Readiness {
        let store = self.store.ping().await;
        let stopping = self.stopping.is_cancelled().then(|| "the process is ending".to_owned());
        let checks = vec![
            Check { name: "process", ok: stopping.is_none(), reason: stopping },
            Check {
                name: "store",
                ok: store.is_ok(),
                reason: store.err().map(|error| reason(&error)).or_else(|| self.store.remark()),
            },
            // What was there before goes on, so the work is done.
            Check { name: "configuration", ok: true, reason: self.reload_refused.clone() },
        ];
        let upstreams_down = self.upstreams.down().into_iter().map(str::to_owned).collect();
        Readiness { ready: checks.iter().all(|check| check.ok), checks, upstreams_down }
    }
}

fn reason(error: &Unavailable) -> String {
    match &error.source {
        Some(source) => format!("{}: {source}", error.kind),
        None => error.kind.to_string(),
    }
}

impl Readiness {
    pub(super) fn into_response(self) -> Response<Body> {
        let json = serde_json::to_string_pretty(&self).expect("words and truth values are always JSON");
        let mut response = Response::new(Body::whole(json + "\n"));
        *response.status_mut() = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
