//! Another configuration takes the place of the one before, whole or not at all, and nobody notices who did not ask.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::support::authority::{Authority, Pair};
use crate::support::client::{Client, Jar, parse};
use crate::support::command::{Running, foregate};
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, SECRET, Setup, proxy};
use crate::support::report;
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, answer, upstream};

/// What the public can see without a session.
const PUBLIC: &str = "access = \"public\"\n";

/// Asks for `path` on a connection that goes on afterwards.
async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), path: &str) -> u16 {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "the connection is closed");
        text.push(byte[0]);
    }
    let answer = parse(&String::from_utf8(text).unwrap());
    let mut body = vec![0; answer.header("content-length").unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    answer.status
}

async fn readiness(proxy: &Proxy) -> serde_json::Value {
    serde_json::from_str(&admin::get(proxy, "/readyz").await.body).unwrap()
}

/// What `/readyz` says of the configuration.
async fn remark(proxy: &Proxy) -> serde_json::Value {
    let json = readiness(proxy).await;
    assert_eq!(json["ready"], true);
    let checks = json["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "configuration").unwrap()["reason"].clone()
}

#[tokio::test]
async fn what_is_asked_for_after_a_reload_is_answered_by_it_on_connections_from_before() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/old", PUBLIC).start();
    let mut stream = proxy.client().connect(b"http/1.1").await;
    assert_eq!((ask(&mut stream, "/old").await, ask(&mut stream, "/new").await), (200, 404));
    proxy.reload(&proxy.configuration().replace("path = \"/old\"", "path = \"/new\"")).await.unwrap();
    assert_eq!((ask(&mut stream, "/old").await, ask(&mut stream, "/new").await), (404, 200));
    assert_eq!(proxy.count("foregate_reloads_total{result=\"applied\"}"), 1);
    assert_eq!(proxy.events("reloaded").len(), 1);
}

#[tokio::test]
async fn a_request_ends_under_the_configuration_that_it_began_with() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::answering_when(|_| answer("200 OK", &[], "late"), Arc::clone(&gate)).await;
    let proxy = proxy(&upstream).route("/", PUBLIC).start();
    let client = proxy.client();
    let waiting = tokio::spawn(async move { client.get("/slow", &Jar::default()).await });
    eventually("the request is upstream", async || upstream.received().len() == 1).await;
    let elsewhere = crate::support::upstream::upstream().await;
    let (before, after) = (upstream.address().to_string(), elsewhere.address().to_string());
    proxy.reload(&proxy.configuration().replace(&before, &after)).await.unwrap();
    assert_eq!(proxy.client().get("/", &Jar::default()).await.body, "hello");
    assert_eq!(upstream.received().len(), 1, "what comes now goes to the new server");
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().body, "late");
}

#[tokio::test]
async fn a_configuration_with_a_fault_changes_nothing_and_its_faults_are_told() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", PUBLIC).start();
    let good = proxy.configuration();
    let faulty = good.replace("shutdown_grace = \"5s\"", "shutdown_grace = \"5 parsecs\"");
    let refused = proxy.reload(&faulty).await.unwrap_err().to_string();
    assert!(refused.contains("server.shutdown_grace"), "{refused}");
    assert_eq!(proxy.client().get("/", &Jar::default()).await.status, 200);
    let remark_now = remark(&proxy).await;
    assert!(remark_now.as_str().unwrap().contains("server.shutdown_grace"), "{remark_now}");
    assert_eq!(proxy.count("foregate_reloads_total{result=\"refused\"}"), 1);
    assert_eq!(proxy.events("reloaded")[0]["reason"], "refused");

    proxy.reload(&good).await.unwrap();
    assert!(remark(&proxy).await.is_null());
}

#[tokio::test]
async fn a_fault_that_only_the_work_itself_finds_changes_nothing_either() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", PUBLIC).start();
    let good = proxy.configuration();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (path, address) = (proxy.folder().join("users.toml"), taken.local_addr().unwrap());
    let users = fs::read_to_string(&path).unwrap();
    let new_route = good.replace("path = \"/\"", "path = \"/new\"");

    fs::write(&path, "[users.alice]\npassword = \"plain\"\n").unwrap();
    let refused = proxy.reload(&new_route).await.unwrap_err().to_string();
    assert!(refused.contains("users.toml"), "{refused}");
    fs::write(&path, users).unwrap();
    let busy = new_route.replace("http = [\"127.0.0.1:0\"]", &format!("http = [\"{address}\"]"));
    let refused = proxy.reload(&busy).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("cannot listen on {address}")), "{refused}");
    for (path, status) in [("/", 200), ("/new/", 200)] {
        assert_eq!(proxy.client().get(path, &Jar::default()).await.status, status, "{path}");
    }
    assert!(tokio::net::TcpStream::connect(proxy.http).await.is_ok(), "the listener is still there");
}

#[tokio::test]
async fn what_needs_a_restart_is_refused_with_its_keys() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let text = proxy.configuration();
    for (from, to, key) in [
        ("url = \"memory:\"", "url = \"file:sessions.redb\"", "session.store"),
        ("shutdown_grace = \"5s\"", "worker_threads = 3", "server.worker_threads"),
        ("admin = \"127.0.0.1:0\"", "admin = \"off\"", "server.admin"),
        ("mode = \"development\"", "mode = \"development\"\nlog.level = \"debug\"", "log.level"),
    ] {
        let refused = proxy.reload(&text.replace(from, to)).await.unwrap_err().to_string();
        assert!(refused.starts_with(&format!("{key} cannot change")), "{refused}");
        assert!(refused.contains("restart"), "{refused}");
    }
    let softer = "url = \"memory:\"\non_outage = \"serve-cached\"";
    proxy.reload(&text.replace("url = \"memory:\"", softer)).await.expect("that is no matter of the store's");
}

#[tokio::test]
async fn sessions_go_on_and_a_secret_changes_without_a_restart() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let jar = proxy.logged_in(ALICE).await;
    let (text, other) = (proxy.configuration(), "f".repeat(32));
    let rotated = text.replace(
        &format!("secret = \"{SECRET}\""),
        &format!("secret = \"{other}\"\nprevious_secrets = [\"{SECRET}\"]"),
    );
    proxy.reload(&rotated).await.unwrap();
    assert_eq!(proxy.client().get("/", &jar).await.status, 200);
    assert_eq!(proxy.count("foregate_cookie_verdicts_total{verdict=\"old_key\"}"), 1);
    let fresh = proxy.logged_in(BOB).await;
    proxy.reload(&text.replace(SECRET, &other)).await.unwrap();
    assert_eq!(proxy.client().get("/", &jar).await.status, 401, "the old secret is gone");
    assert_eq!(proxy.client().get("/", &fresh).await.status, 200);
}

#[tokio::test]
async fn upstreams_that_stay_as_they_are_keep_their_connections() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", PUBLIC).start();
    for _ in 0..3 {
        assert_eq!(proxy.client().get("/", &Jar::default()).await.status, 200);
        let text = proxy.configuration() + "# another line\n";
        proxy.reload(&text).await.unwrap();
    }
    assert_eq!(upstream.connections(), 1);
    let gauge =
        format!("foregate_upstream_server_in{{upstream=\"app\",server=\"http://{}\"}}", upstream.address());
    assert_eq!(proxy.count(&gauge), 1);
    let other = crate::support::upstream::upstream().await;
    let moved = proxy.configuration().replace(&upstream.address().to_string(), &other.address().to_string());
    proxy.reload(&moved).await.unwrap();
    assert!(!proxy.metrics.text().contains(&gauge), "nobody speaks of a server that is gone");
}

#[tokio::test]
async fn listeners_come_and_go_and_who_is_connected_is_served_to_the_end() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::answering_when(|_| answer("200 OK", &[], "late"), Arc::clone(&gate)).await;
    let proxy = proxy(&upstream).route("/", PUBLIC).start();
    let client = proxy.client();
    let waiting = tokio::spawn(async move { client.get("/slow", &Jar::default()).await });
    eventually("the request is upstream", async || upstream.received().len() == 1).await;

    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = proxy.configuration().replace("https = [\"127.0.0.1:0\"]", &format!("https = [\"{place}\"]"));
    proxy.reload(&text).await.unwrap();
    eventually("nobody listens where it was", async || {
        tokio::net::TcpStream::connect(proxy.https).await.is_err()
    })
    .await;
    gate.add_permits(2);
    assert_eq!(waiting.await.unwrap().body, "late");
    let there = Client::new(place, &proxy.certificate);
    assert_eq!(there.get("/", &Jar::default()).await.body, "late");
    let mut redirect = tokio::net::TcpStream::connect(proxy.http).await.unwrap();
    redirect.write_all(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    redirect.read_to_string(&mut text).await.unwrap();
    assert!(text.contains(&format!("https://{HOST}:{}/", place.port())), "it leads to the new port: {text}");
}

/// Puts `from` in the place of `to`, as those do who renew certificates: each file whole.
fn put(from: &Pair, to: &Pair) {
    for (from, to) in [(&from.key, &to.key), (&from.cert, &to.cert)] {
        let beside = to.with_extension("new");
        fs::copy(from, &beside).unwrap();
        fs::rename(&beside, to).unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_is_renewed_is_shown_to_those_who_come_now_and_a_bad_pair_to_nobody() {
    let upstream = upstream().await;
    let (authority, another) = (Authority::new(), Authority::new());
    let proxy = proxy(&upstream).route("/", PUBLIC).production(&authority).start();
    let (old, new) = (proxy.client(), Client::new(proxy.https, &another.bundle()));
    let mut before = old.connect(b"http/1.1").await;
    assert_eq!(ask(&mut before, "/").await, 200);
    let mine = Pair { cert: authority.issued(HOST, "crt"), key: authority.issued(HOST, "key") };

    // A key that does not fit: whoever comes gets the certificate that there was.
    let renewed = another.issue(HOST);
    fs::copy(&renewed.cert, &mine.cert).unwrap();
    eventually("the bad pair is refused", async || {
        proxy.count("foregate_reloads_total{result=\"refused\"}") == 1
    })
    .await;
    assert_eq!(old.get("/", &Jar::default()).await.status, 200);
    assert!(proxy.access_log().is_empty() || !proxy.access_log().contains("PRIVATE KEY"));

    put(&renewed, &mine);
    eventually("the new pair is in force", async || {
        proxy.count("foregate_reloads_total{result=\"applied\"}") == 1
    })
    .await;
    assert_eq!(new.get("/", &Jar::default()).await.status, 200);
    assert_eq!(ask(&mut before, "/").await, 200, "connections from before go on");
}

/// Asks again and again, on a connection that stays and on new ones, until `done`; says how often.
async fn load(client: Client, done: CancellationToken) -> usize {
    let mut served = 0;
    let mut stream = client.connect(b"http/1.1").await;
    while !done.is_cancelled() {
        assert_eq!(ask(&mut stream, "/").await, 200);
        assert_eq!(client.get("/", &Jar::default()).await.status, 200);
        served += 2;
    }
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_fail_no_request() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", PUBLIC).start();
    let done = CancellationToken::new();
    let asking: JoinSet<usize> = (0..4).map(|_| load(proxy.client(), done.clone())).collect();
    let text = proxy.configuration();
    for time in 0..50 {
        let methods = if time % 2 == 0 { "\nmethods = [\"GET\"]" } else { "" };
        proxy.reload(&text.replace("path = \"/\"", &format!("path = \"/\"{methods}"))).await.unwrap();
    }
    done.cancel();
    let served: usize = asking.join_all().await.into_iter().sum();
    assert!(served > 8, "there was load: {served}");
    assert_eq!(proxy.count("foregate_reloads_total{result=\"applied\"}"), 50);
}

/// What the process `id` holds: descriptors, and kilobytes in memory.
fn held(id: u32) -> (usize, usize) {
    let descriptors = fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (descriptors, line.trim().trim_end_matches(" kB").parse().unwrap())
}

/// The program itself by `setup`'s configuration: where that is, the process, and a client of it.
fn running(setup: &Setup) -> (PathBuf, Running, Client) {
    let path = setup.write();
    let folder = path.parent().unwrap();
    let mut running = Running::start(foregate(folder, &["run"]));
    let line = running.logged("serving https");
    let address = line.rsplit("address\":\"").next().unwrap().split('"').next().unwrap().parse().unwrap();
    let client = Client::new(address, &folder.join(format!("certs/{HOST}.crt")));
    (path, running, client)
}

#[ignore = "a thousand reloads of the program itself take half a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_by_signal_cost_no_request_no_memory_and_no_descriptor() {
    let upstream = upstream().await;
    let setup = proxy(&upstream).route("/", PUBLIC);
    let (path, mut running, client) = running(&setup);
    let done = CancellationToken::new();
    let asking: JoinSet<usize> = (0..4).map(|_| load(client.clone(), done.clone())).collect();
    let (text, mut early) = (fs::read_to_string(&path).unwrap(), (0, 0));
    for time in 0..1_000 {
        let methods = if time % 2 == 0 { "\nmethods = [\"GET\"]" } else { "" };
        fs::write(&path, text.replace("path = \"/\"", &format!("path = \"/\"{methods}"))).unwrap();
        running.signal("HUP");
        tokio::task::block_in_place(|| running.logged("was read again and is in force"));
        if time == 200 {
            early = held(running.id());
        }
    }
    let late = held(running.id());
    done.cancel();
    let served: usize = asking.join_all().await.into_iter().sum();
    report(&format!(
        "1,000 reloads beside {served} requests; descriptors {} then {}, kB {} then {}",
        early.0, late.0, early.1, late.1
    ));
    assert!(late.0 <= early.0 + 8, "{early:?} {late:?}");
    assert!(late.1 < early.1 + 4_096, "{early:?} {late:?}");
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0));
}

/// A thread of a process that does handshakes.
#[derive(Debug, PartialEq, Eq)]
struct HandshakeThread {
    id: String,
    /// How far it stands back behind the process's first thread, on the scale of nice(1).
    behind: i32,
    /// How often it has been woken.
    wakings: u64,
}

/// Those of the process `id`.
fn handshake_threads(id: u32) -> Vec<HandshakeThread> {
    let nice = |stat: String| stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().parse::<i32>();
    let first = nice(fs::read_to_string(format!("/proc/{id}/stat")).unwrap()).unwrap();
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap().map(|task| task.unwrap().path());
    let of_handshakes = tasks.filter(|task| fs::read_to_string(task.join("comm")).unwrap() == "handshakes\n");
    let told = of_handshakes.map(|task| {
        let status = fs::read_to_string(task.join("status")).unwrap();
        let wakings = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        HandshakeThread {
            id: task.file_name().unwrap().to_str().unwrap().to_owned(),
            behind: nice(fs::read_to_string(task.join("stat")).unwrap()).unwrap() - first,
            wakings: wakings.trim().parse().unwrap(),
        }
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_are_done_by_threads_behind_the_others_and_by_the_same_after_a_reload() {
    let upstream = upstream().await;
    let setup = proxy(&upstream).server("worker_threads = 2").route("/", PUBLIC);
    let (_, mut running, client) = running(&setup);
    let wakings = |threads: &[HandshakeThread]| threads.iter().map(|thread| thread.wakings).sum::<u64>();
    let ids =
        |threads: &[HandshakeThread]| threads.iter().map(|thread| thread.id.clone()).collect::<Vec<_>>();

    let mut kept = client.connect(b"http/1.1").await;
    assert_eq!(ask(&mut kept, "/").await, 200);
    let first = handshake_threads(running.id());
    assert_eq!(first.iter().map(|thread| thread.behind).collect::<Vec<_>>(), [5, 5], "{first:?}");
    running.signal("HUP");
    tokio::task::block_in_place(|| running.logged("was read again and is in force"));
    assert_eq!(ask(&mut kept, "/").await, 200);
    assert_eq!(ids(&handshake_threads(running.id())), ids(&first));
    assert_eq!(ask(&mut client.connect(b"http/1.1").await, "/").await, 200);
    let then = handshake_threads(running.id());
    assert_eq!(ids(&then), ids(&first));
    assert!(wakings(&then) > wakings(&first), "{first:?} {then:?}");
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0));
}
