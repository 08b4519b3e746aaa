//! What the upstream gets is what was decided on (security.md, PA-1 to PA-7): `/public` is open, everything else
//! needs a session, and the reference below reads paths as the most lenient of applications might.

use crate::support::client::{Jar, parse};
use crate::support::proxy::{ALICE, HOST, proxy};
use crate::support::upstream::upstream;

/// The request targets of the tables, and more of their classes.
const TARGETS: &str = include_str!("fixtures/path_attacks.txt");

fn targets() -> impl Iterator<Item = Vec<u8>> {
    TARGETS.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).map(|line| {
        let mut bytes = Vec::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('<') {
            let (hex, after) = after.split_once('>').unwrap();
            bytes.extend_from_slice(before.as_bytes());
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = after;
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    })
}

/// Decodes to the end, splits at both slashes, strips parameters, removes dots, folds case.
fn most_lenient_reading(target: &str) -> String {
    let mut path = target.split(['?', '#']).next().unwrap().as_bytes().to_vec();
    loop {
        let decoded = decode_once(&path);
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let text = String::from_utf8_lossy(&path).to_ascii_lowercase();
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split(['/', '\\']) {
        match segment.split(';').next().unwrap() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    format!("/{}", segments.join("/"))
}

fn decode_once(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let escape = path
            .get(at + 1..at + 3)
            .filter(|_| path[at] == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(path[at]);
            at += 1;
        }
    }
    out
}

#[test]
fn the_reference_reads_as_applications_do() {
    for (target, reading) in [
        ("/public/..%252fadmin;x/", "/admin"),
        ("/public/..\\ADMIN?x#y", "/admin"),
        ("//public/./x/../%2561", "/public/a"),
    ] {
        assert_eq!(most_lenient_reading(target), reading);
    }
}

#[tokio::test]
async fn nobody_gets_past_the_login_by_the_way_an_address_is_written() {
    nobody_gets_past("").await;
}

#[tokio::test]
async fn nobody_gets_past_the_login_where_encoded_slashes_pass() {
    nobody_gets_past("encoded_slashes = \"pass\"").await;
}

/// `keys` are those of both routes.
async fn nobody_gets_past(keys: &str) {
    let upstream = upstream().await;
    let public = format!("access = \"public\"\n{keys}");
    let proxy = proxy(&upstream).route("/", keys).route("/public", &public).start();
    let client = proxy.client();
    let mut count = 0;
    for target in targets() {
        let before = upstream.received().len();
        let request =
            [b"GET ", target.as_slice(), b" HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"]
                .concat();
        let answer = client.raw(request).await;
        let shown = String::from_utf8_lossy(&target);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["200", "303", "400", "401", "404", "414"].contains(&status), "{shown}: {answer}");
        for received in &upstream.received()[before..] {
            let reading = most_lenient_reading(received.target());
            assert!(
                reading == "/public" || reading.starts_with("/public/"),
                "{shown} arrived as {}",
                received.target()
            );
        }
        count += 1;
    }
    assert!(count > 60, "the tables are read: {count}");
}

#[tokio::test]
async fn with_a_session_the_upstream_gets_exactly_what_was_matched() {
    the_upstream_gets_what_was_matched("").await;
    the_upstream_gets_what_was_matched("encoded_slashes = \"pass\"").await;
}

/// `keys` are those of all routes.
async fn the_upstream_gets_what_was_matched(keys: &str) {
    let upstream = upstream().await;
    let public = format!("access = \"public\"\n{keys}");
    let admin = format!("groups = [\"nobody\"]\n{keys}");
    let proxy = proxy(&upstream).route("/", keys).route("/public", &public).route("/admin", &admin).start();
    let (client, alice) = (proxy.client(), proxy.logged_in(ALICE).await);
    for target in targets() {
        let head =
            format!(" HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\nConnection: close\r\n\r\n", alice.header());
        client.raw([b"GET ", target.as_slice(), head.as_bytes()].concat()).await;
    }
    assert!(!upstream.received().is_empty());
    for received in upstream.received() {
        let reading = most_lenient_reading(received.target());
        assert!(
            reading != "/admin" && !reading.starts_with("/admin/"),
            "{} was not for alice",
            received.target()
        );
    }
}

#[tokio::test]
async fn a_prefix_is_cut_from_what_was_matched_and_one_slash_stays() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/app/v1", "access = \"public\"\nstrip_prefix = true").start();
    let (client, jar) = (proxy.client(), Jar::default());
    for (path, sent) in [
        ("/app/v1", "/"),
        ("/app/v1/", "/"),
        ("/app/v1/x?y=/app/v1", "/x?y=/app/v1"),
        ("/APP//v1//x;p=1", "/x;p=1"),
        ("/app;a=b/v1/x%20y", "/x%20y"),
        ("/%61pp/v1/app/v1", "/app/v1"),
    ] {
        assert_eq!(client.get(path, &jar).await.status, 200, "{path}");
        assert_eq!(upstream.last().target(), sent, "{path}");
    }
    assert_eq!(client.get("/app/v10", &jar).await.status, 404);
}

#[tokio::test]
async fn a_host_that_can_be_read_in_two_ways_is_refused() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let client = proxy.client();
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: \r\n",
        "GET / HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\n",
        "GET / HTTP/1.1\r\nHost: app.test, evil.test\r\n",
        "GET / HTTP/1.1\r\nHost: user@app.test\r\n",
        "GET / HTTP/1.1\r\nHost: app.test/x\r\n",
        "GET / HTTP/1.1\r\nHost: app.test:99999\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n",
        "GET http://evil.test/ HTTP/1.1\r\nHost: app.test\r\n",
        "GET admin HTTP/1.1\r\nHost: app.test\r\n",
        "GET * HTTP/1.1\r\nHost: app.test\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: gzip, chunked\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked, chunked\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "POST / HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n",
        "GET / HTTP/1.0\r\n",
    ] {
        let answer = client.raw(format!("{head}Connection: close\r\n\r\n")).await;
        assert_eq!(parse(&answer).status, 400, "{head}: {answer}");
    }
    assert!(upstream.received().is_empty());
    let absolute = client
        .raw(format!("GET https://{HOST}/x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"))
        .await;
    assert_eq!(parse(&absolute).status, 200);
    assert_eq!((upstream.only().target(), upstream.only().header("host").as_deref()), ("/x", Some(HOST)));
}
