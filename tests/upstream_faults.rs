//! Server processes that are killed, frozen and started anew under load: nothing that counts arrives twice, and who asks
//! notices as little as can be.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::support::client::{Client, ask_on};
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::report;
use crate::support::settle::eventually;
use crate::support::upstream::upstream;

/// How many ask at once, one request after the other each.
const CLIENTS: usize = 8;

/// A server process, and what it has noted.
struct Server {
    child: Child,
    port: u16,
    ledger: PathBuf,
}

impl Server {
    fn start(folder: &TempDir, name: &str) -> Self {
        let ledger = folder.path().join(name);
        let (child, port) = launch(0, &ledger).expect("any port will do");
        Self { child, port, ledger }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same port, which somebody's connection may have for a moment.
    async fn restart(&mut self) {
        eventually("its port is free", async || match launch(self.port, &self.ledger) {
            Some((child, _)) => {
                self.child = child;
                true
            }
            None => false,
        })
        .await;
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The ids of the POSTs that it got.
    fn noted(&self) -> Vec<String> {
        fs::read_to_string(&self.ledger).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server on `port`; `None` where it ends at once.
fn launch(port: u16, ledger: &Path) -> Option<(Child, u16)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upstream_faults/server.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(port.to_string()).arg(ledger).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if let Ok(port) = line.trim().parse() {
        return Some((child, port));
    }
    child.wait().unwrap();
    None
}

fn proxy_to(app: &crate::support::upstream::Upstream, servers: &[&Server]) -> Proxy {
    let urls: Vec<String> = servers.iter().map(|server| format!("{:?}", server.url())).collect();
    let section = format!(
        "[upstream.many]\nservers = [{}]\nbalance = \"round-robin\"\nresponse_timeout = \"1s\"\n\
         [upstream.many.health]\npath = \"/health\"\ninterval = \"100ms\"\ntimeout = \"1s\"\neject_after = 3\n\
         eject_for = \"200ms\"\n\
         [[route]]\npath = \"/\"\nupstream = \"many\"\naccess = \"public\"",
        urls.join(", ")
    );
    proxy(app).route("/unused", "").section(&section).start()
}

fn is_in(proxy: &Proxy, server: &Server) -> bool {
    let gauge = format!("foregate_upstream_server_in{{upstream=\"many\",server=\"{}\"}}", server.url());
    proxy.count(&gauge) == 1
}

/// What has become of requests: how many got a status, by their method; and of each POST which.
#[derive(Default)]
struct Outcomes {
    gets: HashMap<u16, usize>,
    posts: HashMap<String, u16>,
}

/// Requests that go on and on.
struct Load {
    asking: JoinSet<Outcomes>,
    served: Arc<AtomicUsize>,
    done: CancellationToken,
}

impl Load {
    fn begin(proxy: &Proxy, name: &str) -> Self {
        let (served, done) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
        let mut asking = JoinSet::new();
        for client in 0..CLIENTS {
            let name = format!("{name}-{client}");
            asking.spawn(load(proxy.client(), name, Arc::clone(&served), done.clone()));
        }
        Self { asking, served, done }
    }

    /// Waits until so many more requests have been served.
    async fn goes_on(&self, for_requests: usize) {
        let until = self.served.load(Ordering::Relaxed) + for_requests;
        eventually("the load goes on", async || self.served.load(Ordering::Relaxed) >= until).await;
    }

    async fn ended(self) -> Outcomes {
        self.done.cancel();
        let mut all = Outcomes::default();
        for part in self.asking.join_all().await {
            part.gets.into_iter().for_each(|(status, count)| *all.gets.entry(status).or_default() += count);
            all.posts.extend(part.posts);
        }
        all
    }
}

/// GETs and POSTs in turn, each POST with an id of its own, until `done`.
async fn load(client: Client, name: String, served: Arc<AtomicUsize>, done: CancellationToken) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut stream = client.connect(b"http/1.1").await;
    for number in 0.. {
        if done.is_cancelled() {
            break;
        }
        let status = get(&mut stream, &client, "/").await;
        *outcomes.gets.entry(status).or_default() += 1;
        let id = format!("{name}-{number}");
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{id}", id.len());
        let status = exchange(&mut stream, &client, &head).await;
        outcomes.posts.insert(id, status);
        served.fetch_add(2, Ordering::Relaxed);
    }
    outcomes
}

async fn get(stream: &mut TlsStream<TcpStream>, client: &Client, path: &str) -> u16 {
    exchange(stream, client, &format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await
}

/// One request on a connection that goes on, or on the next where the answer says that it ends.
async fn exchange(stream: &mut TlsStream<TcpStream>, client: &Client, request: &str) -> u16 {
    let answer = ask_on(stream, request).await;
    if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        *stream = client.connect(b"http/1.1").await;
    }
    answer.status
}

/// Has connections to two servers kept, as many to each as the load can need.
async fn warm_up(proxy: &Proxy) {
    let mut asking = JoinSet::new();
    for _ in 0..2 * CLIENTS {
        let client = proxy.client();
        asking.spawn(async move { get(&mut client.connect(b"http/1.1").await, &client, "/slow").await });
    }
    assert!(asking.join_all().await.iter().all(|status| *status == 200));
}

/// No POST stands in the ledgers twice, and each that was answered stands there once.
fn none_arrived_twice(servers: &[&Server], posts: &HashMap<String, u16>) {
    let mut arrived = HashMap::<String, usize>::new();
    servers.iter().flat_map(|server| server.noted()).for_each(|id| *arrived.entry(id).or_default() += 1);
    let twice: Vec<_> = arrived.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for (id, status) in posts {
        assert!(*status != 200 || arrived.contains_key(id), "{id} was answered by nobody");
    }
    assert!(arrived.keys().all(|id| posts.contains_key(id)));
}

async fn killed_and_started_anew(rounds: usize) {
    let (app, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let (mut one, two) = (Server::start(&folder, "one"), Server::start(&folder, "two"));
    let proxy = proxy_to(&app, &[&one, &two]);
    let mut all = Outcomes::default();
    for round in 0..rounds {
        warm_up(&proxy).await;
        let load = Load::begin(&proxy, &round.to_string());
        load.goes_on(100).await;
        one.kill();
        eventually("it is out", async || !is_in(&proxy, &one)).await;
        load.goes_on(100).await;
        one.restart().await;
        eventually("it is in", async || is_in(&proxy, &one)).await;
        let before = one.noted().len();
        load.goes_on(100).await;
        eventually("it gets its share", async || one.noted().len() > before).await;
        let Outcomes { gets, posts } = load.ended().await;
        assert_eq!(gets.keys().collect::<Vec<_>>(), [&200], "no GET fails: {gets:?}");
        *all.gets.entry(200).or_default() += gets[&200];
        all.posts.extend(posts);
    }
    none_arrived_twice(&[&one, &two], &all.posts);
    let lost = all.posts.values().filter(|status| **status != 200).count();
    report(&format!(
        "{rounds} kills under load: {} GETs, all answered; {} POSTs, {lost} refused, none twice",
        all.gets[&200],
        all.posts.len()
    ));
    assert!(all.posts.values().all(|status| [200, 502].contains(status)));
    assert!(lost <= rounds * CLIENTS, "but for those under way at a kill all are answered: {lost}");
}

async fn frozen_and_thawed(rounds: usize) {
    let (app, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let (one, two) = (Server::start(&folder, "one"), Server::start(&folder, "two"));
    let proxy = proxy_to(&app, &[&one, &two]);
    let load = Load::begin(&proxy, "frozen");
    for _ in 0..rounds {
        load.goes_on(100).await;
        one.signal("STOP");
        eventually("it is out", async || !is_in(&proxy, &one)).await;
        let before = one.noted().len();
        load.goes_on(100).await;
        assert_eq!(one.noted().len(), before, "it is frozen");
        one.signal("CONT");
        eventually("it is in", async || is_in(&proxy, &one)).await;
        eventually("it gets its share", async || one.noted().len() > before + CLIENTS).await;
    }
    let Outcomes { gets, posts } = load.ended().await;
    none_arrived_twice(&[&one, &two], &posts);
    let late = posts.values().filter(|status| **status != 200).count();
    report(&format!(
        "{rounds} freezes under load: GETs {gets:?}; {} POSTs, {late} given up, none twice",
        posts.len()
    ));
    assert!(gets.keys().chain(posts.values()).all(|status| [200, 504].contains(status)));
    let late = late + gets.get(&504).unwrap_or(&0);
    assert!(late > 0 && late <= rounds * 2 * CLIENTS, "who waits is told so, until it is known: {late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_started_anew_costs_no_get_and_doubles_no_post() {
    killed_and_started_anew(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_is_left_out_until_it_answers_and_gets_no_post_twice() {
    frozen_and_thawed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes"]
async fn forty_kills_lose_no_get_and_neither_they_nor_twenty_freezes_double_a_post() {
    killed_and_started_anew(40).await;
    frozen_and_thawed(20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gets_on_connections_to_a_server_that_was_replaced_succeed_each_and_every_one() {
    let (app, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let mut one = Server::start(&folder, "one");
    let proxy = proxy_to(&app, &[&one]);
    for _ in 0..3 {
        warm_up(&proxy).await;
        one.kill();
        one.restart().await;
        eventually("it is in", async || is_in(&proxy, &one)).await;
        warm_up(&proxy).await;
    }
    assert!(one.noted().is_empty());
}
