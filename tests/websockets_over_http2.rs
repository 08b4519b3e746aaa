//! WebSockets over HTTP/2 (RFC 8441): the same checks, and the same tunnel, as over HTTP/1.1.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::client::Jar;
use crate::support::proxy::{ALICE, HOST, Proxy, proxy};
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, answer, upstream};
use crate::support::websocket::{echoing, granting_to};

const PATIENCE: Duration = Duration::from_secs(10);

/// Masked text of a client's, and what an echo makes of it.
const TEXT: &[u8] = b"\x81\x82\0\0\0\0hi";

/// A client's connection.
struct Client {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    async fn of(proxy: &Proxy) -> Self {
        let stream = proxy.client().connect(b"h2").await;
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        let client = Self { requests, driver };
        eventually("the server's settings come", async || {
            client.requests.is_extended_connect_protocol_enabled()
        })
        .await;
        client
    }

    /// What comes of a handshake, and the client's end of the stream, on which it sends `early` before there is an answer.
    async fn ask(
        &self,
        path: &str,
        jar: &Jar,
        early: &'static [u8],
    ) -> (Response<RecvStream>, SendStream<Bytes>) {
        let request = Request::connect(format!("https://{HOST}{path}"))
            .extension(Protocol::from_static("websocket"))
            .header("cookie", jar.header())
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat");
        let mut ready = self.requests.clone().ready().await.unwrap();
        let (answer, mut sending) = ready.send_request(request.body(()).unwrap(), false).unwrap();
        if !early.is_empty() {
            sending.send_data(Bytes::from_static(early), false).unwrap();
        }
        (timeout(PATIENCE, answer).await.expect("an answer in time").unwrap(), sending)
    }

    async fn open(&self, path: &str, jar: &Jar) -> (RecvStream, SendStream<Bytes>) {
        let (answer, sending) = self.ask(path, jar, b"").await;
        assert_eq!(answer.status(), 200);
        (answer.into_body(), sending)
    }
}

async fn read(body: &mut RecvStream) -> Option<Bytes> {
    let piece = timeout(PATIENCE, body.data()).await.expect("it comes in time")?.unwrap();
    body.flow_control().release_capacity(piece.len()).unwrap();
    Some(piece)
}

/// What still comes until the stream ends, properly or not.
async fn read_all(body: &mut RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(piece)) = timeout(PATIENCE, body.data()).await.expect("an end in time") {
        body.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    all
}

#[tokio::test]
async fn a_stream_becomes_a_tunnel_as_a_connection_does() {
    let upstream = Upstream::talking(echoing).await;
    let proxy = proxy(&upstream).start();
    let (client, alice) = (Client::of(&proxy).await, proxy.logged_in(ALICE).await);
    let (answer, mut sending) = client.ask("/chat?x=1", &alice, b"").await;
    assert_eq!(answer.status(), 200);
    let headers: &HeaderMap = answer.headers();
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    assert!(headers.contains_key("strict-transport-security") && headers.contains_key("x-request-id"));
    for name in ["connection", "upgrade", "sec-websocket-accept", "content-length", "transfer-encoding"] {
        assert!(!headers.contains_key(name), "{name}: {headers:?}");
    }
    let mut body = answer.into_body();
    sending.send_data(Bytes::from_static(TEXT), false).unwrap();
    assert_eq!(read(&mut body).await.as_deref(), Some(TEXT));
    sending.send_data(Bytes::new(), true).unwrap();
    assert_eq!(read_all(&mut body).await, b"", "an end is passed on, and comes back");

    let received = upstream.only();
    assert_eq!(received.line, "GET /chat?x=1 HTTP/1.1");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat"),
        ("x-forwarded-user", "alice"),
        ("host", HOST),
    ] {
        assert_eq!(received.header(name).as_deref(), Some(value), "{name}");
    }
    assert!(proxy.access_log().contains("\"path\":\"/chat\""));
    proxy.stopped().await;
}

#[tokio::test]
async fn nothing_goes_upstream_without_a_session_or_before_the_upstream_agrees() {
    let upstream = Upstream::talking(|request, mut line| async move {
        assert_eq!(line.come_so_far().await, b"", "it came too early");
        line.send(granting_to(&request)).await;
        let early = line.read(5).await;
        line.send(early).await;
    })
    .await;
    let proxy = proxy(&upstream).start();
    let client = Client::of(&proxy).await;
    assert_eq!(client.ask("/chat", &Jar::default(), b"early").await.0.status(), 401);
    assert!(upstream.received().is_empty());
    let (answer, _sending) = client.ask("/chat", &proxy.logged_in(ALICE).await, b"early").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(read_all(&mut answer.into_body()).await, b"early");
}

#[tokio::test]
async fn where_there_is_no_tunnel_no_answer_says_that_there_is_one() {
    for (status, told) in
        [("200 OK", 400), ("204 No Content", 400), ("403 Forbidden", 403), ("426 Upgrade", 426)]
    {
        let upstream = Upstream::answering(move |_| answer(status, &[], "")).await;
        let proxy = proxy(&upstream).start();
        let (client, alice) = (Client::of(&proxy).await, proxy.logged_in(ALICE).await);
        assert_eq!(client.ask("/chat", &alice, b"early").await.0.status(), told, "{status}");
        assert_eq!(client.ask("/_foregate/login", &Jar::default(), b"").await.0.status(), 400);
        assert_eq!(upstream.only().body, b"");
    }
    let upstream = Upstream::talking(|_, mut line| async move {
        line.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .await;
        assert_eq!(line.ended().await, 0, "nothing passes");
    })
    .await;
    let proxy = proxy(&upstream).start();
    let (client, alice) = (Client::of(&proxy).await, proxy.logged_in(ALICE).await);
    assert_eq!(client.ask("/chat", &alice, b"early").await.0.status(), 502);
}

#[tokio::test]
async fn another_sites_page_gets_no_tunnel() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (client, alice) = (Client::of(&proxy).await, proxy.logged_in(ALICE).await);
    let request = Request::connect(format!("https://{HOST}/chat"))
        .extension(Protocol::from_static("websocket"))
        .header("cookie", alice.header())
        .header("origin", "https://evil.test")
        .header("sec-websocket-version", "13");
    let mut ready = client.requests.clone().ready().await.unwrap();
    let (answer, _sending) = ready.send_request(request.body(()).unwrap(), false).unwrap();
    assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap().status(), 403);
    assert!(upstream.received().is_empty());
    assert_eq!(proxy.events("cross_site_refused").len(), 1);
}

#[tokio::test]
async fn other_protocols_are_refused_unheard() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let client = Client::of(&proxy).await;
    for protocol in ["connect-udp", "WebSocket", "h2c", "connect-ip"] {
        let request = Request::connect(format!("https://{HOST}/"))
            .extension(Protocol::from(protocol))
            .header("sec-websocket-version", "13");
        let mut ready = client.requests.clone().ready().await.unwrap();
        let (answer, mut sending) = ready.send_request(request.body(()).unwrap(), false).unwrap();
        sending.send_data("hello".into(), true).unwrap();
        assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap().status(), 405, "{protocol}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_tunnel_ends_with_the_session_and_the_connection_goes_on() {
    let upstream = Upstream::talking(echoing).await;
    let proxy = proxy(&upstream).start();
    let mut alice = proxy.logged_in(ALICE).await;
    let client = Client::of(&proxy).await;
    let (mut body, mut sending) = client.open("/chat", &alice).await;
    sending.send_data(Bytes::from_static(TEXT), false).unwrap();
    assert_eq!(read(&mut body).await.as_deref(), Some(TEXT));
    assert_eq!(proxy.count("foregate_rides"), 1);
    proxy.client().log_out(&mut alice).await;
    assert_eq!(read_all(&mut body).await, b"\x88\x02\x11\x31", "4401");
    eventually("nothing rides any more", async || proxy.count("foregate_rides") == 0).await;
    assert_eq!(client.ask("/chat", &alice, b"").await.0.status(), 401);
}

#[tokio::test]
async fn a_tunnel_keeps_its_connection_and_nothing_else_does() {
    let upstream = Upstream::talking(echoing).await;
    let limits = "[server.limits]\nidle_timeout = \"300ms\"\nwrite_timeout = \"300ms\"";
    let proxy = proxy(&upstream).section(limits).start();
    let client = Client::of(&proxy).await;
    let (mut body, mut sending) = client.open("/chat", &proxy.logged_in(ALICE).await).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    sending.send_data(Bytes::from_static(TEXT), false).unwrap();
    assert_eq!(read(&mut body).await.as_deref(), Some(TEXT));
    assert!(!client.driver.is_finished());
    sending.send_data(Bytes::new(), true).unwrap();
    assert_eq!(read_all(&mut body).await, b"");
    eventually("it is idle now", async || client.driver.is_finished()).await;
}

#[tokio::test]
async fn a_client_that_gives_its_stream_up_takes_the_upstreams_end_with_it() {
    let (gone, mut is_gone) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::talking(move |request, mut line| {
        let gone = gone.clone();
        async move {
            line.send(granting_to(&request)).await;
            line.ended().await;
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let proxy = proxy(&upstream).start();
    let client = Client::of(&proxy).await;
    let (body, mut sending) = client.open("/chat", &proxy.logged_in(ALICE).await).await;
    sending.send_reset(h2::Reason::CANCEL);
    timeout(PATIENCE, is_gone.recv()).await.expect("the upstream hears of it").unwrap();
    drop(body);
}

#[tokio::test]
async fn a_stop_closes_tunnels_and_then_the_connection() {
    let upstream = Upstream::talking(echoing).await;
    let proxy = proxy(&upstream).start();
    let client = Client::of(&proxy).await;
    let (mut body, _sending) = client.open("/chat", &proxy.logged_in(ALICE).await).await;
    proxy.stop();
    proxy.hurry();
    assert_eq!(read_all(&mut body).await, b"\x88\x02\x03\xe9", "1001: going away");
    proxy.stopped().await;
}
