//! What users notice when a master of Redis is lost or replaced, and when slots of a Cluster move.

mod cluster;
mod sentinel;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tokio::task::JoinSet;

use crate::support::client::{Answer, Client, Jar};
use crate::support::proxy::{ALICE, BOB, Proxy, proxy};
use crate::support::report;
use crate::support::upstream::{Upstream, upstream};

const SESSIONS: usize = 200;

/// Between two requests of a browser: all together make 500 in a second.
const PAUSE: Duration = Duration::from_millis(400);

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
    fn start(scene: &Scene) -> Self {
        let (mut browsers, stop, since) =
            (JoinSet::new(), Arc::new(AtomicBool::new(false)), Stopwatch::start());
        for jar in &scene.browsers {
            browsers.spawn(browse(scene.proxy.client(), jar.clone(), Arc::clone(&stop), since));
        }
        Self { browsers, stop, since }
    }

    /// How long it has gone on.
    fn elapsed(&self) -> Duration {
        self.since.elapsed()
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
        tokio::time::sleep(PAUSE).await;
    }
    met
}

/// A proxy with browsers that are signed in, and one that has signed out.
struct Scene {
    proxy: Proxy,
    browsers: Vec<Jar>,
    /// A copy of a cookie whose session was ended, which was acknowledged.
    ended: Jar,
    _upstream: Upstream,
}

impl Scene {
    async fn on(store: &str) -> Self {
        let upstream = upstream().await;
        let proxy = proxy(&upstream)
            .route("/", "")
            .route("/public", "access = \"public\"")
            .store(&format!("{store}\nconnect_timeout = \"1s\""))
            .start();
        let mut browsers = Vec::new();
        for n in 0..SESSIONS {
            browsers.push(proxy.logged_in([ALICE, BOB][n % 2]).await);
        }
        let mut leaving = proxy.logged_in(ALICE).await;
        let ended = leaving.clone();
        assert_eq!(proxy.client().log_out(&mut leaving).await.status, 303);
        Self { proxy, browsers, ended, _upstream: upstream }
    }

    /// Whatever becomes of Redis, nobody is let in by it, and what needs none is untouched.
    async fn lets_nobody_in(&self) {
        let client = self.proxy.client();
        assert_eq!(client.get("/public", &Jar::default()).await.status, 200);
        assert_ne!(client.get("/", &self.ended).await.status, 200, "an acknowledged logout holds");
        assert_eq!(client.get("/", &Jar::default()).await.status, 401);
    }

    /// Afterwards everybody is where they were, and newcomers come in.
    async fn is_as_before(&self) {
        let client = self.proxy.client();
        for jar in &self.browsers {
            assert_eq!(client.get("/", jar).await.status, 200, "nobody was logged out");
        }
        assert_eq!(client.get("/", &self.ended).await.status, 401);
        assert_eq!(client.log_in(&mut Jar::default(), ALICE, "").await.status, 303);
    }
}

/// Failures are 503, they end within a second after `recovered`, and no cookie is touched.
fn judge(what: &str, met: &Met, recovered: Duration) {
    let last = met.failures.iter().map(|(at, _)| *at).max().unwrap_or_default();
    let late = last.saturating_sub(recovered);
    let Met { requests, failures, cookies_set } = met;
    report(&format!("{what}: {} of {requests} requests failed, the last {late:?} after it", failures.len()));
    assert!(failures.iter().all(|(_, status)| *status == 503), "{failures:?}");
    assert_eq!(*cookies_set, 0, "nobody's cookie is touched");
    assert!(late < Duration::from_secs(1), "{late:?}");
}
