//! Many who log in at once (security.md, DS-10): so many passwords are hashed and no more, and whoever is signed in notices
//! nothing of it.

use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tokio::task::JoinSet;

use crate::support::client::Jar;
use crate::support::proxy::{ALICE, hash, proxy};
use crate::support::report;
use crate::support::upstream::upstream;

/// Passwords that are tried at once.
const TRIES: usize = 200;

/// What one is hashed with, in KiB: some tens of milliseconds.
const MEMORY: u32 = 19_456;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_logins_at_once_hold_nobody_up_who_is_signed_in() {
    let upstream = upstream().await;
    let users = format!("[users.alice]\npassword = \"{}\"\n", hash(ALICE.1, MEMORY));
    let proxy = proxy(&upstream).users(&users).section("[login]\nhash_concurrency = 1").start();
    let alice = proxy.logged_in(ALICE).await;
    let quiet = ask(&proxy, &alice, 40).await;

    let (client, mut jar) = (proxy.client(), Jar::default());
    let form = client.visit("/_foregate/login", &jar).await;
    jar.take(&form);
    let token = form.field("csrf_token");
    let mut tries = JoinSet::new();
    for number in 0..TRIES {
        let (client, jar, token) = (client.clone(), jar.clone(), token.clone());
        let user = if number % 2 == 0 { "alice".to_owned() } else { format!("nobody-{number}") };
        tries.spawn(async move {
            let fields = [("username", user.as_str()), ("password", "a guess"), ("csrf_token", &token)];
            client.post("/_foregate/login", &jar, &fields).await
        });
    }
    let under_attack = ask(&proxy, &alice, 40).await;
    let mut turned_away = 0;
    while let Some(answer) = tries.join_next().await {
        let answer = answer.unwrap();
        assert!(matches!(answer.status, 401 | 403 | 422 | 429 | 503), "{answer:#?}");
        if matches!(answer.status, 429 | 503) {
            turned_away += 1;
            assert!(answer.header("retry-after").is_some(), "{answer:#?}");
        }
        assert!(answer.header("location").is_none());
    }
    report(&format!("the slowest of 40: {quiet:?} before, {under_attack:?} amid {TRIES} logins"));
    assert!(turned_away >= TRIES / 2, "{turned_away} of {TRIES} were not hashed");
    assert!(under_attack < Duration::from_secs(5), "{under_attack:?}");
    assert_eq!(proxy.client().get("/", &alice).await.status, 200);
}

/// So many requests, one after the other; the slowest.
async fn ask(proxy: &crate::support::proxy::Proxy, jar: &Jar, times: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..times {
        let watch = Stopwatch::start();
        assert_eq!(proxy.client().get("/", jar).await.status, 200);
        slowest = slowest.max(watch.elapsed());
    }
    slowest
}
