//! What bounds an account's sessions, what they are bound to, and what keeps them alive.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::client::{Answer, Jar};
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::upstream;

async fn status(proxy: &Proxy, jar: &Jar) -> u16 {
    proxy.client().get("/", jar).await.status
}

/// The stores that several logins may meet in.
fn stores(folder: &tempfile::TempDir, redis: &RedisServer) -> [String; 3] {
    let file = format!("url = \"file:{}/sessions.redb\"", folder.path().display());
    ["url = \"memory:\"".to_owned(), file, format!("url = \"{}\"", redis.url())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_beyond_the_limit_ends_the_oldest_session() {
    let (upstream, folder, redis) = (upstream().await, tempfile::tempdir().unwrap(), RedisServer::start());
    for store in stores(&folder, &redis) {
        let proxy = proxy(&upstream).store(&store).session("max_per_user = 2").start();
        let bob = proxy.logged_in(BOB).await;
        let mut alices = Vec::new();
        for _ in 0..4 {
            alices.push(proxy.logged_in(ALICE).await);
            proxy.clock.advance(Duration::from_secs(1));
        }
        let mut statuses = Vec::new();
        for alice in &alices {
            statuses.push(status(&proxy, alice).await);
        }
        assert_eq!(statuses, [401, 401, 200, 200], "{store}");
        assert_eq!(status(&proxy, &bob).await, 200, "others have limits of their own: {store}");
        let limited = proxy.events("revoked").into_iter().filter(|event| event["reason"] == "limit");
        assert_eq!(limited.count(), 2, "{store}");
        proxy.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_login_stays_whatever_the_clocks_say() {
    let (upstream, folder, redis) = (upstream().await, tempfile::tempdir().unwrap(), RedisServer::start());
    for store in stores(&folder, &redis) {
        let proxy = proxy(&upstream).store(&store).session("max_per_user = 1").start();
        let mut before = proxy.logged_in(ALICE).await;
        for set_back in [0, 0, 0, 0, 0, 30, 0, 30] {
            proxy.clock.step_back(Duration::from_secs(set_back));
            let latest = proxy.logged_in(ALICE).await;
            let statuses = (status(&proxy, &before).await, status(&proxy, &latest).await);
            assert_eq!(statuses, (401, 200), "{set_back} s: {store}");
            before = latest;
        }
        proxy.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_keeps_the_place_whatever_the_clocks_say() {
    let (upstream, folder, redis) = (upstream().await, tempfile::tempdir().unwrap(), RedisServer::start());
    for store in stores(&folder, &redis) {
        let keys = "max_per_user = 1\nat_limit = \"refuse\"";
        let proxy = proxy(&upstream).store(&store).session(keys).start();
        let first = proxy.logged_in(ALICE).await;
        for set_back in [0, 30] {
            proxy.clock.step_back(Duration::from_secs(set_back));
            let refused = proxy.client().log_in(&mut Jar::default(), ALICE, "").await;
            assert_eq!(refused.status, 403, "{set_back} s: {store}");
        }
        assert_eq!(status(&proxy, &first).await, 200, "{store}");
        proxy.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_beyond_the_limit_may_be_refused_and_says_what_to_do() {
    let (upstream, folder, redis) = (upstream().await, tempfile::tempdir().unwrap(), RedisServer::start());
    for store in stores(&folder, &redis) {
        let keys = "max_per_user = 1\nat_limit = \"refuse\"\nidle_timeout = \"1h\"";
        let proxy = proxy(&upstream).store(&store).session(keys).start();
        let mut first = proxy.logged_in(ALICE).await;
        let refused = proxy.client().log_in(&mut Jar::default(), ALICE, "").await;
        assert_eq!(refused.status, 403, "{store}: {refused:#?}");
        assert!(refused.body.contains("Sign out on one of them"), "{store}: {refused:#?}");
        assert!(!refused.body.contains("aria-invalid"), "no field is to blame: {store}");
        assert_eq!(proxy.events("login_failed")[0]["reason"], "session-limit");
        assert_eq!(status(&proxy, &first).await, 200, "{store}");

        let again = proxy.client().log_in(&mut first.clone(), ALICE, "").await;
        assert_eq!(again.status, 303, "whoever logs in anew gives the old session up: {store}");
        first.take(&again);
        proxy.clock.advance(Duration::from_secs(3_600));
        assert_eq!(status(&proxy, &first).await, 401);
        proxy.logged_in(ALICE).await;
        proxy.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_logins_at_once_no_more_stay_than_may() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let store = format!("url = \"{}\"", redis.url());
    let unlimited = "[login]\nattempts_per_client = \"off\"\nattempts_per_user = \"off\"";
    let proxies =
        [0, 1].map(|_| proxy(&upstream).store(&store).session("max_per_user = 3").section(unlimited).start());
    let mut logins = JoinSet::new();
    for n in 0..12 {
        let client = proxies[n % 2].client();
        logins.spawn(async move {
            let mut jar = Jar::default();
            (client.log_in(&mut jar, ALICE, "").await.status, jar)
        });
    }
    let jars: Vec<Jar> = logins
        .join_all()
        .await
        .into_iter()
        .map(|(status, jar)| {
            assert_eq!(status, 303);
            jar
        })
        .collect();
    let mut alive = 0;
    for jar in &jars {
        alive += usize::from(status(&proxies[0], jar).await == 200);
    }
    assert_eq!(alive, 3);
}

#[tokio::test]
async fn an_index_does_not_grow_with_sessions_that_are_over() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    for _ in 0..6 {
        proxy.logged_in(ALICE).await;
        for key in redis.cli(&["--scan", "--pattern", "session:*"]).lines() {
            redis.cli(&["DEL", key]);
        }
        proxy.clock.advance(Duration::from_secs(60));
    }
    let index = redis.cli(&["--scan", "--pattern", "session-user:*"]).trim().to_owned();
    assert_eq!(redis.cli(&["ZCARD", &index]).trim(), "1");
}

async fn visit_as(proxy: &Proxy, jar: &Jar, agent: &str) -> Answer {
    proxy.client().send(&format!("GET /\nCookie: {}\nUser-Agent: {agent}", jar.header()), "").await
}

#[tokio::test]
async fn a_session_bound_to_its_browser_is_nobodys_elsewhere() {
    let upstream = upstream().await;
    let bound = proxy(&upstream).session("bind = [\"user-agent\"]").start();
    let free = proxy(&upstream).start();
    for (proxy, elsewhere) in [(&bound, 401), (&free, 200)] {
        // The test's client sends no User-Agent at login.
        let jar = proxy.logged_in(ALICE).await;
        assert_eq!(status(proxy, &jar).await, 200);
        assert_eq!(visit_as(proxy, &jar, "curl/8").await.status, elsewhere);
        assert_eq!(status(proxy, &jar).await, 200, "who has it keeps it");
    }
    assert_eq!(bound.events("cookie_refused")[0]["reason"], "bound-elsewhere");
}

#[tokio::test]
async fn who_logs_out_from_elsewhere_ends_the_session_all_the_same() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).session("bind = [\"user-agent\"]").start();
    let jar = proxy.logged_in(ALICE).await;
    let from_elsewhere =
        |head: &str| format!("{head}\nCookie: {}\nUser-Agent: another\nOrigin: https://{HOST}", jar.header());
    let question = proxy.client().send(&from_elsewhere("GET /_foregate/logout\nAccept: text/html"), "").await;
    let token = question.field("csrf_token");
    let out =
        proxy.client().send(&from_elsewhere("POST /_foregate/logout"), &format!("csrf_token={token}")).await;
    assert_eq!(out.status, 303, "{out:#?}");
    assert_eq!(status(&proxy, &jar).await, 401, "a copy of the cookie is worth nothing");
}

#[tokio::test]
async fn a_session_bound_to_a_network_goes_on_within_it_alone() {
    let upstream = upstream().await;
    let bound = proxy(&upstream).session("bind = [\"network\"]").start();
    let free = proxy(&upstream).start();
    for (proxy, elsewhere) in [(&bound, 401), (&free, 200)] {
        let jar = proxy.logged_in(ALICE).await;
        for (from, expected) in [([127, 0, 0, 9], 200), ([127, 0, 1, 1], elsewhere), ([127, 0, 0, 1], 200)] {
            let client = proxy.client().at(Ipv4Addr::from(from));
            assert_eq!(client.get("/", &jar).await.status, expected, "from {from:?}");
        }
    }
    assert_eq!(bound.events("cookie_refused")[0]["reason"], "bound-elsewhere");
}

/// Whether a session lives on after a request by `head` half way through its idle time.
async fn is_kept_alive(proxy: &Proxy, head: &str) -> bool {
    let jar = proxy.logged_in(ALICE).await;
    let before = touches(proxy);
    proxy.clock.advance(Duration::from_secs(1_800));
    let answer = proxy.client().send(&format!("{head}\nCookie: {}", jar.header()), "").await;
    assert_eq!(answer.status, 200, "{head}");
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    touches(proxy) > before
}

fn touches(proxy: &Proxy) -> u64 {
    proxy.count("foregate_store_seconds_count{operation=\"touch\"}")
}

#[tokio::test]
async fn what_counts_as_use_is_said_by_the_route_and_by_activity() {
    let upstream = upstream().await;
    let with = |activity: &str| {
        proxy(&upstream)
            .route("/", "")
            .route("/poll", "touch = false")
            .session(&format!("idle_timeout = \"1h\"\nactivity = \"{activity}\""))
            .start()
    };
    let (requests, people) = (with("requests"), with("people"));
    for (head, by_requests, by_people) in [
        ("GET /\nSec-Fetch-Mode: navigate", true, true),
        ("GET /\nAccept: text/html", true, true),
        ("GET /\nSec-Fetch-Mode: cors", true, false),
        ("GET /\nAccept: application/json", true, false),
        ("HEAD /\nSec-Fetch-Mode: no-cors", true, false),
        ("POST /\nSec-Fetch-Mode: cors", true, true),
        ("GET /poll\nSec-Fetch-Mode: navigate", false, false),
        ("POST /poll\nSec-Fetch-Mode: cors", false, false),
    ] {
        assert_eq!(is_kept_alive(&requests, head).await, by_requests, "requests: {head}");
        assert_eq!(is_kept_alive(&people, head).await, by_people, "people: {head}");
    }
}
