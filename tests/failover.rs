//! What users notice when Redis's master changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tokio::task::JoinSet;

use crate::support::client::{Answer, Client, Jar};
use crate::support::proxy::{ALICE, BOB, Proxy, proxy};
use crate::support::report;
use crate::support::sentinels::{MASTER, Sentinels};
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, upstream};

const SESSIONS: usize = 40;

fn on(upstream: &Upstream, sentinels: &Sentinels) -> Proxy {
    proxy(upstream)
        .route("/", "")
        .route("/public", "access = \"public\"")
        .store(&format!("{}\nconnect_timeout = \"1s\"", sentinels.store_keys()))
        .start()
}

/// What browsers met while they went on asking.
#[derive(Default)]
struct Met {
    requests: usize,
    /// When answers other than 200 came, since the load began, and what they were.
    failures: Vec<(Duration, u16)>,
    cookies_set: usize,
}

impl Met {
    fn note(&mut self, answer: &Answer, at: Duration) {
        self.requests += 1;
        self.cookies_set += answer.all("set-cookie").len();
        if answer.status != 200 {
            self.failures.push((at, answer.status));
        }
    }
}

/// Browsers that ask again and again, until they are told to stop.
struct Load {
    browsers: JoinSet<Met>,
    stop: Arc<AtomicBool>,
    since: Stopwatch,
}

impl Load {
    fn start(proxy: &Proxy, jars: &[Jar]) -> Self {
        let (mut browsers, stop, since) =
            (JoinSet::new(), Arc::new(AtomicBool::new(false)), Stopwatch::start());
        for jar in jars {
            browsers.spawn(browse(proxy.client(), jar.clone(), Arc::clone(&stop), since));
        }
        Self { browsers, stop, since }
    }

    async fn end(self) -> Met {
        self.stop.store(true, Ordering::Relaxed);
        self.browsers.join_all().await.into_iter().fold(Met::default(), |mut all, met| {
            all.requests += met.requests;
            all.cookies_set += met.cookies_set;
            all.failures.extend(met.failures);
            all
        })
    }
}

async fn browse(client: Client, jar: Jar, stop: Arc<AtomicBool>, since: Stopwatch) -> Met {
    let mut met = Met::default();
    while !stop.load(Ordering::Relaxed) {
        let answer = client.visit("/", &jar).await;
        met.note(&answer, since.elapsed());
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    met
}

/// Breaks something under load. Nobody may be let in, logged out or handed a cookie by it; everybody comes back.
async fn break_under_load(break_it: fn(&mut Sentinels), what: &str) {
    let (upstream, mut sentinels) = (upstream().await, Sentinels::start());
    let proxy = on(&upstream, &sentinels);
    let mut jars = Vec::new();
    for n in 0..SESSIONS {
        jars.push(proxy.logged_in([ALICE, BOB][n % 2]).await);
    }
    let mut ended = proxy.logged_in(ALICE).await;
    let copied = ended.clone();
    assert_eq!(proxy.client().log_out(&mut ended).await.status, 303);
    sentinels.wait_for_replicas();
    let before = sentinels.elected();

    let load = Load::start(&proxy, &jars);
    tokio::time::sleep(Duration::from_millis(300)).await;
    break_it(&mut sentinels);
    eventually("another master is named", async || {
        assert_eq!(proxy.client().get("/public", &Jar::default()).await.status, 200);
        assert_ne!(proxy.client().get("/", &copied).await.status, 200, "an acknowledged logout holds");
        assert_eq!(proxy.client().get("/", &Jar::default()).await.status, 401);
        sentinels.elected().is_some_and(|elected| Some(elected) != before)
    })
    .await;
    let named = load.since.elapsed();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let met = load.end().await;

    let last = met.failures.iter().map(|(at, _)| *at).max().unwrap_or_default();
    let late = last.saturating_sub(named);
    report(&format!(
        "{what}: {} of {} requests failed, the last {late:?} after a majority named another master",
        met.failures.len(),
        met.requests
    ));
    assert!(met.failures.iter().all(|(_, status)| *status == 503), "{:?}", met.failures);
    assert_eq!(met.cookies_set, 0, "nobody's cookie is touched");
    assert!(late < Duration::from_secs(1), "{late:?}");
    for jar in &jars {
        assert_eq!(proxy.client().get("/", jar).await.status, 200, "nobody was logged out");
    }
    assert_eq!(proxy.client().get("/", &copied).await.status, 401);
    assert_eq!(proxy.client().log_in(&mut Jar::default(), ALICE, "").await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_logs_nobody_out_and_lets_nobody_in() {
    break_under_load(|all| all.servers[0].kill(), "a killed master").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_is_hardly_noticed() {
    let step_down = |all: &mut Sentinels| {
        assert_eq!(all.sentinels[0].cli(&["SENTINEL", "FAILOVER", MASTER]), "OK");
    };
    break_under_load(step_down, "a planned failover").await;
}
