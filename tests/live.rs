//! What rides on a session, and that it ends with it: WebSockets, streams, downloads, uploads, long polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::support::client::Jar;
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, Setup, proxy};
use crate::support::redis::RedisServer;
use crate::support::report;
use crate::support::settle::eventually;
use crate::support::upstream::{Line, Received, Upstream};
use crate::support::websocket::{self, echo, read_all};

type Stream = Box<TlsStream<TcpStream>>;

const PATIENCE: Duration = Duration::from_secs(10);

/// What rides on a session outlives it by less.
const AT_MOST: Duration = Duration::from_secs(1);

/// An hour at most, ten minutes without use; but who stays signed in has longer.
const LIFETIMES: &str = "idle_timeout = \"10m\"\nabsolute_timeout = \"1h\"\nrotate_every = \"1h\"";

/// Who waits for so long rides.
const MOMENT: Duration = Duration::from_millis(250);

const MINUTE: Duration = Duration::from_secs(60);

/// Masked frames of a client: a text, and a ping.
const TEXT: &[u8] = b"\x81\x82\0\0\0\0hi";
const PING: &[u8] = b"\x89\x82\0\0\0\0hi";

/// A close frame of a server that says 4401.
const OVER: &[u8] = b"\x88\x02\x11\x31";

/// The whole of a download, of which a small part comes at once.
const LENGTH: usize = 10_000_000;

/// An application whose answers never end by themselves.
struct Endless {
    upstream: Upstream,
    /// How many of its conversations are over.
    broken_off: Arc<AtomicUsize>,
}

async fn endless() -> Endless {
    let broken_off = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&broken_off);
    let upstream = Upstream::talking(move |request, line| {
        let counter = Arc::clone(&counter);
        async move {
            talk(request, line).await;
            counter.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    Endless { upstream, broken_off }
}

async fn talk(request: Received, mut line: Line) {
    match request.target().rsplit('/').next().unwrap_or_default() {
        "chat" => return echo(request, line).await,
        "events" => {
            line.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await;
        }
        "download" => {
            line.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
            line.send(vec![b'x'; 1_000]).await;
        }
        "flood" => {
            line.send("HTTP/1.1 200 OK\r\n\r\n").await;
            while line.send(vec![b'x'; 64 * 1024]).await {}
        }
        "small" => {
            line.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun").await;
        }
        _ => {}
    }
    line.ended().await;
}

impl Endless {
    async fn breaks_off(&self, count: usize) {
        eventually("the application hears of it", async || self.broken_off.load(Ordering::SeqCst) >= count)
            .await;
    }
}

/// How many rides the proxy counts.
fn rides(proxy: &Proxy) -> u64 {
    proxy.count("foregate_rides")
}

async fn sent(proxy: &Proxy, jar: &Jar, head: &str) -> Stream {
    let mut stream = Box::new(proxy.client().connect(b"http/1.1").await);
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let text = format!("{line} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n{headers}\r\n", jar.header());
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn read_until(stream: &mut Stream, text: &str) -> String {
    let mut all = Vec::new();
    loop {
        let read = timeout(PATIENCE, stream.read_buf(&mut all)).await.expect("it comes in time").unwrap();
        let heard = String::from_utf8_lossy(&all);
        if heard.contains(text) {
            return heard.into_owned();
        }
        assert!(read > 0, "no {text:?} in {heard}");
    }
}

/// A WebSocket that is open.
async fn opened(proxy: &Proxy, path: &str, jar: &Jar) -> Stream {
    Box::new(websocket::opened(proxy, path, jar).await)
}

/// Sends `frame` and hears its echo.
async fn echoes(stream: &mut Stream, frame: &[u8]) {
    stream.write_all(frame).await.unwrap();
    let mut echoed = vec![0; frame.len()];
    timeout(PATIENCE, stream.read_exact(&mut echoed)).await.expect("an echo in time").unwrap();
    assert_eq!(echoed, frame);
}

/// What one browser has open.
struct Open {
    chat: Stream,
    events: Stream,
    download: Stream,
    upload: Stream,
    poll: Stream,
    events_h2: h2::RecvStream,
}

/// So much of it rides.
const RIDES: u64 = 6;

impl Open {
    /// All of it, as far as it goes by itself.
    async fn by(proxy: &Proxy, jar: &Jar) -> Self {
        let before = rides(proxy);
        let mut chat = opened(proxy, "/chat", jar).await;
        echoes(&mut chat, TEXT).await;
        let mut events = sent(proxy, jar, "GET /events").await;
        read_until(&mut events, "data: 1").await;
        let mut download = sent(proxy, jar, "GET /download").await;
        read_until(&mut download, "xxx").await;
        let upload = sent(proxy, jar, &format!("POST /upload\nContent-Length: {LENGTH}\r\n")).await;
        let poll = sent(proxy, jar, "GET /poll").await;
        let mut events_h2 = answer_h2(proxy, jar, "/events").await;
        events_h2.data().await.unwrap().unwrap();
        eventually("everything rides", async || rides(proxy) == before + RIDES).await;
        Self { chat, events, download, upload, poll, events_h2 }
    }

    /// That all of it ends, none of it as if it were whole.
    async fn breaks_off(mut self) {
        assert_eq!(read_all(&mut self.chat).await, OVER);
        let events = read_all(&mut self.events).await;
        assert!(!events.ends_with(b"0\r\n\r\n"), "a clean end: {events:?}");
        assert!(read_all(&mut self.download).await.len() < LENGTH);
        for waiting in [&mut self.upload, &mut self.poll] {
            let refused = read_until(waiting, "login-required").await;
            assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
        }
        let reset = timeout(PATIENCE, self.events_h2.data()).await.expect("an end in time");
        assert!(reset.expect("no clean end").unwrap_err().is_reset());
    }

    /// That all of it is still there.
    async fn goes_on(&mut self) {
        echoes(&mut self.chat, TEXT).await;
        let mut byte = [0];
        for stream in [&mut self.events, &mut self.download, &mut self.upload, &mut self.poll] {
            let read = timeout(Duration::from_millis(20), stream.read(&mut byte)).await;
            assert!(!matches!(read, Ok(Ok(0) | Err(_))), "it has ended: {read:?}");
        }
        assert!(timeout(Duration::from_millis(20), self.events_h2.data()).await.is_err());
    }
}

async fn answer_h2(proxy: &Proxy, jar: &Jar, path: &str) -> h2::RecvStream {
    let stream = proxy.client().connect(b"h2").await;
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("https://{HOST}{path}")).header("cookie", jar.header());
    let (answer, _) = sender.ready().await.unwrap().send_request(request.body(()).unwrap(), true).unwrap();
    answer.await.unwrap().into_body()
}

/// Every store there is, on one machine.
struct Stores {
    folder: TempDir,
    redis: RedisServer,
}

impl Stores {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), redis: RedisServer::start() }
    }

    fn file(&self) -> String {
        format!("url = \"file:{}/sessions.redb\"", self.folder.path().display())
    }

    fn urls(&self) -> [String; 3] {
        ["url = \"memory:\"".to_owned(), self.file(), on(&self.redis)]
    }
}

fn on(redis: &RedisServer) -> String {
    format!("url = \"{}\"", redis.url())
}

/// A proxy with a route for everybody beside the one for users.
fn setup(app: &Endless, store: &str) -> Setup {
    let proxy = proxy(&app.upstream).route("/", "").route("/public", "access = \"public\"");
    proxy.route("/quiet", "touch = false").store(store).session(LIFETIMES)
}

fn start(app: &Endless, store: &str) -> Proxy {
    setup(app, store).start()
}

/// On every store: what Alice has open ends with her session, whatever `end` does to end that, and what others have
/// open does not.
async fn ends_with_the_session(how: &str, end: impl AsyncFn(&Proxy, Jar)) {
    let stores = Stores::new();
    for store in stores.urls() {
        let app = endless().await;
        let proxy = start(&app, &store);
        let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.remembered(BOB).await);
        let (hers, mut his) = (Open::by(&proxy, &alice).await, Open::by(&proxy, &bob).await);
        let mut public = opened(&proxy, "/public/chat", &alice).await;
        end(&proxy, alice).await;
        let since = Stopwatch::start();
        hers.breaks_off().await;
        let took = since.elapsed();
        report(&format!("{how}, {store}: everything has ended after {took:?}"));
        assert!(took < AT_MOST, "{how}, {store}: {took:?}");
        app.breaks_off(usize::try_from(RIDES).unwrap()).await;
        echoes(&mut public, TEXT).await;
        his.goes_on().await;
        assert_eq!(rides(&proxy), RIDES, "{how}, {store}");
        let unfinished =
            proxy.access_log().lines().filter(|line| line.contains("\"complete\":false")).count();
        assert_eq!(unfinished, 3, "two streams and a download: {}", proxy.access_log());
        drop((his, public));
        eventually("nothing rides any more", async || rides(&proxy) == 0).await;
        proxy.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_in_another_tab_ends_what_rides_on_the_session() {
    ends_with_the_session("logout", async |proxy, mut alice| {
        assert_eq!(proxy.client().log_out(&mut alice).await.status, 303);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idle_timeout_ends_what_rides_on_the_session() {
    ends_with_the_session("idle timeout", async |proxy, _| proxy.clock.advance(10 * MINUTE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_absolute_timeout_ends_what_rides_on_the_session() {
    ends_with_the_session("absolute timeout", async |proxy, alice| {
        for touches in 1..=6 {
            proxy.clock.advance(9 * MINUTE);
            assert_eq!(proxy.client().get("/_foregate/logout", &alice).await.status, 200);
            let mut use_of_it = opened(proxy, "/chat", &alice).await;
            echoes(&mut use_of_it, TEXT).await;
            // The request is one, and the frame another.
            eventually("both uses are recorded", async || touched(proxy) >= 2 * touches).await;
        }
        proxy.clock.advance(6 * MINUTE);
    })
    .await;
}

/// How many uses the proxy has recorded.
fn touched(proxy: &Proxy) -> u64 {
    proxy.count("foregate_store_seconds_count{operation=\"touch\"}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_on_one_proxy_ends_what_rides_on_the_other() {
    for (told, cache) in [("told of it", "enabled = true"), ("not told", "enabled = false")] {
        let (app, redis) = (endless().await, RedisServer::start());
        let start = || setup(&app, &on(&redis)).section(&format!("[session.cache]\n{cache}")).start();
        let (near, far) = (start(), start());
        let (mut alice, bob) = (near.logged_in(ALICE).await, near.logged_in(BOB).await);
        let (hers, mut his) = (Open::by(&far, &alice).await, Open::by(&far, &bob).await);
        let since = Stopwatch::start();
        assert_eq!(near.client().log_out(&mut alice).await.status, 303);
        hers.breaks_off().await;
        let took = since.elapsed();
        report(&format!(
            "logout on the other proxy, {told}: everything has ended after {took:?}, logout included"
        ));
        assert!(took < AT_MOST, "{told}: {took:?}");
        his.goes_on().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_on_one_proxy_keeps_what_rides_on_the_other() {
    let (app, redis) = (endless().await, RedisServer::start());
    let (near, far) = (start(&app, &on(&redis)), start(&app, &on(&redis)));
    let (alice, bob) = (near.logged_in(ALICE).await, near.logged_in(BOB).await);
    let mut hers = opened(&far, "/chat", &alice).await;
    let mut his = opened(&far, "/chat", &bob).await;
    let advance = |span| [&near, &far].map(|proxy| proxy.clock.advance(span));
    advance(6 * MINUTE);
    echoes(&mut opened(&near, "/chat", &alice).await, TEXT).await;
    eventually("the use is recorded", async || touched(&near) > 0).await;
    advance(6 * MINUTE);
    assert_eq!(read_all(&mut his).await, OVER);
    echoes(&mut hers, TEXT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sends_is_a_use_of_the_session_and_its_pings_are_not() {
    let (app, stores) = (endless().await, Stores::new());
    for store in stores.urls() {
        let proxy = start(&app, &store);
        let mut open = Vec::new();
        for (path, frame) in [("/chat", TEXT), ("/chat", PING), ("/quiet/chat", TEXT)] {
            let jar = proxy.logged_in(ALICE).await;
            open.push((opened(&proxy, path, &jar).await, frame));
        }
        proxy.clock.advance(6 * MINUTE);
        for (stream, frame) in &mut open {
            for _ in 0..10 {
                echoes(stream, frame).await;
            }
        }
        eventually("the use is recorded", async || touched(&proxy) == 1).await;
        proxy.clock.advance(6 * MINUTE);
        for (stream, _) in &mut open[1..] {
            assert_eq!(read_all(stream).await, OVER, "{store}");
        }
        echoes(&mut open[0].0, TEXT).await;
        eventually("the next use is recorded", async || touched(&proxy) == 2).await;
        drop(open);
        proxy.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_sessions_end_by_what_was_known_last() {
    let (app, mut redis) = (endless().await, RedisServer::start());
    let proxy = start(&app, &on(&redis));
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    let mut hers = Open::by(&proxy, &alice).await;
    let mut his = opened(&proxy, "/chat", &bob).await;
    proxy.clock.advance(6 * MINUTE);
    echoes(&mut hers.chat, TEXT).await;
    eventually("the use is recorded", async || touched(&proxy) == 1).await;
    // Whoever watches looks twice in this time.
    tokio::time::sleep(AT_MOST).await;
    redis.kill();
    eventually("the store is missed", async || {
        proxy.count("foregate_store_errors_total{kind=\"connection\"}") > 1
    })
    .await;
    proxy.clock.advance(6 * MINUTE);
    assert_eq!(read_all(&mut his).await, OVER, "not used for twelve minutes");
    tokio::time::sleep(AT_MOST).await;
    hers.goes_on().await;
    proxy.clock.advance(4 * MINUTE);
    let since = Stopwatch::start();
    hers.breaks_off().await;
    assert!(since.elapsed() < AT_MOST, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_an_answer_does_not_keep_it() {
    let app = endless().await;
    let proxy = start(&app, "url = \"memory:\"");
    let mut alice = proxy.logged_in(ALICE).await;
    let (http1, http2) =
        (sent(&proxy, &alice, "GET /flood").await, answer_h2(&proxy, &alice, "/flood").await);
    eventually("both ride", async || rides(&proxy) == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.client().log_out(&mut alice).await;
    app.breaks_off(2).await;
    assert_eq!(rides(&proxy), 0);
    drop((http1, http2));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_store_tells_of_changes_a_ride_costs_it_nothing() {
    let (app, stores) = (endless().await, Stores::new());
    let proxy = start(&app, &stores.file());
    let alice = proxy.logged_in(ALICE).await;
    let mut chat = opened(&proxy, "/chat", &alice).await;
    let loads = || proxy.count("foregate_store_seconds_count{operation=\"load\"}");
    let before = loads();
    tokio::time::sleep(AT_MOST).await;
    echoes(&mut chat, TEXT).await;
    assert_eq!(loads(), before);
}

#[tokio::test]
async fn what_is_over_in_a_moment_does_not_ride() {
    let app = endless().await;
    let proxy = start(&app, "url = \"memory:\"");
    let alice = proxy.logged_in(ALICE).await;
    let mut small = sent(&proxy, &alice, "GET /small").await;
    read_until(&mut small, "begun").await;
    assert_eq!(rides(&proxy), 0, "an answer of a kilobyte");
    let since = Stopwatch::start();
    let upload = sent(&proxy, &alice, "POST /upload\nContent-Length: 65536\r\n").await;
    eventually("it waits for its answer", async || rides(&proxy) == 1).await;
    assert!(since.elapsed() >= MOMENT, "a request of 64 KiB: {:?}", since.elapsed());
    drop(upload);
    eventually("nobody waits any more", async || rides(&proxy) == 0).await;
    let longer = sent(&proxy, &alice, "POST /upload\nContent-Length: 65537\r\n").await;
    eventually("it rides", async || rides(&proxy) == 1).await;
    drop(longer);
    let mut public = sent(&proxy, &alice, "GET /public/events").await;
    read_until(&mut public, "data: 1").await;
    eventually("nobody's stream rides", async || rides(&proxy) == 0).await;
}
