//! The admin listener: whether the process lives, whether it can do its work, what it counts, and, over its socket
//! alone, the sessions and the findings. Rank 8.
//!
//! It has sockets of its own, on loopback unless configured otherwise: nothing of it is ever answered where
//! users come in.

mod api;
mod order;
mod ready;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

pub use order::{LISTED, MOST_LISTED, TRACED_MINUTES};

use crate::base::random::Random;
use crate::http::{Authority, Body, Scheme};
use crate::listener::{Handler, Peer};
use crate::session::Directory;
use crate::store::Store;
use crate::telemetry::{Findings, Metrics, Traces};
use crate::upstream::Upstreams;

/// Answers on the admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    current: Arc<CurrentAdmin>,
    entrance: Entrance,
}

/// What the admin listener tells about at the moment: a reload puts something else in its place.
pub type CurrentAdmin = ArcSwap<AdminParts>;

/// What the admin listener tells about.
#[derive(Clone, Debug)]
pub struct AdminParts {
    /// Where sessions lie.
    pub store: Arc<dyn Store>,
    /// What lies there, seen from above.
    pub sessions: Directory,
    /// What the policies find.
    pub findings: Findings,
    /// Whose requests are traced, and their traces.
    pub traces: Traces,
    /// Where requests' names come from.
    pub random: Random,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The applications.
    pub upstreams: Arc<Upstreams>,
    /// Cancelled when the process is to end: it is not ready from then on.
    pub stopping: CancellationToken,
    /// Why the configuration that was last asked for is not in force; `None`: it is.
    pub reload_refused: Option<String>,
}

/// How one gets at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// Over TCP, which a page in somebody's browser can reach too.
    Network,
    /// Over a socket that the file system keeps for us.
    Socket,
}

impl Admin {
    /// The same answers at another entrance.
    pub fn new(current: Arc<CurrentAdmin>, entrance: Entrance) -> Self {
        Self { current, entrance }
    }

    async fn answer(&self, parts: &Parts) -> Response<Body> {
        let known = self.current.load_full();
        if self.entrance == Entrance::Network && !is_local_name(parts) {
            return text(
                StatusCode::FORBIDDEN,
                "this Host is not served here: ask by address, or as localhost\n",
            );
        }
        if let (Entrance::Socket, Some(path)) = (self.entrance, parts.uri.path().strip_prefix(api::PREFIX)) {
            return known.api(parts, path).await;
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are taken\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match parts.uri.path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => known.readiness().await.into_response(),
            "/metrics" => metrics(&known.metrics),
            _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
        }
    }
}

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>, _: Peer) -> Response<Body> {
        let (parts, _) = request.into_parts();
        self.answer(&parts).await
    }
}

/// A name that no site can point at this machine: DNS rebinding works by names alone.
fn is_local_name(parts: &Parts) -> bool {
    Authority::of_request(parts, Scheme::Http).is_ok_and(|authority| {
        let host = authority.host();
        host == "localhost" || host.parse::<IpAddr>().is_ok()
    })
}

fn metrics(metrics: &Metrics) -> Response<Body> {
    let mut response = text(StatusCode::OK, metrics.text());
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
