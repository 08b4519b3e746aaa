//! Upstreams that are spoken to by HTTP/2.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::authority::Authority;
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, upstream};

/// A server that answers with the body it got and a trailer, each answer after a permit of `gate`. To a path that ends in
/// a number, so many lines of 4 KiB stand in its head.
struct Server {
    address: SocketAddr,
    seen: Seen,
    connections: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    accepting: JoinHandle<()>,
}

type Seen = Arc<Mutex<Vec<http::request::Parts>>>;

/// What a server does with the second request of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Temper {
    Patient,
    /// It takes one request a connection, says so, and closes it when that is answered.
    Leaves,
    /// It refuses every request but the first one.
    Refuses,
}

impl Server {
    async fn new(tls: Option<TlsAcceptor>, temper: Temper) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (records, counted, opens) = (Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&gate));
        let accepting = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (tls, records, opens) = (tls.clone(), Arc::clone(&records), Arc::clone(&opens));
                tasks.spawn(async move {
                    match tls {
                        Some(tls) => serve(tls.accept(stream).await.unwrap(), records, opens, temper).await,
                        None => serve(stream, records, opens, temper).await,
                    }
                });
            }
        });
        Self { address, seen, connections, gate, accepting }
    }

    async fn plain() -> Self {
        Self::new(None, Temper::Patient).await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn received(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve<S>(stream: S, seen: Seen, gate: Arc<Semaphore>, temper: Temper)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut tasks = tokio::task::JoinSet::new();
    let mut taken = 0;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        taken += 1;
        if temper == Temper::Refuses && taken > 1 {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            continue;
        }
        tasks.spawn(echo(request, respond, Arc::clone(&seen), Arc::clone(&gate)));
        if temper == Temper::Leaves {
            connection.graceful_shutdown();
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn echo(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    seen: Seen,
    gate: Arc<Semaphore>,
) {
    let (parts, mut body) = request.into_parts();
    let lines = parts.uri.path().rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    seen.lock().unwrap().push(parts);
    gate.acquire().await.unwrap().forget();
    let mut head = Response::builder().header("content-type", "application/grpc");
    for number in 0..lines {
        head = head.header(format!("x-{number:04}"), "x".repeat(4090));
    }
    let Ok(mut answer) = respond.send_response(head.body(()).unwrap(), false) else { return };
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        let _ = answer.send_data(piece, false);
    }
    let status = ("grpc-status".parse().unwrap(), HeaderValue::from_static("0"));
    let _ = answer.send_trailers(HeaderMap::from_iter([status]));
}

fn proxy_to(plain: &Upstream, url: &str, keys: &str) -> Proxy {
    let section = format!(
        "[upstream.new]\nservers = [\"{url}\"]\n{keys}\n\
         [[route]]\npath = \"/new\"\nupstream = \"new\"\naccess = \"public\""
    );
    proxy(plain).route("/", "").section(&section).start()
}

fn h2c(server: &Server) -> String {
    format!("h2c://{}", server.address)
}

#[tokio::test]
async fn a_request_is_translated_and_nothing_of_a_connection_passes() {
    let (plain, server) = (upstream().await, Server::plain().await);
    let proxy = proxy_to(&plain, &h2c(&server), "");
    let answer = proxy.client().send("POST /new/x?y=1\nTE: trailers\nX-Sent: yes", "body").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "body"), "{answer:#?}");
    let seen = server.seen.lock().unwrap().remove(0);
    assert_eq!(seen.uri.to_string(), format!("http://{HOST}/new/x?y=1"));
    for (name, value) in [("te", "trailers"), ("x-sent", "yes"), ("content-length", "4")] {
        assert_eq!(seen.headers[name], value);
    }
    for gone in ["host", "connection", "transfer-encoding"] {
        assert!(!seen.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let (plain, server) = (upstream().await, Server::plain().await);
    let proxy = proxy_to(&plain, &h2c(&server), "");
    let stream = proxy.client().connect(b"h2").await;
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = Request::post(format!("https://{HOST}/new"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (answer, mut sending) = client.ready().await.unwrap().send_request(request, false).unwrap();
    // The answer begins before the request has ended: both stream.
    let mut answer = answer.await.unwrap().into_body();
    for piece in ["one", "two"] {
        sending.send_data(piece.into(), false).unwrap();
        assert_eq!(answer.data().await.unwrap().unwrap(), piece);
    }
    sending.send_data(Bytes::new(), true).unwrap();
    while let Some(piece) = answer.data().await {
        assert!(piece.unwrap().is_empty());
    }
    assert_eq!(answer.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    driving.abort();
}

#[tokio::test]
async fn requests_at_the_same_time_share_one_connection() {
    let (plain, server) = (upstream().await, Server::plain().await);
    server.gate.forget_permits(Semaphore::MAX_PERMITS);
    let proxy = proxy_to(&plain, &h2c(&server), "");
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = proxy.client();
        asked.spawn(async move { client.send("GET /new", "").await.status });
    }
    eventually("all are under way", async || server.received() == 20).await;
    server.gate.add_permits(20);
    assert_eq!(asked.join_all().await, [200; 20]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn over_tls_http_2_is_agreed_on() {
    let (plain, authority) = (upstream().await, Authority::new());
    let tls = TlsAcceptor::from(authority.issue("localhost").server("h2"));
    let server = Server::new(Some(tls), Temper::Patient).await;
    let url = format!("https://localhost:{}", server.address.port());
    let proxy = proxy_to(&plain, &url, &format!("ca = {:?}", authority.bundle()));
    for _ in 0..3 {
        assert_eq!(proxy.client().send("POST /new", "body").await.body, "body");
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(server.seen.lock().unwrap()[0].uri.scheme_str(), Some("https"));
}

#[tokio::test]
async fn a_server_that_says_goodbye_after_each_request_loses_none() {
    let (plain, server) = (upstream().await, Server::new(None, Temper::Leaves).await);
    let proxy = proxy_to(&plain, &h2c(&server), "");
    for _ in 0..10 {
        assert_eq!(proxy.client().send("GET /new", "").await.status, 200);
    }
    assert_eq!(server.received(), 10);
}

#[tokio::test]
async fn a_refused_stream_goes_to_another_connection_where_it_may_be_repeated() {
    let (plain, server) = (upstream().await, Server::new(None, Temper::Refuses).await);
    let proxy = proxy_to(&plain, &h2c(&server), "");
    for _ in 0..4 {
        assert_eq!(proxy.client().send("GET /new", "").await.status, 200);
    }
    assert_eq!(proxy.client().send("POST /new", "body").await.status, 502);
    assert_eq!((server.received(), server.connections()), (4, 4));
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_stream_and_leaves_the_connection_to_others() {
    let (plain, server) = (upstream().await, Server::plain().await);
    server.gate.forget_permits(Semaphore::MAX_PERMITS);
    let proxy = proxy_to(&plain, &h2c(&server), "connections = 1");
    let client = proxy.client();
    let impatient = tokio::spawn(async move { client.send("GET /new", "").await.status });
    eventually("it is under way", async || server.received() == 1).await;
    impatient.abort();
    server.gate.add_permits(10);
    assert_eq!(proxy.client().send("GET /new", "").await.status, 200, "its place is free");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_answers_head_has_the_bound_that_it_has_over_http1() {
    let (plain, server) = (upstream().await, Server::plain().await);
    let proxy = proxy_to(&plain, &h2c(&server), "");
    let client = proxy.client();
    let passed = client.send("GET /new/15", "").await;
    assert_eq!((passed.status, passed.all("x-0014").len()), (200, 1));
    assert_eq!(client.send("GET /new/60", "").await.status, 502);
    assert_eq!(client.send("GET /new/1", "").await.status, 200);
}
