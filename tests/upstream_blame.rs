//! Whose fault it is that a request fails: a server's, its client's, or nobody's. Servers that are blamed get no further
//! requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use foregate::base::clock::Stopwatch;
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::client::parse;
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, upstream};

/// What servers speak.
const PROTOCOLS: [&str; 2] = ["http", "h2c"];

/// A server that answers once it has the whole request; under `/silent` it never does, under `/hasty` at once, and under
/// `/endless` its answer does not end; under `/quoted` a header of its answer has no name of HTTP/1.
struct Server {
    address: SocketAddr,
    heads: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    /// How much of a request came that was answered at once.
    uploads: mpsc::UnboundedReceiver<Upload>,
    accepting: JoinHandle<()>,
}

/// What came of an upload, and whether that was all.
type Upload = (usize, Result<(), hyper::Error>);

impl Server {
    async fn speaking(scheme: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, made) = (Arc::clone(&heads), Arc::clone(&connections));
        let (uploaded, uploads) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                made.fetch_add(1, Ordering::SeqCst);
                let (seen, uploaded) = (Arc::clone(&seen), uploaded.clone());
                let service = service_fn(move |request| {
                    seen.fetch_add(1, Ordering::SeqCst);
                    respond(request, uploaded.clone())
                });
                tasks.spawn(async move {
                    let stream = TokioIo::new(stream);
                    let _ = if scheme == "http" {
                        http1::Builder::new().serve_connection(stream, service).await
                    } else {
                        http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
                    };
                });
            }
        });
        Self { address, heads, connections, uploads, accepting }
    }

    fn heads(&self) -> usize {
        self.heads.load(Ordering::SeqCst)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn respond(
    request: Request<Incoming>,
    uploaded: mpsc::UnboundedSender<Upload>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    match request.uri().path() {
        "/app/hasty" => {
            tokio::spawn(async move { uploaded.send(read(request.into_body()).await) });
        }
        "/app/quoted" => {
            let answer = Response::builder().header("quo\"ted", "x").body(Full::default().boxed());
            return Ok(answer.unwrap());
        }
        "/app/endless" => return Ok(Response::new(Endless.boxed())),
        "/app/silent" => {
            request.into_body().collect().await?;
            std::future::pending::<()>().await;
        }
        _ => {
            request.into_body().collect().await?;
        }
    }
    Ok(Response::new(Full::from("well").boxed()))
}

/// Nothing, for ever.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

async fn read(mut body: Incoming) -> Upload {
    let mut came = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => came += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => return (came, Err(error)),
        }
    }
    (came, Ok(()))
}

/// A proxy that takes one failure for a sign of what follows.
fn before(plain: &Upstream, url: &str, keys: &str) -> Proxy {
    let section = format!(
        "[upstream.other]\nservers = [\"{url}\"]\n{keys}\n\
         [upstream.other.health]\neject_after = 1\neject_for = \"1h\"\n\
         [[route]]\npath = \"/app\"\nupstream = \"other\"\naccess = \"public\""
    );
    proxy(plain).section("[server.limits]\nbody_idle_timeout = \"500ms\"").section(&section).start()
}

fn is_in(proxy: &Proxy, url: &str) -> bool {
    proxy.count(&format!("foregate_upstream_server_in{{upstream=\"other\",server=\"{url}\"}}")) == 1
}

fn half_a_post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 8\r\nConnection: close\r\n\r\nhalf")
}

#[tokio::test]
async fn a_client_that_breaks_its_upload_off_is_to_blame_itself() {
    for scheme in PROTOCOLS {
        let (plain, server) = (upstream().await, Server::speaking(scheme).await);
        let url = format!("{scheme}://{}", server.address);
        let proxy = before(&plain, &url, "");
        for uploads in 1..=3 {
            let mut stream = proxy.client().connect(b"http/1.1").await;
            stream.write_all(half_a_post("/app").as_bytes()).await.unwrap();
            eventually("it is under way", async || server.heads() == uploads).await;
            drop(stream);
            let given_up = async || proxy.access_log().lines().count() == uploads;
            eventually("it is given up", given_up).await;
        }
        assert!(is_in(&proxy, &url), "{scheme}");
        assert_eq!(proxy.client().send("GET /app", "").await.body, "well");
        let connections = if scheme == "h2c" { 1 } else { 4 };
        assert_eq!(server.connections(), connections, "a connection that others share is none the worse");
    }
}

#[tokio::test]
async fn an_upload_that_stalls_is_its_clients_fault_and_an_answer_that_does_not_come_the_servers() {
    for scheme in PROTOCOLS {
        let (plain, server) = (upstream().await, Server::speaking(scheme).await);
        let url = format!("{scheme}://{}", server.address);
        let proxy = before(&plain, &url, "response_timeout = \"100ms\"");
        let mut stream = proxy.client().connect(b"http/1.1").await;
        stream.write_all(half_a_post("/app").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap_or_default();
        assert_eq!(parse(&text).status, 408, "{scheme}");
        assert!(is_in(&proxy, &url), "{scheme}");

        assert_eq!(proxy.client().send("POST /app/silent", "whole").await.status, 504, "{scheme}");
        assert!(!is_in(&proxy, &url), "{scheme}");
    }
}

#[tokio::test]
async fn an_answer_that_http_1_cannot_write_is_garbage() {
    let (plain, server) = (upstream().await, Server::speaking("h2c").await);
    let url = format!("h2c://{}", server.address);
    let proxy = before(&plain, &url, "");
    assert_eq!(proxy.client().send("GET /app/quoted", "").await.status, 502);
    assert!(!is_in(&proxy, &url));
}

#[tokio::test]
async fn what_nobody_wants_is_not_uploaded() {
    let (plain, mut server) = (upstream().await, Server::speaking("h2c").await);
    let url = format!("h2c://{}", server.address);
    let proxy = before(&plain, &url, "connections = 1\nwaiting = 0");
    let (client, connection) = h2::client::handshake(proxy.client().connect(b"h2").await).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::builder().method(Method::POST).uri(format!("https://{HOST}/app/hasty")).body(());
    let (answer, mut upload) = client.ready().await.unwrap().send_request(request.unwrap(), false).unwrap();
    upload.send_data(Bytes::from_static(b"half"), false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let (came, end) = server.uploads.recv().await.unwrap();
    assert!(came <= 4 && end.is_err(), "{came} bytes, {end:?}");
    eventually("its place is free", async || proxy.client().send("GET /app", "").await.status == 200).await;
    drop(upload);
    driver.abort();
}

#[tokio::test]
async fn who_finds_no_place_anywhere_has_waited_once_in_all() {
    let plain = upstream().await;
    let servers =
        [Server::speaking("http").await, Server::speaking("http").await, Server::speaking("http").await];
    let urls = servers.each_ref().map(|server| format!("http://{}", server.address)).join("\", \"");
    let proxy = before(&plain, &urls, "connections = 1\nresponse_timeout = \"2s\"");
    let _held: JoinSet<_> = (0..3)
        .map(|_| {
            let client = proxy.client();
            async move { client.send("GET /app/endless", "").await.status }
        })
        .collect();
    eventually("all places are taken", async || servers.iter().all(|server| server.heads() == 1)).await;
    let watch = Stopwatch::start();
    assert_eq!(proxy.client().send("GET /app", "").await.status, 503);
    let waited = watch.elapsed();
    assert!(waited < Duration::from_secs(4), "{waited:?}, where each server alone is worth 2 s");
}

#[tokio::test]
async fn who_waits_for_a_connection_that_another_opens_blames_no_server_for_that() {
    let (plain, mute) = (upstream().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("https://{}", mute.local_addr().unwrap());
    let proxy = before(&plain, &url, "connect_timeout = \"300ms\"");
    let asking: JoinSet<_> = (0..5)
        .map(|_| {
            let client = proxy.client();
            async move { client.send("GET /app", "").await.status }
        })
        .collect();
    let mut statuses = asking.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [502, 503, 503, 503, 503]);
}
