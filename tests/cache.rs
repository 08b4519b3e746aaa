//! What this process remembers of sessions: it saves the store's time, and nobody is served by it who should not be.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::client::Jar;
use crate::support::proxy::{ALICE, BOB, Proxy, Setup, proxy};
use crate::support::upstream::{Upstream, upstream};

fn loads(proxy: &Proxy) -> u64 {
    proxy.count("foregate_store_seconds_count{operation=\"load\"}")
}

async fn status(proxy: &Proxy, jar: &Jar) -> u16 {
    proxy.client().get("/", jar).await.status
}

/// A proxy whose sessions lie in a file, which tells of every change.
fn on_file(upstream: &Upstream, folder: &tempfile::TempDir, keys: &str) -> Setup {
    let url = format!("url = \"file:{}/sessions.redb\"\ncommand_timeout = \"10s\"", folder.path().display());
    proxy(upstream).store(&url).section(&format!("[session.cache]\n{keys}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_looked_up_once_and_again_when_it_is_too_long_ago() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let proxy = on_file(&upstream, &folder, "max_age = \"10s\"").start();
    let alice = proxy.logged_in(ALICE).await;
    let before = loads(&proxy);
    for _ in 0..20 {
        assert_eq!(status(&proxy, &alice).await, 200);
    }
    assert_eq!(loads(&proxy) - before, 1);
    assert_eq!(proxy.count("foregate_cache_lookups_total{result=\"hit\"}"), 19);
    proxy.clock.advance(Duration::from_secs(9));
    assert_eq!((status(&proxy, &alice).await, loads(&proxy) - before), (200, 1));
    proxy.clock.advance(Duration::from_secs(1));
    assert_eq!((status(&proxy, &alice).await, loads(&proxy) - before), (200, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_ends_with_a_logout_and_with_its_time() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let proxy = on_file(&upstream, &folder, "max_age = \"10m\"").session("idle_timeout = \"10m\"").start();
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    assert_eq!((status(&proxy, &alice).await, status(&proxy, &bob).await), (200, 200));
    assert_eq!(proxy.client().log_out(&mut alice.clone()).await.status, 303);
    assert_eq!(status(&proxy, &alice).await, 401);
    proxy.clock.advance(Duration::from_secs(599));
    assert_eq!(status(&proxy, &bob).await, 200);
    proxy.clock.advance(Duration::from_secs(601));
    assert_eq!(status(&proxy, &bob).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_first_requests_of_one_session_are_one_look_up() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let proxy = on_file(&upstream, &folder, "").start();
    let alice = proxy.logged_in(ALICE).await;
    let before = loads(&proxy);
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let (client, alice) = (proxy.client(), alice.clone());
        requests.spawn(async move { client.get("/", &alice).await.status });
    }
    assert!(requests.join_all().await.into_iter().all(|status| status == 200));
    assert_eq!(loads(&proxy) - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_remembered_where_nothing_is_to_be() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let proxy = on_file(&upstream, &folder, "enabled = false").start();
    let alice = proxy.logged_in(ALICE).await;
    let before = loads(&proxy);
    for _ in 0..5 {
        assert_eq!(status(&proxy, &alice).await, 200);
    }
    assert_eq!(loads(&proxy) - before, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sessions_than_are_remembered_are_looked_up_again() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let proxy = on_file(&upstream, &folder, "entries = 1").start();
    let jars = [proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await];
    for _ in 0..5 {
        for jar in &jars {
            assert_eq!(status(&proxy, jar).await, 200);
        }
    }
    assert!(loads(&proxy) > 2, "both are served, though there is room for one");
}
