//! What the proxy decides on is what applications read: listed and made-up hostile requests go through it to five
//! servers of others, each of which tells what it saw.

mod cases;
mod origins;
mod tap;
#[path = "../src/fuzzing/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use foregate::http::{Authority, Target, folded};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::client::Client;
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::report;
use crate::support::settle::eventually;
use crate::support::upstream::upstream;
use cases::Case;
use origins::{Kind, Origin};
use tap::Tap;
use wire::Received;

/// Requests at once.
const AT_ONCE: usize = 32;

/// What ends at each hop, which is written anew for the next: an origin that passes requests on cannot tell of it.
const OF_A_HOP: [&str; 6] = ["connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"];

/// What is left of the requests of each case once they were decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    /// Method, target and version.
    line: String,
    /// Of the whole way, in no order.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Requests by their ids. What may be repeated may have come twice, where its first connection broke off.
type ById = BTreeMap<String, Request>;

impl Request {
    fn new(line: String, mut headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        headers.retain(|(name, _)| !OF_A_HOP.contains(&name.as_str()));
        headers.sort();
        Self { line, headers, body }
    }

    fn may_be_repeated(&self) -> bool {
        let method = self.line.split(' ').next().unwrap();
        let is_idempotent =
            ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "QUERY"].contains(&method);
        is_idempotent && self.body.is_empty()
    }
}

impl From<Received> for Request {
    fn from(received: Received) -> Self {
        let Received { method, target, headers, body } = received;
        Self::new(format!("{method} {target} HTTP/1.1"), headers, body)
    }
}

fn by_id(requests: Vec<Request>) -> ById {
    let mut all = ById::new();
    for request in requests {
        let ids: Vec<&str> = values(&request, "x-request-id");
        let [id] = ids[..] else { panic!("not one id: {request:#?}") };
        let other = all.insert(id.to_owned(), request.clone());
        let is_repeated = other.is_none_or(|other| other == request && request.may_be_repeated());
        assert!(is_repeated, "{request:#?} came twice");
    }
    all
}

fn values<'a>(request: &'a Request, name: &str) -> Vec<&'a str> {
    request.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
}

/// Sends all that a client has to say and reads until the proxy has had enough.
async fn send(https: Client, plain: SocketAddr, case: Case) {
    match case {
        Case::Http1(bytes) => converse(TcpStream::connect(plain).await.unwrap(), &bytes).await,
        Case::Http2(bytes) => converse(https.connect(b"h2").await, &bytes).await,
    }
}

async fn converse(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, bytes: &[u8]) {
    // A proxy that has seen enough may close while we still write.
    let _ = stream.write_all(bytes).await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn send_all(proxy: &Proxy, cases: &[Case]) {
    let (plain, mut under_way) = (proxy.plain.unwrap(), JoinSet::new());
    for case in cases {
        if under_way.len() == AT_ONCE {
            under_way.join_next().await.unwrap().unwrap();
        }
        under_way.spawn(send(proxy.client(), plain, case.clone()));
    }
    under_way.join_all().await;
}

/// The lines of the access log by request: what was decided on.
fn decisions(proxy: &Proxy) -> BTreeMap<String, Value> {
    let log = proxy.access_log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (line["request_id"].as_str().unwrap().to_owned(), line)).collect()
}

/// Each request is the one that was decided on: this method, host and path, and nobody whom the client says it is.
fn is_what_was_decided_on(request: &Request, line: &Value) {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    let (method, target) = request.line.split_once(' ').unwrap();
    let path = target.strip_suffix(" HTTP/1.1").unwrap().split('?').next().unwrap();
    assert_eq!(method, text("method"), "{request:#?}");
    // A long path is cut in the log.
    if text("path").len() < 1_000 {
        let decided = Target::parse(text("path"), None).unwrap();
        assert_eq!(path, wire::latin1(decided.path().as_bytes()), "{request:#?}");
    }
    assert!(!path.to_ascii_lowercase().starts_with("/private"), "nobody is signed in: {request:#?}");
    assert_eq!(
        values(request, "host"),
        [Authority::parse(text("host")).unwrap().to_string()],
        "{request:#?}"
    );
    let mut names = request.headers.iter().map(|(name, _)| folded(name));
    assert!(!names.any(|name| name == "x-remote-user"), "{request:#?}");
}

/// Plays all cases with one origin; returns what is to be said of it.
async fn play(kind: Kind, cases: &[Case]) -> String {
    let recorder = upstream().await;
    let origin = Origin::start(kind, recorder.address().port()).await;
    let tap = Tap::before(origin.port()).await;
    let server = format!("[upstream.origin]\nservers = [\"http://127.0.0.1:{}\"]", tap.port());
    let route =
        |path: &str, keys: &str| format!("[[route]]\npath = \"{path}\"\nupstream = \"origin\"\n{keys}");
    let proxy = proxy(&recorder)
        .route("/unused", "")
        .section(&server)
        .section(&route("/", "access = \"public\""))
        .section(&route("/private", ""))
        .section(
            "[server.limits]\nheader_timeout = \"300ms\"\nbody_idle_timeout = \"300ms\"\nidle_timeout = \"300ms\"",
        )
        .server("plain = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.1\"]")
        .start();
    send_all(&proxy, cases).await;
    let seen = by_id(origin.seen(&recorder));
    let sent = by_id(tap.sent().into_iter().map(Request::from).collect());
    let is_logged = async || {
        let decided = decisions(&proxy);
        sent.keys().all(|id| decided.contains_key(id))
    };
    eventually("every request that was sent is decided on", is_logged).await;
    let decided = decisions(&proxy);
    for (id, request) in &sent {
        is_what_was_decided_on(request, &decided[id]);
    }
    for (id, request) in &seen {
        assert_eq!(Some(request), sent.get(id), "{kind:?} saw what was not decided on");
    }
    assert!(
        sent.len() > 500 && seen.len() * 10 > sent.len() * 9,
        "{kind:?} saw {} of {}",
        seen.len(),
        sent.len()
    );
    proxy.stopped().await;
    let [cases, decided, sent, seen] = [cases.len(), decided.len(), sent.len(), seen.len()];
    format!("{kind:?}: {cases} cases, {decided} decisions, {sent} requests sent, {seen} seen, none otherwise")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_origin_sees_exactly_what_was_decided_on_or_nothing() {
    let cases = cases::all();
    assert!(cases.len() >= 2_000, "{} cases", cases.len());
    for kind in [Kind::Nginx, Kind::Apache, Kind::HaProxy, Kind::Node, Kind::Python] {
        report(&play(kind, &cases).await);
    }
}
