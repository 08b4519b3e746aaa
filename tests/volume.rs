//! Bodies of any size pass, and the process does not grow with them.

use std::path::Path;
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Jar};
use crate::support::command::{Running, foregate};
use crate::support::proxy::{HOST, Setup, proxy};
use crate::support::report;
use crate::support::upstream::{Line, Upstream};

const MIB: usize = 1 << 20;

/// By how much the process may grow, whatever passes.
const MOST_GROWTH: usize = 32 * MIB;

/// How long a slow application rests after each mebibyte: it takes a hundred of them a second at most.
const REST: Duration = Duration::from_millis(10);

const PIECE: &[u8] = &[0x5a; 64 * 1024];

/// Takes what is posted and says how much it was; answers a GET with as many bytes as its path says.
async fn application() -> Upstream {
    Upstream::talking(|request, mut line| async move {
        if let Some(length) = request.header("content-length") {
            let length = length.parse().unwrap();
            let came = match request.target() {
                "/slow" => skip_slowly(&mut line, length).await,
                _ => line.skip(length).await,
            };
            let came = came.to_string();
            line.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{came}", came.len())).await;
            return;
        }
        let mut left: usize = request.target()[1..].parse().unwrap();
        line.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n")).await;
        while left > 0 {
            let piece = &PIECE[..left.min(PIECE.len())];
            line.send(piece).await;
            left -= piece.len();
        }
    })
    .await
}

/// Takes a mebibyte at a time and rests: slower than the proxy can pass on, so that the client has to wait.
async fn skip_slowly(line: &mut Line, length: usize) -> usize {
    let mut came = 0;
    while came < length {
        match line.read(MIB.min(length - came)).await.len() {
            0 => break,
            some => came += some,
        }
        tokio::time::sleep(REST).await;
    }
    came
}

async fn up_http1(client: &Client, path: &str, size: usize) {
    let mut stream = client.connect(b"http/1.1").await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..size / PIECE.len() {
        stream.write_all(PIECE).await.unwrap();
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with(&format!("\r\n\r\n{size}")), "{text}");
}

async fn down_http1(client: &Client, size: usize) {
    let mut stream = client.connect(b"http/1.1").await;
    let head = format!("GET /{size} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut buffer, mut came) = (vec![0; PIECE.len()], 0);
    while let length @ 1.. = stream.read(&mut buffer).await.unwrap() {
        came += length;
    }
    assert!((size..size + 1024).contains(&came), "{came} bytes with the head");
}

async fn http2(client: &Client) -> h2::client::SendRequest<bytes::Bytes> {
    let stream = client.connect(b"h2").await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

async fn up_http2(client: &Client, size: usize) {
    let request = http::Request::post(format!("https://{HOST}/")).header("content-length", size);
    let (answer, mut body) = http2(client).await.send_request(request.body(()).unwrap(), false).unwrap();
    let mut left = size;
    while left > 0 {
        body.reserve_capacity(left.min(PIECE.len()));
        let room = std::future::poll_fn(|context| body.poll_capacity(context)).await.unwrap().unwrap();
        let piece = &PIECE[..room.min(left).min(PIECE.len())];
        left -= piece.len();
        body.send_data(bytes::Bytes::from_static(piece), left == 0).unwrap();
    }
    let mut content = answer.await.unwrap().into_body();
    assert_eq!(content.data().await.unwrap().unwrap(), size.to_string());
}

async fn down_http2(client: &Client, size: usize) {
    let request = http::Request::get(format!("https://{HOST}/{size}")).body(()).unwrap();
    let (answer, _) = http2(client).await.send_request(request, true).unwrap();
    let (mut content, mut came) = (answer.await.unwrap().into_body(), 0);
    while let Some(piece) = content.data().await {
        let length = piece.unwrap().len();
        content.flow_control().release_capacity(length).unwrap();
        came += length;
    }
    assert_eq!(came, size);
}

/// The most memory that the process ever had (`VmHWM`).
fn most_memory(process: &Running) -> usize {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.id().to_string()).join("status"));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// The program with an application behind it, and how much memory it had when it was ready.
struct Passing {
    process: Running,
    client: Client,
    before: usize,
    _setup: Setup,
    _upstream: Upstream,
}

impl Passing {
    async fn start() -> Self {
        let upstream = application().await;
        let setup = proxy(&upstream)
            .route("/", "access = \"public\"\nbody_bytes = \"16GiB\"")
            .section("[log]\naccess = false");
        let config = setup.write();
        let folder = config.parent().unwrap();
        let mut process = Running::start(foregate(folder, &["run", "--config", config.to_str().unwrap()]));
        let log = process.logged("serving https");
        let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        let client = Client::new(
            line["address"].as_str().unwrap().parse().unwrap(),
            &folder.join(format!("certs/{HOST}.crt")),
        );
        assert_eq!(client.get("/5", &Jar::default()).await.body.len(), 5);
        let before = most_memory(&process);
        Self { process, client, before, _setup: setup, _upstream: upstream }
    }

    /// The process is no larger than before, by much, after `size` bytes have passed in the way that `what` names.
    fn is_no_larger(&self, size: usize, what: &str) {
        let (before, after) = (self.before, most_memory(&self.process));
        report(&format!("{} MiB {what}: VmHWM {} KiB, then {} KiB", size / MIB, before / 1024, after / 1024));
        assert!(after - before < MOST_GROWTH, "{what}: the process grows with what passes");
    }
}

async fn pass(size: usize) {
    let passing = Passing::start().await;
    up_http1(&passing.client, "/", size).await;
    passing.is_no_larger(size, "up, HTTP/1.1");
    down_http1(&passing.client, size).await;
    passing.is_no_larger(size, "down, HTTP/1.1");
    up_http2(&passing.client, size).await;
    passing.is_no_larger(size, "up, HTTP/2");
    down_http2(&passing.client, size).await;
    passing.is_no_larger(size, "down, HTTP/2");
}

/// To an application that takes less than comes.
async fn slowly(size: usize) {
    let (passing, watch) = (Passing::start().await, Stopwatch::start());
    up_http1(&passing.client, "/slow", size).await;
    let took = watch.elapsed();
    passing.is_no_larger(size, &format!("up in {} s, slow application", took.as_secs()));
    assert!(took >= REST * u32::try_from(size / MIB).unwrap(), "it took them as fast as they came");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_128_mib_for_a_slow_application() {
    slowly(128 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_128_mib() {
    pass(128 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: four times 1 GiB"]
async fn memory_does_not_grow_with_1_gib() {
    pass(1024 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: 10 GiB to an application that takes them slowly"]
async fn memory_does_not_grow_with_10_gib_for_a_slow_application() {
    slowly(10 * 1024 * MIB).await;
}
