//! Fresh ids for sessions in use: who has an old one keeps the session, and nobody keeps an old one for long.

use std::collections::HashSet;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::client::{Answer, Jar};
use crate::support::cluster::Cluster;
use crate::support::proxy::{ALICE, Proxy, Setup, proxy};
use crate::support::redis::RedisServer;
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, upstream};

const HOUR: Duration = Duration::from_secs(3_600);

/// A proxy that replaces ids each hour, on each of the stores.
async fn on_each_store(test: impl AsyncFn(Proxy, &Upstream)) {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let (redis, cluster) = (RedisServer::start(), Cluster::start());
    let file = format!("url = \"file:{}/sessions.redb\"", folder.path().display());
    let redis_keys = format!("url = \"{}\"", redis.url());
    for store in ["url = \"memory:\"".to_owned(), file, redis_keys, cluster.store_keys()] {
        let ample = format!("{store}\ncommand_timeout = \"10s\"");
        test(rotating(&upstream).store(&ample).start(), &upstream).await;
    }
}

fn rotating(upstream: &Upstream) -> Setup {
    proxy(upstream).session("rotate_every = \"1h\"\nrotate_grace = \"30s\"")
}

/// The id in the session cookie that an answer sets.
fn new_id(answer: &Answer) -> Option<String> {
    assert_eq!(answer.status, 200, "{answer:#?}");
    let cookies = answer.all("set-cookie");
    let value = cookies.iter().find_map(|line| line.strip_prefix("__Host-session="))?;
    Some(value.split('.').next().unwrap().to_owned())
}

fn id(jar: &Jar) -> &str {
    jar.session().split('.').next().unwrap()
}

async fn status(proxy: &Proxy, jar: &Jar) -> u16 {
    proxy.client().get("/", jar).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_navigation_brings_a_fresh_id_for_the_same_session_when_one_is_due() {
    on_each_store(async |proxy, upstream| {
        let (client, mut jar) = (proxy.client(), proxy.logged_in(ALICE).await);
        let (first, handle) = (id(&jar).to_owned(), {
            client.get("/", &jar).await;
            upstream.last().header("x-foregate-session").unwrap()
        });
        assert_eq!(new_id(&client.visit("/", &jar).await), None, "not due yet");
        proxy.clock.advance(HOUR);
        assert_eq!(new_id(&client.get("/", &jar).await), None, "a script's answer could be late");
        let answer = client.visit("/", &jar).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let next = new_id(&answer).unwrap();
        assert_eq!(next[..21], first[..21], "the selector stays");
        assert_ne!(next, first);
        jar.take(&answer);
        assert_eq!(new_id(&client.visit("/", &jar).await), None);
        assert_eq!(upstream.last().header("x-foregate-session").unwrap(), handle);
        let rotated = proxy.events("rotated");
        assert_eq!(rotated.len(), 1);
        assert_eq!(rotated[0]["handle"], *handle);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_id_counts_until_the_new_one_is_used_and_a_little_longer() {
    on_each_store(async |proxy, _| {
        let (client, old) = (proxy.client(), proxy.logged_in(ALICE).await);
        proxy.clock.advance(HOUR);
        let lost = new_id(&client.visit("/", &old).await).unwrap();
        proxy.clock.advance(5 * HOUR);
        let again = client.visit("/", &old).await;
        assert_eq!(new_id(&again).as_ref(), Some(&lost), "an answer that was lost costs nothing");
        assert_eq!(status(&proxy, &old).await, 200);

        let mut new = old.clone();
        new.take(&again);
        assert_eq!(status(&proxy, &new).await, 200);
        eventually("the use of the new id is recorded", async || {
            proxy.count("foregate_store_seconds_count{operation=\"replace\"}") == 2
        })
        .await;
        proxy.clock.advance(Duration::from_secs(29));
        assert_eq!(status(&proxy, &old).await, 200);
        proxy.clock.advance(Duration::from_secs(1));
        assert_eq!(status(&proxy, &old).await, 401, "who used the new id has it");
        assert_eq!(client.visit("/", &old).await.status, 303);
        assert_eq!(status(&proxy, &new).await, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_use_of_a_new_id_is_a_use_like_any_other() {
    on_each_store(async |proxy, _| {
        let touched = || proxy.count("foregate_store_seconds_count{operation=\"touch\"}");
        let mut jar = proxy.logged_in(ALICE).await;
        proxy.clock.advance(HOUR);
        let answer = proxy.client().visit("/", &jar).await;
        assert!(new_id(&answer).is_some());
        jar.take(&answer);
        eventually("the use is recorded", async || touched() == 1).await;
        proxy.clock.advance(HOUR / 2);
        assert_eq!(status(&proxy, &jar).await, 200);
        eventually("the one request with the new id is recorded", async || touched() == 2).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_at_once_agree_on_one_new_id() {
    on_each_store(async |proxy, _| {
        let jar = proxy.logged_in(ALICE).await;
        proxy.clock.advance(HOUR);
        let mut requests = JoinSet::new();
        for _ in 0..100 {
            let (client, jar) = (proxy.client(), jar.clone());
            requests.spawn(async move { new_id(&client.visit("/", &jar).await) });
        }
        let ids: HashSet<_> = requests.join_all().await.into_iter().map(Option::unwrap).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(proxy.events("rotated").len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_beside_a_rotation_always_wins() {
    on_each_store(async |proxy, _| {
        for round in 0..10 {
            let (client, mut jar) = (proxy.client(), proxy.logged_in(ALICE).await);
            proxy.clock.advance(HOUR);
            let question = client.get("/_foregate/logout", &jar).await;
            let token = question.field("csrf_token");
            let fields = [("csrf_token", token.as_str())];
            let (visit, logout) =
                tokio::join!(client.visit("/", &jar), client.post("/_foregate/logout", &jar, &fields));
            assert_eq!(logout.status, 303);
            assert_eq!(status(&proxy, &jar).await, 401, "round {round}");
            jar.take(&visit);
            assert_eq!(status(&proxy, &jar).await, 401, "round {round}: the new id: {visit:#?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ids_of_a_session_in_one_request_are_one_session() {
    on_each_store(async |proxy, _| {
        let (client, old) = (proxy.client(), proxy.logged_in(ALICE).await);
        proxy.clock.advance(HOUR);
        let mut new = old.clone();
        new.take(&client.visit("/", &old).await);
        for jars in [[&old, &new], [&new, &old]] {
            let both =
                Jar(jars.iter().map(|jar| ("__Host-session".to_owned(), jar.session().into())).collect());
            assert_eq!(status(&proxy, &both).await, 200);
        }
        assert_eq!(proxy.client().log_out(&mut new.clone()).await.status, 303);
        assert_eq!((status(&proxy, &old).await, status(&proxy, &new).await), (401, 401));
    })
    .await;
}

#[tokio::test]
async fn nobody_who_reads_redis_learns_an_id_and_nobody_who_writes_there_makes_one() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = rotating(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let monitor = redis.monitor();
    let (client, old) = (proxy.client(), proxy.logged_in(ALICE).await);
    proxy.clock.advance(HOUR);
    let answer = client.visit("/", &old).await;
    let mut new = old.clone();
    new.take(&answer);
    assert_eq!(status(&proxy, &new).await, 200);
    let seen = monitor.commands().join("\n");
    assert!(seen.contains("prev"), "the rotation was seen: {seen}");
    for jar in [&old, &new] {
        let (selector, verifier) = id(jar).split_at(21);
        assert!(!seen.contains(selector) && !seen.contains(&verifier[1..]), "{seen}");
    }

    let key = redis.cli(&["--scan", "--pattern", "session:*"]).trim().to_owned();
    let record = redis.cli(&["GET", &key]);
    let without = record.replace("\"prev\"", "\"prex\"");
    assert_ne!(record, without);
    redis.cli(&["SET", &key, without.trim()]);
    assert_eq!(status(&proxy, &new).await, 401, "its tag does not fit any more");
}

#[tokio::test]
async fn a_rotation_brings_the_record_under_the_newest_secret_and_keeps_what_it_does_not_know() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let store = format!("url = \"{}\"", redis.url());
    let (old_secret, new_secret) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let first = rotating(&upstream).store(&store).secret(old_secret).start();
    let mut jar = first.logged_in(ALICE).await;
    drop(first);

    let keys = format!("rotate_every = \"1s\"\nprevious_secrets = [\"{old_secret}\"]");
    let second = proxy(&upstream).store(&store).secret(new_secret).session(&keys).start();
    second.clock.advance(Duration::from_secs(2));
    let answer = second.client().visit("/", &jar).await;
    assert!(new_id(&answer).is_some());
    jar.take(&answer);
    drop(second);

    let third = rotating(&upstream).store(&store).secret(new_secret).start();
    third.clock.advance(Duration::from_secs(3));
    assert_eq!(status(&third, &jar).await, 200, "nothing is left under the old secret");
}

#[tokio::test]
async fn an_id_that_cannot_be_replaced_now_goes_on() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start());
    let proxy = rotating(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let (client, jar) = (proxy.client(), proxy.logged_in(ALICE).await);
    proxy.clock.advance(HOUR);
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(new_id(&client.visit("/", &jar).await), None, "Redis takes no writes");
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert!(new_id(&client.visit("/", &jar).await).is_some());
    redis.kill();
}
