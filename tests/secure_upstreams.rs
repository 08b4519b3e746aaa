//! Upstreams that are spoken to by TLS: who is trusted, and what becomes of requests for all others.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::authority::{Authority, Pair};
use crate::support::captured_log;
use crate::support::client::Answer;
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::tls_front::{Agreed, TlsFront};
use crate::support::upstream::{Upstream, answer, upstream};

/// A proxy whose route `/safe` leads to `https://SERVER` under the authorities in `ca`.
fn proxy_to(plain: &Upstream, server: &str, ca: &Path) -> Proxy {
    proxy(plain).route("/", "").section(&section(server, ca, "")).start()
}

fn section(server: &str, ca: &Path, keys: &str) -> String {
    format!(
        "[upstream.safe]\nservers = [\"https://{server}\"]\nca = {ca:?}\nconnect_timeout = \"10s\"\n{keys}\n\
         [[route]]\npath = \"/safe\"\nupstream = \"safe\"\naccess = \"public\""
    )
}

/// What a request gets whose upstream shows `pair` to a proxy that trusts `ca`.
async fn met_with(pair: &Pair, ca: &Path) -> (Answer, String, Vec<Agreed>) {
    let (log, _logging) = captured_log();
    let upstream = upstream().await;
    let front = TlsFront::of(upstream.address(), pair.server("http/1.1")).await;
    let proxy = proxy_to(&upstream, &format!("localhost:{}", front.port()), ca);
    let answer = proxy.client().send("GET /safe", "").await;
    if answer.status != 200 {
        assert!(upstream.received().is_empty(), "nothing is sent to whom we do not trust");
        assert_eq!(proxy.count("foregate_upstream_errors_total{upstream=\"safe\",kind=\"tls\"}"), 1);
        assert!(!answer.body.contains("certificate"), "the reason is not the client's matter: {answer:#?}");
    }
    (answer, log.text(), front.agreed())
}

#[tokio::test]
async fn a_server_of_a_private_authority_is_asked_by_its_name() {
    let authority = Authority::new();
    let (answer, _, agreed) = met_with(&authority.issue("localhost"), &authority.bundle()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    let (name, protocol) = (Some("localhost".to_owned()), Some("http/1.1".to_owned()));
    assert_eq!(agreed, [Agreed { name, protocol }]);
}

#[tokio::test]
async fn a_server_without_a_name_is_verified_by_its_address() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let front = TlsFront::of(upstream.address(), authority.issue("127.0.0.1").server("http/1.1")).await;
    let proxy = proxy_to(&upstream, &format!("127.0.0.1:{}", front.port()), &authority.bundle());
    assert_eq!(proxy.client().send("GET /safe", "").await.status, 200);
    assert_eq!(front.agreed()[0].name, None);
}

#[tokio::test]
async fn a_server_that_is_not_to_be_trusted_gets_nothing_and_the_log_says_why() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for (pair, reason) in [
        (theirs.issue("localhost"), "invalid peer certificate"),
        (ours.issue("other.test"), "not valid for name"),
        (ours.issue_expired("localhost"), "certificate expired"),
    ] {
        let (answer, log, agreed) = met_with(&pair, &ours.bundle()).await;
        assert_eq!(answer.status, 502, "{reason}: {answer:#?}");
        assert!(log.contains(reason) && log.contains("no TLS with localhost"), "{reason}: {log}");
        assert!(agreed.is_empty());
    }
}

#[tokio::test]
async fn a_server_that_asks_who_we_are_is_shown_our_certificate() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let tls = authority.issue("localhost").server_for_clients_of(&authority.bundle());
    let front = TlsFront::of(upstream.address(), tls).await;
    let server = format!("localhost:{}", front.port());
    let ours = authority.issue("foregate");
    let keys = format!("client_cert = {:?}\nclient_key = {:?}", ours.cert, ours.key);
    let known = section(&server, &authority.bundle(), &keys);
    let known = proxy(&upstream).route("/", "").section(&known).start();
    assert_eq!(known.client().send("GET /safe", "").await.status, 200);
    let nobody = proxy_to(&upstream, &server, &authority.bundle());
    assert_eq!(nobody.client().send("GET /safe", "").await.status, 502);
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_private_authority_is_unknown_where_the_systems_count() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let front = TlsFront::of(upstream.address(), authority.issue("localhost").server("http/1.1")).await;
    let server = format!("localhost:{}", front.port());
    let text = section(&server, &authority.bundle(), "");
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("ca = ")).collect();
    let proxy = proxy(&upstream).route("/", "").section(&without.join("\n")).start();
    assert_eq!(proxy.client().send("GET /safe", "").await.status, 502);
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_server_that_speaks_another_protocol_is_refused() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let front = TlsFront::of(upstream.address(), authority.issue("localhost").server("h2")).await;
    let proxy = proxy_to(&upstream, &format!("localhost:{}", front.port()), &authority.bundle());
    assert_eq!(proxy.client().send("GET /safe", "").await.status, 502);
}

#[tokio::test]
async fn an_answer_in_plain_text_before_the_handshake_is_none() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let talking = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.write_all(&answer("200 OK", &[], "from somebody in between")).await;
            connections.push(client);
        }
    });
    let proxy = proxy_to(&upstream, &format!("localhost:{port}"), &authority.bundle());
    let refused = proxy.client().send("GET /safe", "").await;
    assert_eq!(refused.status, 502);
    assert!(!refused.body.contains("in between"), "{refused:#?}");
    talking.abort();
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_costs_no_more_than_the_connect_timeout() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("127.0.0.1:{}", silent.local_addr().unwrap().port());
    let text = section(&server, &authority.bundle(), "").replace("\"10s\"", "\"200ms\"");
    let proxy = proxy(&upstream).route("/", "").section(&text).start();
    let client = proxy.client();
    let refused = tokio::time::timeout(Duration::from_secs(5), client.send("GET /safe", ""));
    assert_eq!(refused.await.unwrap().status, 502);
    assert_eq!(proxy.count("foregate_upstream_errors_total{upstream=\"safe\",kind=\"connect-timeout\"}"), 1);
}

#[tokio::test]
async fn a_server_that_is_not_trusted_leaves_its_requests_to_the_others() {
    let (ours, theirs, upstream) = (Authority::new(), Authority::new(), upstream().await);
    let good = TlsFront::of(upstream.address(), ours.issue("localhost").server("http/1.1")).await;
    let bad = TlsFront::of(upstream.address(), theirs.issue("localhost").server("http/1.1")).await;
    let both = format!("localhost:{}\", \"https://localhost:{}", bad.port(), good.port());
    let proxy = proxy_to(&upstream, &both, &ours.bundle());
    for _ in 0..4 {
        assert_eq!(proxy.client().send("POST /safe", "body").await.status, 200);
    }
    assert_eq!(upstream.received().len(), 4);
}

#[tokio::test]
async fn a_server_gets_its_own_name_where_it_is_rewritten() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let front = TlsFront::of(upstream.address(), authority.issue("localhost").server("http/1.1")).await;
    let server = format!("localhost:{}", front.port());
    let text = section(&server, &authority.bundle(), "host = \"rewrite\"");
    let rewriting = proxy(&upstream).route("/", "").section(&text).start();
    assert_eq!(rewriting.client().send("GET /safe", "").await.status, 200);
    assert_eq!(upstream.last().header("host"), Some(server.clone()));
    let keeping = proxy_to(&upstream, &server, &authority.bundle());
    assert_eq!(keeping.client().send("GET /safe", "").await.status, 200);
    assert_eq!(upstream.last().header("host").as_deref(), Some(HOST));
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_bodies_pass() {
    let authority = Authority::new();
    let upstream =
        Upstream::answering(|request| answer("200 OK", &[], &String::from_utf8_lossy(&request.body))).await;
    let front = TlsFront::of(upstream.address(), authority.issue("localhost").server("http/1.1")).await;
    let proxy = proxy_to(&upstream, &format!("localhost:{}", front.port()), &authority.bundle());
    let body = "x".repeat(100_000);
    for _ in 0..3 {
        assert_eq!(proxy.client().send("POST /safe", &body).await.body, body);
    }
    assert_eq!(front.agreed().len(), 1);
}

#[tokio::test]
async fn an_answer_whose_end_may_have_been_cut_off_is_not_taken_for_whole() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let acceptor = TlsAcceptor::from(authority.issue("localhost").server("http/1.1"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("localhost:{}", listener.local_addr().unwrap().port());
    let cutting = tokio::spawn(async move {
        let mut client = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let _ = client.read(&mut [0; 4096]).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf of it").await.unwrap();
        client.flush().await.unwrap();
        // The connection ends, and TLS does not: anybody in between can do that.
        drop(client.into_inner());
    });
    let proxy = proxy_to(&upstream, &server, &authority.bundle());
    let text = proxy.client().raw(format!("GET /safe HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    assert!(text.contains("half of it") && !text.contains("\r\n0\r\n"), "{text}");
    cutting.await.unwrap();
}

#[test]
fn a_bundle_that_cannot_be_used_is_told_at_the_start_and_by_check() {
    use crate::support::command::run;
    let folder = tempfile::tempdir().unwrap();
    let text = "mode = \"development\"\n[server]\nhttps = [\"127.0.0.1:0\"]\nhttp = []\nadmin = \"off\"\n\
        [tls]\nself_signed = [\"localhost\"]\n[session.store]\nurl = \"rediss://localhost\"\nca = \"missing.pem\"\n\
        [upstream.app]\nservers = [\"https://localhost\"]\nca = \"proxy.toml\"\n[[route]]\nupstream = \"app\"\n";
    std::fs::write(folder.path().join("proxy.toml"), text).unwrap();
    let checked = run(folder.path(), &["check"], "");
    assert_eq!(checked.code, 2);
    for says in ["missing.pem: No such file", "proxy.toml: no items found", "BEGIN CERTIFICATE"] {
        assert!(checked.stderr.contains(says), "{says}: {}", checked.stderr);
    }
    let started = run(folder.path(), &["run"], "");
    assert_eq!(started.code, 2);
    assert!(started.stderr.contains("missing.pem: No such file"), "{}", started.stderr);
}

#[tokio::test]
async fn a_websocket_passes() {
    let authority = Authority::new();
    let upstream = Upstream::talking(|request, mut line| async move {
        assert_eq!(request.header("upgrade").as_deref(), Some("websocket"));
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        line.send(head).await;
        let said = line.read(4).await;
        line.send(said).await;
    })
    .await;
    let front = TlsFront::of(upstream.address(), authority.issue("localhost").server("http/1.1")).await;
    let proxy = proxy_to(&upstream, &format!("localhost:{}", front.port()), &authority.bundle());
    let mut stream = proxy.client().connect(b"http/1.1").await;
    let ask = format!(
        "GET /safe HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nping"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    let all = String::from_utf8_lossy(&all);
    assert!(all.starts_with("HTTP/1.1 101") && all.ends_with("\r\n\r\nping"), "{all}");
}
