//! What passes through, as it passes: streams, trailers, expectations, ends and broken ends.

use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::client::{Jar, parse};
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::report;
use crate::support::upstream::{Upstream, answer, upstream};

const PATIENCE: Duration = Duration::from_secs(10);

/// An event of a stream may take this long from one end to the other.
const AT_ONCE: Duration = Duration::from_millis(50);

const EVENTS: [&str; 5] = ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n", "data: 4\n\n", "data: 5\n\n"];

fn public(upstream: &Upstream) -> Proxy {
    proxy(upstream).route("/", "access = \"public\"").start()
}

fn get(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://{HOST}{path}")).body(()).unwrap()
}

/// Reads on until `text` has come.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(text) {
        let read = timeout(PATIENCE, stream.read_buf(&mut all)).await.expect("it comes in time").unwrap();
        assert!(read > 0, "no {text:?} in {}", String::from_utf8_lossy(&all));
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads to the end, clean or not.
async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("an end in time");
    String::from_utf8_lossy(&all).into_owned()
}

/// An HTTP/2 connection of its own.
async fn http2(proxy: &Proxy) -> h2::client::SendRequest<bytes::Bytes> {
    let stream = proxy.client().connect(b"h2").await;
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

/// An event stream: each event that the test hands in is sent at once.
async fn event_stream() -> (Upstream, mpsc::Sender<&'static str>) {
    let (events, source) = mpsc::channel::<&'static str>(1);
    let source = std::sync::Arc::new(tokio::sync::Mutex::new(source));
    let upstream = Upstream::talking(move |_, mut line| {
        let source = std::sync::Arc::clone(&source);
        async move {
            line.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
            while let Some(event) = source.lock().await.recv().await {
                line.send(event).await;
            }
        }
    })
    .await;
    (upstream, events)
}

/// Each event has to come before the next is sent. What counts is the median: a busy machine may hold up one.
fn at_once(protocol: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let median = took[took.len() / 2];
    report(&format!("{protocol}: an event takes {median:?}, at most {:?}", took.last().unwrap()));
    assert!(median < AT_ONCE, "{protocol}: {took:?}");
}

#[tokio::test]
async fn an_event_arrives_at_once_over_http1() {
    let (upstream, events) = event_stream().await;
    let proxy = public(&upstream);
    let mut stream = proxy.client().connect(b"http/1.1").await;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    read_until(&mut stream, "\r\n\r\n").await;
    let mut took = Vec::new();
    for event in EVENTS {
        let sent = Stopwatch::start();
        events.send(event).await.unwrap();
        read_until(&mut stream, event).await;
        took.push(sent.elapsed());
    }
    at_once("HTTP/1.1", took);
}

#[tokio::test]
async fn an_event_arrives_at_once_over_http2() {
    let (upstream, events) = event_stream().await;
    let proxy = public(&upstream);
    let (answer, _) = http2(&proxy).await.send_request(get("/"), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut took = Vec::new();
    for event in EVENTS {
        let sent = Stopwatch::start();
        events.send(event).await.unwrap();
        let piece = timeout(PATIENCE, body.data()).await.expect("it comes in time").unwrap().unwrap();
        assert_eq!(piece, event);
        took.push(sent.elapsed());
    }
    at_once("HTTP/2", took);
}

#[tokio::test]
async fn a_slow_upstream_holds_the_client_back() {
    let upstream = Upstream::talking(|_, line| async move {
        std::future::pending::<()>().await;
        drop(line);
    })
    .await;
    let proxy = public(&upstream);
    let mut stream = proxy.client().connect(b"http/1.1").await;
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1073741824\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (piece, mut accepted) = (vec![0; 64 * 1024], 0);
    while let Ok(written) = timeout(Duration::from_secs(1), stream.write(&piece)).await {
        accepted += written.unwrap();
        assert!(accepted < 64 << 20, "nothing holds the client back");
    }
    report(&format!("HTTP/1.1: {} KiB accepted for an upstream that does not read", accepted / 1024));

    let request = http::Request::post(format!("https://{HOST}/")).body(()).unwrap();
    let (_answer, mut body) = http2(&proxy).await.send_request(request, false).unwrap();
    let mut accepted = 0;
    loop {
        body.reserve_capacity(64 * 1024);
        let room = timeout(Duration::from_secs(1), std::future::poll_fn(|cx| body.poll_capacity(cx))).await;
        let Ok(room) = room else { break };
        let room = room.unwrap().unwrap();
        body.send_data(vec![0; room].into(), false).unwrap();
        accepted += room;
        assert!(accepted < 64 << 20, "nothing holds the client back");
    }
    report(&format!("HTTP/2: {} KiB accepted for an upstream that does not read", accepted / 1024));
}

#[tokio::test]
async fn a_slow_client_holds_the_upstream_back() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&sent);
    let upstream = Upstream::talking(move |_, mut line| {
        let counter = std::sync::Arc::clone(&counter);
        async move {
            line.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await;
            let piece = vec![0; 64 * 1024];
            while line.send(&piece).await {
                counter.fetch_add(piece.len(), std::sync::atomic::Ordering::SeqCst);
            }
        }
    })
    .await;
    let proxy = public(&upstream);
    let held_back = async |protocol: &str| {
        let mut before = usize::MAX;
        while sent.load(std::sync::atomic::Ordering::SeqCst) != before {
            before = sent.load(std::sync::atomic::Ordering::SeqCst);
            assert!(before < 64 << 20, "nothing holds the upstream back");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        report(&format!("{protocol}: {} KiB accepted for a client that does not read", before / 1024));
    };
    let mut stream = proxy.client().connect(b"http/1.1").await;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    held_back("HTTP/1.1").await;
    drop(stream);
    sent.store(0, std::sync::atomic::Ordering::SeqCst);
    let (answer, _) = http2(&proxy).await.send_request(get("/"), true).unwrap();
    let _unread = answer.await.unwrap();
    held_back("HTTP/2").await;
}

const TRAILING: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Grpc-Status, Set-Cookie\r\n\r\n\
                        5\r\nhello\r\n0\r\nGrpc-Status: 7\r\nSet-Cookie: late=1\r\n\r\n";

#[tokio::test]
async fn trailers_of_an_answer_pass_but_for_those_that_come_too_late() {
    let upstream = Upstream::answering(|_| TRAILING.as_bytes().to_vec()).await;
    let proxy = public(&upstream);
    let asking = |te: &str| format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{te}\r\n");
    let text = proxy.client().raw(asking("TE: gzip, trailers\r\n")).await;
    assert!(text.ends_with("hello\r\n0\r\nGrpc-Status: 7\r\n\r\n"), "{text}");
    assert_eq!(upstream.last().header("te").as_deref(), Some("trailers"));
    let text = proxy.client().raw(asking("")).await;
    assert!(text.ends_with("hello\r\n0\r\n\r\n"), "who does not ask for trailers gets none: {text}");
    assert_eq!(upstream.last().header("te"), None);

    let (answer, _) = http2(&proxy).await.send_request(get("/"), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    let trailers = body.trailers().await.unwrap().unwrap();
    assert_eq!((trailers.len(), &trailers["grpc-status"]), (1, &http::HeaderValue::from_static("7")));
}

#[tokio::test]
async fn interim_answers_do_not_disturb_the_final_one() {
    let upstream = Upstream::answering(|_| {
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n".to_vec();
        [hints, answer("200 OK", &[], "final")].concat()
    })
    .await;
    let proxy = public(&upstream);
    for _ in 0..2 {
        let answer = proxy.client().get("/", &Jar::default()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "final"));
    }
}

/// A request that waits for leave to send its body.
fn expecting(path: &str, expectation: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nExpect: {expectation}\r\n\
         Content-Length: 5\r\n\r\n"
    )
}

#[tokio::test]
async fn a_body_is_asked_for_once_it_is_wanted_and_reachable() {
    let upstream =
        Upstream::answering(|request| answer("200 OK", &[], &request.body.len().to_string())).await;
    let nobody = "[upstream.nobody]\nservers = [\"http://127.0.0.1:1\"]\n\
                  [[route]]\npath = \"/dead\"\nupstream = \"nobody\"\naccess = \"public\"";
    let proxy = proxy(&upstream).route("/", "").route("/open", "access = \"public\"").section(nobody).start();
    let client = proxy.client();

    let mut stream = client.connect(b"http/1.1").await;
    stream.write_all(expecting("/open", "100-Continue").as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    assert_eq!(parse(&read_all(&mut stream).await).body, "5");
    assert_eq!(upstream.only().header("expect"), None, "it is met here");

    for (path, expectation, status) in [
        ("/", "100-continue", "401"),
        ("/dead", "100-continue", "502"),
        ("/open", "y 100-continue", "417"),
        ("/open", "x", "417"),
    ] {
        let text = client.raw(expecting(path, expectation)).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {expectation}: {text}");
    }
    let at_once = client.raw(expecting("/open", "100-continue") + "hello").await;
    assert!(at_once.contains("HTTP/1.1 200 OK\r\n") && at_once.ends_with("\r\n\r\n5"), "{at_once}");
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_passed_on_and_the_rest_is_not_sent() {
    for status in ["413 Content Too Large", "401 Unauthorized", "200 OK"] {
        let (ended, mut has_ended) = mpsc::channel(1);
        let upstream = Upstream::talking(move |request, mut line| {
            let ended = ended.clone();
            async move {
                line.send(answer(status, &[], "early")).await;
                if request.line.starts_with("POST") {
                    ended.send(line.ended().await).await.unwrap();
                }
            }
        })
        .await;
        let proxy = public(&upstream);
        let mut stream = proxy.client().connect(b"http/1.1").await;
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1073741824\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let text = read_all(&mut stream).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")) && text.ends_with("early"), "{text}");
        let came = timeout(PATIENCE, has_ended.recv()).await.expect("its connection is closed");
        assert_eq!(came, Some(0));
        assert_eq!(proxy.client().send("GET /", "").await.body, "early");
        assert_eq!(upstream.last().connection, 1, "on a connection of its own");
    }
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_goes_on_sending() {
    let upstream = Upstream::talking(|_, mut line| async move {
        line.read(100_000).await;
        line.send(answer("413 Content Too Large", &[], "early")).await;
        line.ended().await;
    })
    .await;
    let proxy = public(&upstream);
    for _ in 0..5 {
        let mut stream = proxy.client().connect(b"http/1.1").await;
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1073741824\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // It sends for as long as it can, and only then looks for an answer.
        let piece = vec![0; 64 * 1024];
        let sending = async { while stream.write_all(&piece).await.is_ok() {} };
        let _ = timeout(Duration::from_millis(300), sending).await;
        let text = read_all(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 413 ") && text.ends_with("early"), "{text:?}");
    }
}

#[tokio::test]
async fn http_1_0_is_spoken_on_either_side() {
    let upstream = Upstream::talking(|request, mut line| async move {
        let text = match request.target() {
            "/old" => "HTTP/1.0 200 OK\r\n\r\nto the end".to_owned(),
            _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnew\r\n0\r\n\r\n".to_owned(),
        };
        line.send(text).await;
    })
    .await;
    let proxy = public(&upstream);
    let client = proxy.client();
    for (path, content) in [("/old", "to the end"), ("/new", "new")] {
        let text = client.raw(format!("GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).await;
        let answer = parse(&text);
        assert_eq!((answer.status, answer.body.as_str()), (200, content), "{path}");
        assert_eq!(answer.header("transfer-encoding"), None, "{path}");
    }
    // An old server's answer is framed anew, so that a new client keeps its connection.
    let mut stream = client.connect(b"http/1.1").await;
    for _ in 0..2 {
        stream.write_all(format!("GET /old HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
        let text = read_until(&mut stream, "0\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert_eq!(parse(&text).body, "to the end");
    }
}

#[tokio::test]
async fn an_old_client_may_keep_its_connection() {
    let upstream = upstream().await;
    let proxy = public(&upstream);
    let mut stream = proxy.client().connect(b"http/1.1").await;
    let request = format!("GET / HTTP/1.0\r\nHost: {HOST}\r\nConnection: keep-alive\r\n\r\n");
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut stream, "hello").await.to_ascii_lowercase();
        assert!(head.contains("connection: keep-alive\r\n"), "{head}");
    }
    let closed = proxy.client().raw(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).await;
    assert!(closed.ends_with("hello"));
}

#[tokio::test]
async fn what_has_no_body_keeps_its_headers() {
    let upstream = Upstream::answering(|request| match request.target() {
        "/204" => b"HTTP/1.1 204 No Content\r\nX-Kept: 1\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nX-Kept: 1\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-Kept: 1\r\n\r\n".to_vec(),
    })
    .await;
    let proxy = public(&upstream);
    for (line, status, length) in
        [("HEAD /", 200, Some("1234")), ("GET /204", 204, None), ("GET /304", 304, None)]
    {
        for _ in 0..2 {
            let answer = proxy.client().send(line, "").await;
            assert_eq!((answer.status, answer.body.as_str()), (status, ""), "{line}");
            assert_eq!(answer.header("content-length"), length, "{line}");
            assert_eq!((answer.header("x-kept"), answer.header("transfer-encoding")), (Some("1"), None));
            let (method, path) = line.split_once(' ').unwrap();
            let request = http::Request::builder().method(method).uri(format!("https://{HOST}{path}"));
            let answer = proxy.client().send_h2(request.body(()).unwrap(), b"", None).await.unwrap();
            assert_eq!((answer.status, answer.header("content-length")), (status, length), "{line}");
        }
    }
    assert!(upstream.received().iter().all(|request| request.connection == 0), "it is used again");
}

#[tokio::test]
async fn an_upstream_that_dies_in_the_middle_leaves_a_visible_break() {
    let upstream = Upstream::talking(|request, mut line| async move {
        line.send(match request.target() {
            "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf",
        })
        .await;
    })
    .await;
    let proxy = public(&upstream);
    for path in ["/chunked", "/length"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        let text = proxy.client().raw(request).await;
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(body.contains("half") && !body.contains("0\r\n"), "{path}: {text}");

        let (answer, _) = http2(&proxy).await.send_request(get(path), true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        let broken = loop {
            match timeout(PATIENCE, body.data()).await.expect("an end in time") {
                Some(Ok(piece)) => body.flow_control().release_capacity(piece.len()).unwrap(),
                Some(Err(error)) => break error,
                None => panic!("{path}: a clean end"),
            }
        };
        assert!(broken.is_reset(), "{path}: {broken}");
    }
    let log = proxy.access_log();
    assert_eq!(log.matches("\"complete\":false").count(), 4, "{log}");
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_upstream_at_once() {
    let (freed, mut is_freed) = mpsc::channel(1);
    let upstream = Upstream::talking(move |request, mut line| {
        let freed = freed.clone();
        async move {
            if request.target() == "/answering" {
                line.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun").await;
            }
            line.ended().await;
            freed.send(()).await.unwrap();
        }
    })
    .await;
    let proxy = public(&upstream);
    let upstream_knows = async |came: usize| {
        while upstream.received().len() < came {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mut came = 0;
    for (what, request) in [
        ("waiting", "GET /waiting HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ("answering", "GET /answering HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ("sending", "POST /sending HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nbegun"),
    ] {
        came += 1;
        let mut stream = proxy.client().connect(b"http/1.1").await;
        stream.write_all(request.as_bytes()).await.unwrap();
        upstream_knows(came).await;
        assert!(is_freed.try_recv().is_err(), "{what}: nobody has gone yet");
        drop(stream);
        timeout(Duration::from_secs(1), is_freed.recv()).await.unwrap_or_else(|_| panic!("{what}: at once"));
    }
    for path in ["/waiting", "/answering"] {
        came += 1;
        let (answer, mut body) = http2(&proxy).await.send_request(get(path), true).unwrap();
        let answer = if path == "/answering" { Ok(answer.await.unwrap()) } else { Err(answer) };
        upstream_knows(came).await;
        assert!(is_freed.try_recv().is_err(), "{path}: nobody has gone yet");
        body.send_reset(h2::Reason::CANCEL);
        timeout(Duration::from_secs(1), is_freed.recv()).await.unwrap_or_else(|_| panic!("{path}: at once"));
        drop(answer);
    }
}

#[tokio::test]
async fn an_answer_is_broken_off_where_the_upstream_goes_silent_in_its_middle() {
    let upstream = Upstream::talking(|_, mut line| async move {
        line.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await;
        for _ in 0..10 {
            line.send("a").await;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        assert_eq!(line.ended().await, 0, "the connection is not used again");
    })
    .await;
    let section = format!(
        "[upstream.slow]\nservers = [\"http://{}\"]\nstream_idle_timeout = \"400ms\"\n\
         [[route]]\nupstream = \"slow\"\naccess = \"public\"",
        upstream.address()
    );
    let proxy = proxy(&upstream).route("/other", "").section(&section).start();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let answer = proxy.client().raw(request).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&format!("\r\n\r\n{}", "a".repeat(10))));

    let (answer, _) = http2(&proxy).await.send_request(get("/"), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut came = 0;
    let broken_off = loop {
        match timeout(PATIENCE, body.data()).await.expect("it comes to an end").expect("no proper one") {
            Ok(piece) => came += piece.len(),
            Err(error) => break error,
        }
    };
    assert!(came == 10 && broken_off.is_reset(), "{came} bytes: {broken_off}");
}
