//! Several proxies on one Redis: what one does, the others know.

use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tokio::task::JoinSet;

use crate::admin;
use crate::support::client::Jar;
use crate::support::proxy::{ALICE, BOB, Proxy, Setup, proxy};
use crate::support::redis::RedisServer;
use crate::support::relay::Relay;
use crate::support::report;
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, upstream};

async fn status(proxy: &Proxy, jar: &Jar) -> u16 {
    proxy.client().get("/", jar).await.status
}

fn on(upstream: &Upstream, redis: &RedisServer) -> Setup {
    proxy(upstream).store(&format!("url = \"{}\"\ncommand_timeout = \"5s\"", redis.url()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_known_costs_redis_nothing() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = on(&upstream, &redis).start();
    let alice = proxy.logged_in(ALICE).await;
    assert_eq!(status(&proxy, &alice).await, 200);
    let monitor = redis.monitor();
    for _ in 0..20 {
        assert_eq!(status(&proxy, &alice).await, 200);
    }
    assert_eq!(monitor.commands(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_first_requests_of_one_session_make_one_get() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let (first, second) = (on(&upstream, &redis).start(), on(&upstream, &redis).start());
    let alice = first.logged_in(ALICE).await;
    let monitor = redis.monitor();
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let (client, alice) = (second.client(), alice.clone());
        requests.spawn(async move {
            let mut statuses = Vec::new();
            for _ in 0..10 {
                statuses.push(client.get("/", &alice).await.status);
            }
            statuses
        });
    }
    assert!(requests.join_all().await.into_iter().flatten().all(|status| status == 200));
    assert_eq!(monitor.count("GET"), 1);
}

/// How long a session that was ended on one proxy lives on on the other, over so many tries.
async fn lives_on(tries: usize) -> Vec<Duration> {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let (here, there) = (on(&upstream, &redis).start(), on(&upstream, &redis).start());
    let mut times = Vec::new();
    for _ in 0..tries {
        let mut alice = here.logged_in(ALICE).await;
        let copied = alice.clone();
        assert_eq!(status(&there, &copied).await, 200);
        assert_eq!(here.client().log_out(&mut alice).await.status, 303);
        let ended = Stopwatch::start();
        while status(&there, &copied).await != 401 {
            assert!(ended.elapsed() < Duration::from_secs(5), "it lives on");
        }
        times.push(ended.elapsed());
    }
    times.sort_unstable();
    report(&format!("a logout is known elsewhere after {:?} (p99 of {tries})", times[tries * 99 / 100]));
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_here_is_known_there_at_once() {
    let times = lives_on(30).await;
    assert!(times.iter().all(|time| *time < Duration::from_secs(1)), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a thousand logouts"]
async fn a_thousand_logouts_are_known_elsewhere_within_50_ms() {
    let times = lives_on(1_000).await;
    assert!(times[989] < Duration::from_millis(50), "{:?}", times[989]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_use_everywhere_is_written_once_an_interval() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxies = [on(&upstream, &redis), on(&upstream, &redis)]
        .map(|setup| setup.session("idle_timeout = \"1h\"").start());
    let alice = proxies[0].logged_in(ALICE).await;
    let monitor = redis.monitor();
    for minute in 1..=3 {
        for _ in 0..10 {
            for proxy in &proxies {
                proxy.clock.advance(Duration::from_secs(6));
                assert_eq!(status(proxy, &alice).await, 200);
            }
        }
        eventually("the use is recorded", async || monitor.count("SETRANGE") >= minute).await;
    }
    assert!(monitor.count("SETRANGE") <= 3, "an interval is a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_misses_the_word_of_a_change_serves_no_longer_than_max_age() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let relay = Relay::to(redis.port()).await;
    let here = on(&upstream, &redis).start();
    let there = proxy(&upstream)
        .store(&format!("url = \"redis://127.0.0.1:{}\"", relay.port()))
        .section("[session.cache]\nmax_age = \"10s\"")
        .start();
    let mut alice = here.logged_in(ALICE).await;
    let (copied, bob) = (alice.clone(), here.logged_in(BOB).await);
    assert_eq!((status(&there, &copied).await, status(&there, &bob).await), (200, 200));
    relay.stall();
    assert_eq!(here.client().log_out(&mut alice).await.status, 303);
    there.clock.advance(Duration::from_secs(9));
    assert_eq!(status(&there, &copied).await, 200, "nobody has told this proxy");
    there.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&there, &copied).await, 503);
    relay.go_on();
    eventually("it is refused", async || status(&there, &copied).await == 401).await;
    eventually("others are served", async || status(&there, &bob).await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_takes_what_was_read_over_it_along() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = on(&upstream, &redis).section("[session.cache]\nmax_age = \"1h\"").start();
    let alice = proxy.logged_in(ALICE).await;
    assert_eq!(status(&proxy, &alice).await, 200);
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let monitor = redis.monitor();
    eventually("it is looked up again", async || {
        assert_eq!(status(&proxy, &alice).await, 200);
        monitor.count("GET") > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_data_lost_is_known_at_once() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = on(&upstream, &redis).section("[session.cache]\nmax_age = \"1h\"").start();
    let alice = proxy.logged_in(ALICE).await;
    for command in ["FLUSHALL", "FLUSHDB"] {
        let alice = proxy.logged_in(ALICE).await;
        assert_eq!(status(&proxy, &alice).await, 200);
        redis.cli(&[command]);
        eventually(command, async || status(&proxy, &alice).await == 401).await;
    }
    assert_eq!(status(&proxy, &alice).await, 401);
    let again = proxy.logged_in(ALICE).await;
    assert_eq!(status(&proxy, &again).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_redis_does_not_tell_of_changes_nothing_is_remembered_and_readyz_says_so() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    redis.cli(&["ACL", "SETUSER", "default", "-client|tracking"]);
    let proxy = on(&upstream, &redis).start();
    let alice = proxy.logged_in(ALICE).await;
    let monitor = redis.monitor();
    for _ in 0..5 {
        assert_eq!(status(&proxy, &alice).await, 200);
    }
    assert_eq!(monitor.count("GET"), 5);
    let ready = admin::get(&proxy, "/readyz").await;
    assert_eq!(ready.status, 200, "{ready:#?}");
    assert!(ready.body.contains("sessions are not remembered: Redis refuses CLIENT TRACKING"), "{ready:#?}");
}
