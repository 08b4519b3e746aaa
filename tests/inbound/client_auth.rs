//! Certificates of clients: who has to show one, whose count, and for which hosts a connection is good.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{all, get};
use crate::support::authority::{Authority, Pair};
use crate::support::client::{Answer, Client, parse};
use crate::support::proxy::{Proxy, proxy};
use crate::support::upstream::{Upstream, upstream};
use rustls::HandshakeKind;

const ADMIN: &str = "localhost";
const APP: &str = "app.test";

fn guarded(upstream: &Upstream, keys: &str) -> Proxy {
    proxy(upstream)
        .route("/", "access = \"public\"")
        .server("plain = [\"127.0.0.1:0\"]")
        .section(&format!("[tls.client_auth]\n{keys}"))
        .start()
}

/// The answer of `host` on a connection that was made for `name`.
async fn ask(proxy: &Proxy, name: &str, identity: Option<&Pair>, host: &str) -> io::Result<Answer> {
    let client = match identity {
        Some(identity) => proxy.client().who_is(identity),
        None => proxy.client(),
    };
    let stream = TcpStream::connect(proxy.https).await?;
    let mut stream = client.over(stream, name).await?;
    let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    // By TLS 1.3 a client learns that its certificate is refused when it reads.
    let text = all(&mut stream).await;
    if text.is_empty() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(parse(&text)) }
}

#[tokio::test]
async fn a_host_that_requires_a_certificate_has_no_connection_without_a_good_one() {
    let (upstream, ours, theirs) = (upstream().await, Authority::new(), Authority::new());
    let (good, revoked) = (ours.issue("alice"), ours.issue("mallory"));
    let keys = format!(
        "mode = \"required\"\nhosts = [\"{ADMIN}\"]\nca = {:?}\ncrl = {:?}",
        ours.bundle(),
        ours.revoke(&revoked)
    );
    let proxy = guarded(&upstream, &keys);
    assert_eq!(ask(&proxy, ADMIN, Some(&good), ADMIN).await.unwrap().status, 200);
    let received = upstream.only();
    let names: Vec<_> = received.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert!(!names.iter().any(|name| name.contains("cert") || name.contains("ssl")), "{names:?}");
    for bad in [None, Some(&revoked), Some(&ours.issue_expired("eve")), Some(&theirs.issue("alice"))] {
        assert!(ask(&proxy, ADMIN, bad, ADMIN).await.is_err(), "{bad:?}");
    }
    assert_eq!(ask(&proxy, APP, None, APP).await.unwrap().status, 200, "no other host asks");
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn a_connection_is_good_for_hosts_of_its_own_policy_alone() {
    let (upstream, authority) = (upstream().await, Authority::new());
    let good = authority.issue("alice");
    let keys = format!("mode = \"required\"\nhosts = [\"{ADMIN}\"]\nca = {:?}", authority.bundle());
    let proxy = guarded(&upstream, &keys);
    for host in [ADMIN, "LOCALHOST", "localhost.", "localhost:443"] {
        let answer = ask(&proxy, APP, Some(&good), host).await.unwrap();
        assert_eq!(answer.status, 421, "{host}");
        assert!(answer.body.contains("urn:foregate:problem:misdirected"), "{}", answer.body);
    }
    assert_eq!(ask(&proxy, "127.0.0.1", None, ADMIN).await.unwrap().status, 421, "no name at all");
    assert_eq!(ask(&proxy, ADMIN, Some(&good), APP).await.unwrap().status, 421, "nor the other way round");
    let answer = get(proxy.plain.unwrap(), "/", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.received().len(), 1);
    let head = format!("GET / HTTP/1.1\r\nHost: {ADMIN}\r\nConnection: close\r\n\r\n");
    let answer = parse(&super::exchange(proxy.plain.unwrap(), &[head.as_bytes()]).await);
    assert_eq!(answer.status, 421, "nobody was asked in the clear");
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn an_optional_certificate_may_be_missing_but_not_be_bad() {
    let (upstream, ours, theirs) = (upstream().await, Authority::new(), Authority::new());
    let proxy = guarded(&upstream, &format!("mode = \"optional\"\nca = {:?}", ours.bundle()));
    assert_eq!(ask(&proxy, ADMIN, None, ADMIN).await.unwrap().status, 200);
    assert_eq!(
        ask(&proxy, ADMIN, Some(&ours.issue("alice")), APP).await.unwrap().status,
        200,
        "all hosts alike"
    );
    assert!(ask(&proxy, ADMIN, Some(&theirs.issue("alice")), ADMIN).await.is_err());
}

/// How the handshakes of one client went, for one name after another; it offers each what it was given by any.
async fn handshakes(proxy: &Proxy, client: &Client, names: &[&str]) -> Vec<HandshakeKind> {
    let remembering = client.remembering();
    let mut kinds = Vec::new();
    for name in names {
        let stream = TcpStream::connect(proxy.https).await.unwrap();
        let mut stream = remembering.over(stream, name).await.unwrap();
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        let head = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(parse(&all(&mut stream).await).status, 200, "{name}");
    }
    kinds
}

#[tokio::test]
async fn sessions_are_resumed_where_nobody_is_asked_for_a_certificate_and_nowhere_else() {
    let (upstream, ours) = (upstream().await, Authority::new());
    let keys = format!("mode = \"optional\"\nhosts = [\"{ADMIN}\"]\nca = {:?}", ours.bundle());
    let proxy = guarded(&upstream, &keys);
    let alice = proxy.client().who_is(&ours.issue("alice"));
    let is_full = |kind: &HandshakeKind| *kind != HandshakeKind::Resumed;
    for client in [alice.clone(), alice.by_tls12()] {
        let kinds = handshakes(&proxy, &client, &[APP, APP, ADMIN, ADMIN, APP]).await;
        let full: Vec<bool> = kinds.iter().map(is_full).collect();
        assert_eq!(full, [true, false, true, true, false], "{kinds:?}");
        let kinds = handshakes(&proxy, &client, &[ADMIN, ADMIN, APP]).await;
        assert!(kinds.iter().all(is_full), "{kinds:?}");
    }
}
