//! No request is framed in two ways (security.md 1.3): what goes upstream is what was decided on, and what follows a
//! request in doubt is not read.

use super::unescaped;
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::upstream::{Received, Upstream, upstream};

const ATTACKS: &str = include_str!("../fixtures/smuggling.txt");

/// Before what arrives upstream.
const ARRIVES: &str = "  → ";

fn guarded(upstream: &Upstream) -> Proxy {
    proxy(upstream)
        .route("/", "access = \"public\"")
        .route("/private", "")
        .section("[server.limits]\nheader_timeout = \"300ms\"\nbody_idle_timeout = \"300ms\"")
        .start()
}

fn with_canary(attack: &str) -> Vec<u8> {
    let attack = attack.replacen('~', &format!("POST /x HTTP/1.1\\r\\nHost: {HOST}\\r\\n"), 1);
    let canary = format!("GET /canary HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    [unescaped(&attack), canary.into_bytes()].concat()
}

/// The two lines of a case.
struct Case {
    verdict: &'static str,
    attack: &'static str,
    /// The request line and the body of what arrives.
    arrives: Option<(String, Vec<u8>)>,
}

fn cases() -> impl Iterator<Item = Case> {
    let mut lines = ATTACKS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    std::iter::from_fn(move || {
        let (verdict, attack) = lines.next()?.split_once(' ').unwrap();
        let arrives =
            lines.next_if(|line| line.starts_with(ARRIVES)).map(|line| arriving(&line[ARRIVES.len()..]));
        Some(Case { verdict, attack, arrives })
    })
}

fn arriving(text: &str) -> (String, Vec<u8>) {
    let mut parts = text.splitn(3, ' ');
    let line = format!("{} {} HTTP/1.1", parts.next().unwrap(), parts.next().unwrap());
    (line, unescaped(parts.next().unwrap_or_default()))
}

/// The statuses of what came back.
fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// The request line and the body of a request that is framed in one way.
fn arrived(request: &Received) -> (String, Vec<u8>) {
    let names = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    let framings = names.filter(|name| name == "transfer-encoding" || name == "content-length").count();
    assert!(framings <= 1 && request.trailers.is_empty(), "{request:#?}");
    (request.line.clone(), request.body.clone())
}

#[tokio::test]
async fn no_request_is_framed_in_two_ways() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let client = proxy.client();
    for Case { verdict, attack, arrives } in cases() {
        let before = upstream.received().len();
        let answers = client.raw(with_canary(attack)).await;
        let statuses = statuses(&answers);
        let is_so = match verdict {
            "refused" => matches!(statuses[..], [] | ["400" | "405" | "417" | "501" | "505"]),
            "broken" => statuses.len() <= 1 && statuses.iter().all(|status| *status >= "400"),
            "closed" => statuses.len() == 1,
            "whole" => true,
            other => panic!("{other}"),
        };
        assert!(is_so, "{verdict} {attack}: {answers}");
        let mut all: Vec<_> = upstream.received()[before..].iter().map(arrived).collect();
        if verdict == "whole" {
            all.pop_if(|last| *last == arriving("GET /canary"));
        }
        assert_eq!(all, Vec::from_iter(arrives), "{verdict} {attack}: {answers}");
    }
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_their_order() {
    let upstream = Upstream::answering(|request| {
        crate::support::upstream::answer("200 OK", &[], &format!("<{}>", request.target()))
    })
    .await;
    let proxy = guarded(&upstream);
    let get = |path: &str, end: &str| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{end}\r\n");
    let post = format!("POST /2 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello");
    let packet = [get("/1", ""), post, get("/3", "Connection: close\r\n")].concat();
    let answers = proxy.client().raw(packet).await;
    let places: Vec<_> = ["</1>", "</2>", "</3>"].iter().map(|body| answers.find(body).unwrap()).collect();
    assert!(places.is_sorted(), "{answers}");
    let answers = proxy.client().raw(get("/4", "") + "\x01garbage\r\n\r\n").await;
    assert!(answers.contains("</4>"), "{answers}");
    assert_eq!(upstream.received().len(), 4);
}

#[tokio::test]
async fn an_options_goes_as_far_as_it_may() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream)
        .route("/", "access = \"public\"\nmethods = [\"GET\", \"OPTIONS\"]")
        .route("/private", "")
        .start();
    let client = proxy.client();
    let answer = client.send("OPTIONS /x\nMax-Forwards: 0", "").await;
    assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, OPTIONS")));
    assert_eq!(client.send("OPTIONS /private\nMax-Forwards: 0", "").await.status, 401);
    assert_eq!(client.send("OPTIONS /x\nMax-Forwards: 1, 2", "").await.status, 400);
    assert!(upstream.received().is_empty());
    assert_eq!(client.send("OPTIONS /x\nMax-Forwards: 1", "").await.status, 200);
    assert_eq!(upstream.only().header("max-forwards").as_deref(), Some("0"));
    assert_eq!(client.send("OPTIONS /x\nMax-Forwards: 3\nConnection: Max-Forwards", "").await.status, 200);
    assert_eq!(upstream.last().header("max-forwards").as_deref(), Some("2"), "it is counted on all the way");
}
