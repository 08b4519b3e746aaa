//! The PROXY protocol: whom a trusted proxy announces is the client, and it has to announce somebody.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{all, exchange, get, last_client};
use crate::support::client::parse;
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::upstream::{Upstream, upstream};

const V1: &[u8] = b"PROXY TCP4 198.51.100.7 127.0.0.1 56324 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\x7f\0\0\x01\xdc\x04\x01\xbb";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn announced(upstream: &Upstream, limits: &str) -> Proxy {
    proxy(upstream)
        .route("/", "access = \"public\"")
        .server("proxy_protocol = \"required\"\ntrusted_proxies = [\"127.0.0.1\"]")
        .section(&format!("[server.limits]\n{limits}"))
        .start()
}

fn request() -> String {
    format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn whom_a_trusted_proxy_announces_is_the_client() {
    let upstream = upstream().await;
    let proxy = announced(&upstream, "");
    for (header, client) in [(V1, "198.51.100.7"), (V2, "198.51.100.7"), (LOCAL, "127.0.0.1")] {
        let mut stream = TcpStream::connect(proxy.https).await.unwrap();
        stream.write_all(header).await.unwrap();
        let mut stream = proxy.client().over(stream, HOST).await.unwrap();
        stream.write_all(request().as_bytes()).await.unwrap();
        assert_eq!(parse(&all(&mut stream).await).status, 200);
        let received = upstream.received();
        assert_eq!(received.last().unwrap().header("x-forwarded-for").as_deref(), Some(client));
        assert_eq!(last_client(&proxy), client);
    }
}

#[tokio::test]
async fn the_redirecting_listener_wants_the_header_as_well() {
    let upstream = upstream().await;
    let proxy = announced(&upstream, "");
    let answer = parse(&exchange(proxy.http, &[V1, request().as_bytes()]).await);
    assert_eq!(answer.status, 308);
    assert_eq!(last_client(&proxy), "198.51.100.7");
    assert_eq!(exchange(proxy.http, &[request().as_bytes()]).await, "");
    let health = get(proxy.admin, "/healthz", "").await;
    assert_ne!(health.status, 0, "the admin listener is not behind the proxy");
}

#[tokio::test]
async fn a_header_may_come_in_any_pieces() {
    let upstream = upstream().await;
    let proxy = announced(&upstream, "");
    for header in [V1, V2] {
        let whole = [header, request().as_bytes()].concat();
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert!(exchange(proxy.http, &bytes).await.starts_with("HTTP/1.1 308"));
        assert!(exchange(proxy.http, &[&whole]).await.starts_with("HTTP/1.1 308"), "with what follows it");
    }
}

#[tokio::test]
async fn a_trusted_proxy_that_announces_nobody_is_cut_off() {
    let upstream = upstream().await;
    let proxy = announced(&upstream, "handshake_timeout = \"200ms\"");
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'a'; 200]].concat();
    let huge = [&LOCAL[..12], b"\x21\x11\xff\xff", &[0; 4096]].concat();
    for bytes in [
        request().as_bytes(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00",
        b"PROXY TCP4 198.51.100.7 127.0.0.1 56324 443\nGET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 198.51.100.7",
        b"PROXY ",
        b"",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\xc6\x33\x64\x07\x7f\0\0\x01\xdc\x04\x01\xbb",
        &long,
        &huge,
    ] {
        for address in [proxy.https, proxy.http] {
            assert_eq!(exchange(address, &[bytes]).await, "", "{:?}", String::from_utf8_lossy(bytes));
        }
    }
    let answer = parse(&exchange(proxy.http, &[V1, request().as_bytes()]).await);
    assert_eq!(answer.status, 308, "the process goes on");
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn nobody_else_announces_anybody() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream)
        .server("proxy_protocol = \"required\"\ntrusted_proxies = [\"192.0.2.0/24\"]")
        .section("[server.limits]\nheader_timeout = \"200ms\"")
        .start();
    for header in [V1, V2, LOCAL] {
        for address in [proxy.http, proxy.https] {
            let answer = exchange(address, &[header, request().as_bytes()]).await;
            assert!(!answer.contains("308") && !answer.contains("200 OK"), "{answer}");
        }
    }
    assert!(!proxy.access_log().contains("198.51.100.7"));
    assert_eq!(get(proxy.http, "/", "").await.status, 308, "who is not trusted is served as ever");
}

#[tokio::test]
async fn a_client_has_its_share_of_connections_whoever_passes_them_on() {
    let upstream = upstream().await;
    let proxy = announced(&upstream, "connections_per_client = 2");
    let mut held = Vec::new();
    for last in 1..=4 {
        for _ in 0..2 {
            let header = format!("PROXY TCP4 198.51.100.{last} 127.0.0.1 56324 443\r\n");
            let mut stream = TcpStream::connect(proxy.http).await.unwrap();
            stream.write_all(header.as_bytes()).await.unwrap();
            let ask = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
            stream.write_all(ask.as_bytes()).await.unwrap();
            let mut status = [0; 12];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut status).await.unwrap();
            assert_eq!(&status, b"HTTP/1.1 308");
            held.push(stream);
        }
    }
    let third = b"PROXY TCP4 198.51.100.1 127.0.0.1 56324 443\r\n";
    assert_eq!(exchange(proxy.http, &[third, request().as_bytes()]).await, "");
}

#[tokio::test]
async fn a_proxy_of_a_trusted_proxy_is_believed_as_far_as_it_is_trusted() {
    let upstream = upstream().await;
    let proxy = announced(&upstream, "");
    let claim = request().replace("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
    exchange(proxy.http, &[V1, claim.as_bytes()]).await;
    assert_eq!(last_client(&proxy), "198.51.100.7", "whom it announces is no trusted proxy");
    exchange(proxy.http, &[LOCAL, claim.as_bytes()]).await;
    assert_eq!(last_client(&proxy), "203.0.113.9", "the proxy speaks for itself");
}

#[tokio::test]
async fn nobody_vouches_for_somebody_whom_the_proxy_does_not_name() {
    let upstream = upstream().await;
    let proxy = announced(&upstream, "");
    let claims =
        "\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=203.0.113.9\r\n\r\n";
    let claim = request().replace("\r\n\r\n", claims);
    let unspecified: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";
    let of_a_socket = [b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8".as_slice(), &[b'a'; 216]].concat();
    for header in [b"PROXY UNKNOWN\r\n".as_slice(), unspecified, &of_a_socket] {
        let answer = parse(&exchange(proxy.http, &[header, claim.as_bytes()]).await);
        assert_eq!(answer.status, 308, "it came by http: {header:?}");
        assert_eq!(last_client(&proxy), "127.0.0.1", "{header:?}");
    }
}
