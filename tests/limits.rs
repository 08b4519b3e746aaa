//! Every limit at its edge: one below passes, one above gets its status, and the process goes on.

use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Jar, parse};
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::upstream::{Upstream, answer, upstream};

fn limited(upstream: &Upstream, limits: &str) -> Proxy {
    proxy(upstream).route("/", "access = \"public\"").section(&format!("[server.limits]\n{limits}")).start()
}

/// A request whose head has exactly so many bytes of header lines.
fn with_header_bytes(bytes: usize) -> String {
    let fixed = format!("host: {HOST}\r\nconnection: close\r\nx: \r\n").len();
    format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nX: {}\r\n\r\n", "a".repeat(bytes - fixed))
}

async fn still_serves(proxy: &Proxy) {
    assert_eq!(proxy.client().get("/", &Jar::default()).await.status, 200, "the process goes on");
}

#[tokio::test]
async fn a_target_and_headers_have_their_lengths() {
    let upstream = upstream().await;
    let proxy = limited(&upstream, "uri_bytes = \"1KiB\"\nheader_bytes = \"4KiB\"\nheader_count = 20");
    let client = proxy.client();
    let target = |bytes: usize| format!("GET /{}", "a".repeat(bytes - 1));
    assert_eq!(client.send(&target(1024), "").await.status, 200);
    let refused = client.send(&target(1025), "").await;
    assert_eq!(refused.status, 414);
    assert!(refused.body.contains("uri-too-long") && refused.header("x-request-id").is_some());

    assert_eq!(parse(&client.raw(with_header_bytes(4096)).await).status, 200);
    let refused = parse(&client.raw(with_header_bytes(4097)).await);
    assert_eq!((refused.status, refused.body.contains("headers-too-large")), (431, true));

    let lines = |count: usize| "x: 1\n".repeat(count - 2);
    assert_eq!(client.send(&format!("GET /\n{}", lines(20)), "").await.status, 200);
    assert_eq!(client.send(&format!("GET /\n{}", lines(21)), "").await.status, 431);
    assert_eq!(upstream.received().len(), 3);
    still_serves(&proxy).await;
}

#[tokio::test]
async fn the_same_lengths_hold_over_http2() {
    let upstream = upstream().await;
    let proxy = limited(&upstream, "uri_bytes = \"1KiB\"\nheader_bytes = \"4KiB\"\nheader_count = 20");
    let client = proxy.client();
    let get = |path: String, count: usize| {
        let mut request = http::Request::get(format!("https://{HOST}{path}"));
        for _ in 0..count {
            request = request.header("x", "1");
        }
        request.body(()).unwrap()
    };
    for (request, status) in [
        (get(format!("/{}", "a".repeat(1023)), 0), 200),
        (get(format!("/{}", "a".repeat(1024)), 0), 414),
        (get("/".to_owned(), 20), 200),
        (get("/".to_owned(), 21), 431),
    ] {
        assert_eq!(client.send_h2(request, b"", None).await.unwrap().status, status);
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_before_it_is_read() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream)
        .route("/", "access = \"public\"")
        .route("/small", "access = \"public\"\nbody_bytes = \"10B\"")
        .section("[server.limits]\nbody_bytes = \"1KiB\"")
        .start();
    let client = proxy.client();
    assert_eq!(client.send("POST /", &"x".repeat(1024)).await.status, 200);
    assert_eq!(client.send("POST /small", &"x".repeat(10)).await.status, 200);
    let only_a_head = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
    };
    for (path, length) in [("/", 1025), ("/small", 11)] {
        let refused = client.raw(only_a_head(path, length)).await;
        assert!(refused.starts_with("HTTP/1.1 413"), "not even asked for: {refused}");
        assert!(refused.contains("too-large"), "{refused}");
    }
    assert_eq!(upstream.received().len(), 2);

    let chunked = |bytes: usize| {
        format!(
            "POST /small HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             {bytes:x}\r\n{}\r\n0\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    assert!(client.raw(chunked(10)).await.starts_with("HTTP/1.1 200"));
    assert!(client.raw(chunked(11)).await.starts_with("HTTP/1.1 413"));
    still_serves(&proxy).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let upstream = upstream().await;
    let proxy = limited(&upstream, "body_idle_timeout = \"150ms\"");
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\n12345");
    let answer = proxy.client().raw(head).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request-timeout"), "{answer}");
    still_serves(&proxy).await;
}

/// How long the server keeps a connection on which the client does this and then nothing.
async fn kept_open(client: &Client, alpn: &[u8], bytes: &[u8]) -> Duration {
    let mut stream = client.connect(alpn).await;
    stream.write_all(bytes).await.unwrap();
    let watch = Stopwatch::start();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    let _ = closed.await.expect("the server closes the connection");
    watch.elapsed()
}

#[tokio::test]
async fn a_silent_connection_and_a_head_that_does_not_end_are_closed_each_in_its_time() {
    let upstream = upstream().await;
    let proxy = limited(&upstream, "header_timeout = \"200ms\"\nidle_timeout = \"1200ms\"");
    let client = proxy.client();
    let head = kept_open(&client, b"http/1.1", b"GET / HTTP/1.1\r\nHost: app").await;
    assert!((150..1000).contains(&head.as_millis()), "{head:?}");
    let silent = kept_open(&client, b"http/1.1", b"").await;
    assert!(silent.as_millis() >= 1100, "{silent:?}");
    let after = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let kept_alive = kept_open(&client, b"http/1.1", after.as_bytes()).await;
    assert!(kept_alive.as_millis() >= 1100, "{kept_alive:?}");
    let no_preface = kept_open(&client, b"h2", b"").await;
    assert!((1100..5000).contains(&no_preface.as_millis()), "{no_preface:?}");
    let no_request = kept_open(&client, b"h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!((1100..5000).contains(&no_request.as_millis()), "{no_request:?}");
    still_serves(&proxy).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let upstream = upstream().await;
    let proxy = limited(&upstream, "handshake_timeout = \"150ms\"");
    let mut stream = tokio::net::TcpStream::connect(proxy.https).await.unwrap();
    let mut nothing = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut nothing)).await;
    assert!(closed.is_ok() && nothing.is_empty());
    still_serves(&proxy).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection_and_no_other() {
    let upstream = Upstream::answering(|request| match request.target() {
        "/large" => answer("200 OK", &[], &"x".repeat(64 << 20)),
        _ => answer("200 OK", &[], "small"),
    })
    .await;
    let proxy = limited(&upstream, "write_timeout = \"300ms\"");
    let mut stream = proxy.client().connect(b"http/1.1").await;
    stream.write_all(format!("GET /large HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    while !proxy.access_log().contains("\"path\":\"/large\"") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(proxy.access_log().contains("\"complete\":false"));

    // Over HTTP/2 the client never opens its window.
    let client = proxy.client();
    let mut builder = h2::client::Builder::new();
    let connected = builder.initial_window_size(0).handshake::<_, bytes::Bytes>(client.connect(b"h2").await);
    let (h2, connection) = connected.await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::get(format!("https://{HOST}/large")).body(()).unwrap();
    let (answer, _) = h2.ready().await.unwrap().send_request(request, true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let reset = tokio::time::timeout(Duration::from_secs(10), body.data()).await.expect("it is reset");
    assert!(reset.unwrap().unwrap_err().is_reset());
    driver.abort();
    still_serves(&proxy).await;
}

#[tokio::test]
async fn beyond_the_limit_newcomers_wait_and_one_client_cannot_have_all() {
    let upstream = upstream().await;
    let proxy = limited(&upstream, "connections = 2");
    let first = proxy.client().connect(b"http/1.1").await;
    let second = proxy.client().connect(b"http/1.1").await;
    let client = proxy.client();
    let third = tokio::spawn(async move { client.get("/", &Jar::default()).await.status });
    tokio::task::yield_now().await;
    assert!(!third.is_finished());
    drop(first);
    assert_eq!(third.await.unwrap(), 200);
    drop(second);

    let proxy = limited(&upstream, "connections_per_client = 1");
    let held = proxy.client().connect(b"http/1.1").await;
    let mut refused = tokio::net::TcpStream::connect(proxy.https).await.unwrap();
    assert_eq!(refused.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed at once");
    drop(held);
    while proxy.count(&format!("foregate_connections{{listener=\"{}\"}}", proxy.https)) > 0 {
        tokio::task::yield_now().await;
    }
    still_serves(&proxy).await;
}

#[tokio::test]
async fn a_client_that_gives_up_request_after_request_is_cut_off() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let upstream = Upstream::answering_when(|_| answer("200 OK", &[], ""), gate).await;
    let proxy = limited(&upstream, "h2_resets_per_second = 10");
    let client = proxy.client();
    let (h2, connection) = h2::client::handshake(client.connect(b"h2").await).await.unwrap();
    let driver = tokio::spawn(connection);
    for number in 0..1_000 {
        let Ok(mut ready) = h2.clone().ready().await else {
            assert!(number > 10, "so many are allowed: {number}");
            return;
        };
        let request = http::Request::get(format!("https://{HOST}/")).body(()).unwrap();
        let Ok((_, mut stream)) = ready.send_request(request, true) else { return };
        while upstream.received().len() <= number && !driver.is_finished() {
            tokio::task::yield_now().await;
        }
        stream.send_reset(h2::Reason::CANCEL);
    }
    panic!("a thousand requests were given up without a consequence");
}

#[tokio::test]
async fn heads_larger_than_a_buffer_pass_whole_where_they_may() {
    let upstream = upstream().await;
    let proxy = limited(&upstream, "header_bytes = \"128KiB\"\nheader_count = 300");
    let client = proxy.client();
    for (kib, status) in [(100, 200), (140, 431)] {
        // No line of it is longer than others take.
        let lines: Vec<String> =
            (0..kib).map(|number| format!("X-{number:04}: {}", "x".repeat(1015))).collect();
        assert_eq!(client.send(&format!("GET /\n{}", lines.join("\n")), "").await.status, status, "{kib}");
        let mut request = http::Request::get(format!("https://{HOST}/"));
        for line in &lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let answer = client.send_h2(request.body(()).unwrap(), b"", None).await.unwrap();
        assert_eq!(answer.status, status, "{kib}");
    }
    let received = upstream.received();
    assert_eq!(received.len(), 2);
    for request in received {
        let long = request.headers.iter().filter(|(_, value)| value.len() == 1015);
        assert_eq!(long.count(), 100);
    }
    still_serves(&proxy).await;
}

#[tokio::test]
async fn an_answers_head_has_a_bound_and_beyond_it_the_connection_is_thrown_away() {
    let upstream = Upstream::answering(|request| {
        let lines = request.target().trim_start_matches('/').parse().unwrap_or(0);
        let lines: Vec<(String, String)> =
            (0..lines).map(|number| (format!("X-{number:04}"), "x".repeat(4087))).collect();
        let lines: Vec<(&str, &str)> = lines.iter().map(|(name, value)| (&**name, &**value)).collect();
        answer("200 OK", &lines, "hello")
    })
    .await;
    let proxy = limited(&upstream, "");
    let client = proxy.client();
    let passed = client.send("GET /15", "").await;
    assert_eq!((passed.status, passed.all("x-0014").len()), (200, 1));
    assert_eq!(upstream.connections(), 1);
    assert_eq!(client.send("GET /60", "").await.status, 502);
    assert_eq!(client.send("GET /1", "").await.status, 200);
    assert!(upstream.connections() > 1, "the one that it came on is not used again");
    still_serves(&proxy).await;
}
