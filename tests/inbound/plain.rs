//! Requests in the clear: on listeners that are for them, and at the TLS port.

use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{all, exchange, get};
use crate::support::authority::Authority;
use crate::support::client::parse;
use crate::support::proxy::{Setup, proxy};
use crate::support::upstream::{Upstream, upstream};

const HTTPS: &str = "X-Forwarded-Proto: https\r\n";

fn behind(upstream: &Upstream, trusted: &str) -> Setup {
    let keys = format!("plain = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"{trusted}\"]\npublic_port = 443");
    proxy(upstream).route("/", "access = \"public\"").route("/private", "").server(&keys)
}

#[tokio::test]
async fn development_serves_in_the_clear_on_loopback() {
    let upstream = upstream().await;
    let keys = "plain = [\"127.0.0.1:0\"]";
    let proxy = proxy(&upstream).route("/", "access = \"public\"").server(keys).start();
    let answer = get(proxy.plain.unwrap(), "/", HTTPS).await;
    assert_eq!((answer.status, answer.header("strict-transport-security")), (200, None));
    assert_eq!(upstream.only().header("x-forwarded-proto").as_deref(), Some("http"));
}

#[tokio::test]
async fn production_serves_what_came_to_a_trusted_proxy_by_https() {
    let (upstream, authority) = (upstream().await, Authority::new());
    let proxy = behind(&upstream, "127.0.0.1").production(&authority).start();
    let plain = proxy.plain.unwrap();
    let answer = get(plain, "/", HTTPS).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    assert_eq!(upstream.only().header("x-forwarded-port").as_deref(), Some("443"));
    let form = get(plain, "/_foregate/login", HTTPS).await;
    let cookies = form.all("set-cookie");
    assert!(!cookies.is_empty() && cookies.iter().all(|cookie| cookie.contains("; Secure")), "{cookies:?}");
    for claim in
        ["", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Proto: http, ws\r\n", "Forwarded: for=a\r\n"]
    {
        let answer = get(plain, "/private?x", claim).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (308, Some("https://app.test/private?x")),
            "{claim}"
        );
        assert_eq!(answer.header("strict-transport-security"), None, "{claim}");
    }
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn production_serves_nobody_else_in_the_clear() {
    let (upstream, authority) = (upstream().await, Authority::new());
    let proxy = behind(&upstream, "192.0.2.0/24").production(&authority).start();
    for claim in [HTTPS, "Forwarded: for=192.0.2.1;proto=https\r\nX-Forwarded-For: 192.0.2.1\r\n"] {
        assert_eq!(get(proxy.plain.unwrap(), "/", claim).await.status, 308);
        assert_eq!(get(proxy.plain.unwrap(), "/_foregate/login", claim).await.status, 308);
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_request_in_the_clear_at_the_tls_port_is_sent_on_to_the_same_port() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream)
        .route("/", "access = \"public\"")
        .server("trusted_proxies = [\"127.0.0.1\"]\npublic_port = 443")
        .start();
    let port = proxy.https.port();
    for claim in ["", HTTPS] {
        let head =
            format!("GET /a/../b?c HTTP/1.1\r\nHost: app.test:{port}\r\nConnection: close\r\n{claim}\r\n");
        let answer = parse(&exchange(proxy.https, &[head.as_bytes()]).await);
        let location = format!("https://app.test:{port}/b?c");
        assert_eq!((answer.status, answer.header("location")), (308, Some(location.as_str())), "{claim}");
        assert!(answer.header("x-request-id").is_some());
    }
    let answer = get(proxy.https, "/", "").await;
    assert_eq!(answer.header("location"), Some("https://app.test/"), "no port: the public one");
    let answer = exchange(
        proxy.https,
        &[b"POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"],
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_redirect_from_the_tls_port_leads_to_no_foreign_host() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "host = \"app.test\"").start();
    for (host, status) in [("evil.test", 421), ("app.test@evil.test", 400), ("evil.test/path", 400)] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = parse(&exchange(proxy.https, &[head.as_bytes()]).await);
        assert_eq!((answer.status, answer.header("location")), (status, None), "{host}");
    }
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_at_the_tls_port_costs_a_handshakes_time_at_most() {
    let upstream = upstream().await;
    let limits = "[server.limits]\nhandshake_timeout = \"200ms\"\nheader_timeout = \"200ms\"";
    let proxy = proxy(&upstream).section(limits).start();
    for silent in [b"".as_slice(), b"\x16", b"\x16\x03\x01\x00\x20\x01", b"G", b"GET / HTTP/1.1\r\nHost: a"] {
        let mut stream = TcpStream::connect(proxy.https).await.unwrap();
        let watch = Stopwatch::start();
        stream.write_all(silent).await.unwrap();
        assert!(!all(&mut stream).await.contains("200 OK"), "{silent:?}");
        assert!(watch.elapsed() < Duration::from_secs(2), "{silent:?}: {:?}", watch.elapsed());
    }
    for garbage in [b"\0\0\0\0\0\0\0\0".as_slice(), b"\x80\x2e\x01\x00\x02", b"\r\n\r\n", &[0xff; 600]] {
        let watch = Stopwatch::start();
        assert!(!exchange(proxy.https, &[garbage]).await.contains("HTTP/1.1 2"), "{garbage:?}");
        assert!(watch.elapsed() < Duration::from_secs(2), "{garbage:?}: {:?}", watch.elapsed());
    }
}
