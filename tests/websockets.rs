//! WebSockets over HTTP/1.1: what becomes a tunnel, what never does, and how a tunnel ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::Jar;
use crate::support::proxy::{ALICE, BOB, HOST, proxy};
use crate::support::report;
use crate::support::upstream::{Upstream, answer, upstream};
use crate::support::websocket::{ACCEPT, KEY, asking, echo, granting, opened, read_all, read_head};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_handshake_becomes_a_tunnel_and_its_headers_are_ours() {
    let upstream = Upstream::talking(echo).await;
    let proxy = proxy(&upstream).start();
    let mut stream = proxy.client().connect(b"http/1.1").await;
    let alice = proxy.logged_in(ALICE).await;
    stream.write_all(asking("/chat", &alice).as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    for line in
        ["connection: upgrade", "upgrade: websocket", "sec-websocket-protocol: chat", "strict-transport"]
    {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(head.contains(&format!("sec-websocket-accept: {}", ACCEPT.to_ascii_lowercase())), "{head}");
    assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");

    stream.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping");
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await, b"", "an end is passed on, and comes back");

    let received = upstream.only();
    assert_eq!(received.header("connection").as_deref(), Some("Upgrade"));
    assert_eq!(received.header("upgrade").as_deref(), Some("websocket"));
    assert_eq!(received.header("sec-websocket-key").as_deref(), Some(KEY));
    assert_eq!(received.header("sec-websocket-protocol").as_deref(), Some("chat"));
    assert_eq!(received.header("x-forwarded-user").as_deref(), Some("alice"));
    proxy.stopped().await;
}

#[tokio::test]
async fn nothing_goes_upstream_before_its_101() {
    let upstream = Upstream::talking(|_, mut line| async move {
        assert_eq!(line.come_so_far().await, b"", "it came too early");
        line.send(granting()).await;
        let early = line.read(5).await;
        line.send(early).await;
    })
    .await;
    let proxy = proxy(&upstream).start();
    let mut stream = proxy.client().connect(b"http/1.1").await;
    let request = asking("/chat", &proxy.logged_in(ALICE).await) + "early";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101 "));
    assert_eq!(read_all(&mut stream).await, b"early");
}

#[tokio::test]
async fn what_follows_a_handshake_that_is_not_granted_is_a_request_like_any_other() {
    for status in ["200 OK", "400 Bad Request", "426 Upgrade Required"] {
        let upstream = Upstream::answering(move |_| answer(status, &[], "no")).await;
        let proxy = proxy(&upstream).route("/", "").route("/admin", "groups = [\"admins\"]").start();
        let bob = proxy.logged_in(BOB).await;
        let next = format!(
            "GET /admin HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\nConnection: close\r\n\r\n",
            bob.header()
        );
        let answers = proxy.client().raw(asking("/chat", &bob) + &next).await;
        assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{answers}");
        assert!(answers.contains("HTTP/1.1 403 "), "{answers}");
        assert_eq!(upstream.received().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn any_other_upgrade_is_stripped() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let websocket = format!("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n");
    for (line, headers) in [
        (
            "GET / HTTP/1.1",
            "Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        ("GET / HTTP/1.1", "Connection: close, Upgrade\r\nUpgrade: foo\r\n"),
        ("GET / HTTP/1.1", "Connection: close\r\nUpgrade: websocket\r\n"),
        ("POST / HTTP/1.1", "Connection: close, Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"),
        ("GET / HTTP/1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ("GET / HTTP/1.1", "Connection: close, Upgrade\r\nUpgrade: websocket, h2c\r\n"),
        (
            "GET / HTTP/1.1",
            "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n",
        ),
        ("GET / HTTP/1.1", "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"),
    ] {
        let request = format!("{line}\r\nHost: {HOST}\r\n{headers}{websocket}\r\n");
        let text = proxy.client().raw(request).await;
        assert!(text.contains(" 200 OK\r\n") && text.ends_with("hello"), "{headers}: {text}");
        let received = upstream.last();
        for name in ["connection", "upgrade", "http2-settings"] {
            assert!(received.all(name).is_empty(), "{headers}: {received:#?}");
        }
    }
    assert_eq!(upstream.received().len(), 8);
}

#[tokio::test]
async fn a_switch_to_anything_else_is_a_bad_gateway() {
    for head in [
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    ] {
        let upstream = Upstream::talking(move |_, mut line| async move {
            line.send(format!("HTTP/1.1 101 Switching Protocols\r\n{head}\r\n")).await;
            assert_eq!(line.ended().await, 0, "nothing passes");
        })
        .await;
        let proxy = proxy(&upstream).start();
        let mut stream = proxy.client().connect(b"http/1.1").await;
        let request = asking("/chat", &proxy.logged_in(ALICE).await);
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 502 "), "{head}");
    }
}

#[tokio::test]
async fn without_a_session_there_is_no_tunnel() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let mut stream = proxy.client().connect(b"http/1.1").await;
    stream.write_all(asking("/chat", &Jar::default()).as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 401 "));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn either_end_that_goes_takes_the_other_with_it() {
    let (gone, mut is_gone) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::talking(move |_, mut line| {
        let gone = gone.clone();
        async move {
            line.send(granting()).await;
            if line.read(4).await == b"quit" {
                return;
            }
            line.ended().await;
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let proxy = proxy(&upstream).start();
    let alice = proxy.logged_in(ALICE).await;

    let mut stream = opened(&proxy, "/chat", &alice).await;
    stream.write_all(b"stay").await.unwrap();
    drop(stream);
    tokio::time::timeout(PATIENCE, is_gone.recv()).await.expect("the upstream hears of it").unwrap();

    let mut stream = opened(&proxy, "/chat", &alice).await;
    stream.write_all(b"quit").await.unwrap();
    assert_eq!(read_all(&mut stream).await, b"");
}

#[tokio::test]
async fn half_of_a_tunnel_goes_on_when_the_other_has_ended() {
    let upstream = Upstream::talking(|_, mut line| async move {
        line.send(granting()).await;
        let came = line.ended().await;
        line.send(format!("{came} bytes, and then an end")).await;
    })
    .await;
    let proxy = proxy(&upstream).start();
    let mut stream = opened(&proxy, "/chat", &proxy.logged_in(ALICE).await).await;
    stream.write_all(&vec![b'x'; 100_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await, b"100000 bytes, and then an end");
}

#[tokio::test]
async fn a_receiver_that_does_not_read_holds_the_other_end_back() {
    let upstream = Upstream::talking(|_, mut line| async move {
        line.send(granting()).await;
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = proxy(&upstream).start();
    let mut stream = opened(&proxy, "/chat", &proxy.logged_in(ALICE).await).await;
    let piece = vec![0; 64 * 1024];
    let mut accepted = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_secs(1), stream.write(&piece)).await {
        accepted += written.unwrap();
        assert!(accepted < 64 << 20, "nothing holds the client back");
    }
    report(&format!("{} KiB were accepted for a server that does not read", accepted / 1024));
}

#[tokio::test]
async fn a_tunnel_on_which_both_ends_are_silent_is_closed() {
    let upstream = Upstream::talking(echo).await;
    let patience = format!(
        "[upstream.patient]\nservers = [\"http://{}\"]\nstream_idle_timeout = \"400ms\"\n\
         [[route]]\npath = \"/patient\"\nupstream = \"patient\"",
        upstream.address()
    );
    let proxy = proxy(&upstream).route("/", "").section(&patience).start();
    let mut stream = opened(&proxy, "/patient", &proxy.logged_in(ALICE).await).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(b"\x81\x80\0\0\0\0").await.unwrap();
        stream.read_exact(&mut [0; 6]).await.unwrap();
    }
    let end = tokio::time::timeout(Duration::from_secs(5), read_all(&mut stream)).await;
    assert_eq!(end.expect("it is closed"), b"\x88\x02\x03\xe9", "1001: going away");
}

#[tokio::test]
async fn a_stop_closes_tunnels_at_the_edge_of_a_frame() {
    let (received, mut at_upstream) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::talking(move |_, mut line| {
        let received = received.clone();
        async move {
            line.send(granting()).await;
            line.send(b"\x81\x05he").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            line.send(b"llo").await;
            received.send(line.read(64).await).await.unwrap();
        }
    })
    .await;
    let proxy = proxy(&upstream).start();
    let mut stream = opened(&proxy, "/chat", &proxy.logged_in(ALICE).await).await;
    let mut begun = [0; 4];
    stream.read_exact(&mut begun).await.unwrap();
    proxy.stop();
    proxy.hurry();
    assert_eq!(read_all(&mut stream).await, b"llo\x88\x02\x03\xe9", "1001: going away");
    let to_upstream = at_upstream.recv().await.unwrap();
    assert_eq!(to_upstream, b"\x88\x82\0\0\0\0\x03\xe9", "masked, as a client's frames are");
    proxy.stopped().await;
}
