//! The application behind the demo: it knows nothing of logins and shows what it receives.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::Body;
use crate::listener::{
    BindError, Doorkeeper, Ending, Handler, Listener, Neighbours, Peer, Shared, Terms, Transport, bind,
};
use crate::pages::{DemoPage, Header};
use crate::telemetry::Metrics;

/// A server on a port of its own.
#[derive(Debug)]
pub(super) struct Application {
    listener: Listener,
    tasks: TaskTracker,
}

/// What the page has to know of the proxy before it; an application of one's own knows nothing.
#[derive(Clone, Debug)]
pub(super) struct Front {
    /// Where the proxy's own pages are.
    pub(super) prefix: String,
    /// The session cookie's name.
    pub(super) cookie: String,
}

impl Application {
    /// Bound on loopback.
    pub(super) fn bind() -> Result<Self, BindError> {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into(), Neighbours::Refused)?;
        let tasks = TaskTracker::new();
        let metrics = Arc::new(Metrics::new());
        let terms = Terms::default();
        let door = Doorkeeper::new(terms.limits.connections, None);
        let terms = Arc::new(ArcSwap::from_pointee(terms));
        let shared = Shared { terms, door, tasks: tasks.clone(), metrics };
        Ok(Self { listener: Listener::new(socket, Transport::Plain, shared), tasks })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.address()
    }

    /// Plays behind `front` until `end`.
    pub(super) async fn run(self, front: Front, end: CancellationToken) {
        let ending = Ending { finish: end.clone(), abort: end };
        self.listener.run(Show(Arc::new(front)), ending).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Answers every request with the request.
#[derive(Clone)]
struct Show(Arc<Front>);

impl Handler for Show {
    async fn handle(&self, request: Request<Incoming>, _: Peer) -> Response<Body> {
        let wants_page = request
            .headers()
            .get(ACCEPT)
            .is_some_and(|accept| accept.as_bytes().windows(9).any(|part| part == b"text/html"));
        let (kind, body) = if wants_page {
            ("text/html; charset=utf-8", page(&self.0, &request))
        } else {
            ("application/json", received(&request))
        };
        let mut response = Response::new(Body::whole(body));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn page(front: &Front, request: &Request<Incoming>) -> String {
    let headers = request.headers();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let page = DemoPage {
        prefix: front.prefix.clone(),
        cookie: front.cookie.clone(),
        site: format!("https://{}", headers.get(HOST).map(text).unwrap_or_default()),
        request: format!("{} {}", request.method(), request.uri()),
        user: headers.get("x-forwarded-user").map(text),
        headers: headers
            .iter()
            .map(|(name, value)| Header {
                name: name.to_string(),
                value: text(value),
                note: note(name.as_str()),
            })
            .collect(),
    };
    page.html()
}

fn note(name: &str) -> Option<&'static str> {
    Some(match name {
        "x-forwarded-user" | "x-forwarded-email" | "x-forwarded-name" | "x-forwarded-groups" => {
            "who you are: set by Foregate, removed from what browsers send"
        }
        "x-forwarded-auth-provider" => "who vouches for you",
        "x-foregate-session" => "the session's name: fit for logs, useless as a credential",
        "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port" | "forwarded" => {
            "where the request came from: set anew, whatever was claimed"
        }
        "x-request-id" => "the same in the answer and in Foregate's log",
        _ => return None,
    })
}

fn received(request: &Request<Incoming>) -> String {
    let mut headers = Map::new();
    for name in request.headers().keys() {
        let values =
            request.headers().get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        headers.insert(name.to_string(), Value::from(values.collect::<Vec<_>>().join(", ")));
    }
    let received = json!({ "method": request.method().as_str(), "target": request.uri().to_string(), "headers": headers });
    format!("{received:#}\n")
}
