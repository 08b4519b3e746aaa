//! No request is framed in two ways (security.md 1.3): what goes upstream is what was decided on, and what follows a
//! request in doubt is not read.

use super::unescaped;
use crate::support::client::Client;
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::upstream::{Received, Upstream, upstream};

const ATTACKS: &str = include_str!("../fixtures/smuggling.txt");

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

async fn is_refused(client: &Client, attack: &str) {
    let answers = client.raw(with_canary(attack)).await;
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert!(matches!(statuses[..], [] | ["400" | "405" | "417" | "501" | "505"]), "{attack}: {answers}");
}

/// Whether it is framed in one way, and is a request that may pass.
fn is_whole(request: &Received) -> bool {
    let names = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    let framings = names.filter(|name| name == "transfer-encoding" || name == "content-length").count();
    framings <= 1 && matches!(request.target(), "/x" | "/canary")
}

#[tokio::test]
async fn no_request_is_framed_in_two_ways() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let client = proxy.client();
    for line in ATTACKS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (verdict, attack) = line.split_once(' ').unwrap();
        let before = upstream.received().len();
        match verdict {
            "refused" => is_refused(&client, attack).await,
            "whole" => drop(client.raw(with_canary(attack)).await),
            other => panic!("{other}"),
        }
        let received = upstream.received();
        if verdict == "refused" {
            assert_eq!(received.len(), before, "{attack}: {:#?}", received.last());
        }
        assert!(received[before..].iter().all(is_whole), "{attack}: {:#?}", &received[before..]);
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
}
