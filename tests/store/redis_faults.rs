//! What holds when Redis fails: `unavailable` in time, never `absent`, and back by itself.

use std::error::Error;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use foregate::base::handle::Handle;
use foregate::config::{RedisUrl, StoreUrl};
use foregate::store::{Store, Trouble, Unavailable};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Sample, open, open_redis, record, redis_at, touch, with_password};
use crate::support::redis::{RedisServer, free_port};
use crate::support::relay::Relay;

const COMMAND: Duration = Duration::from_millis(250);
const CONNECT: Duration = Duration::from_millis(500);

/// Beyond its timeout a call may take what a busy machine needs to notice.
const SLACK: Duration = Duration::from_secs(2);

fn hasty(url: RedisUrl) -> Arc<dyn Store> {
    open(StoreUrl::Redis(url), COMMAND, CONNECT)
}

/// What every call fails with.
async fn troubles(store: &dyn Store) -> Vec<Unavailable> {
    let sample = Sample::new(1);
    let mut troubles = Vec::new();
    troubles.extend(in_time(store.load(&sample.handle)).await.err());
    troubles.extend(in_time(store.create(&sample.session())).await.err());
    troubles.extend(in_time(store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at))).await.err());
    troubles.extend(in_time(store.remove(&sample.handle, &sample.account)).await.err());
    troubles.extend(in_time(store.ping()).await.err());
    assert_eq!(troubles.len(), 5, "a call succeeds");
    troubles
}

async fn in_time<T>(call: impl Future<Output = T>) -> T {
    timeout(CONNECT + SLACK, call).await.expect("a call ends within its timeout")
}

/// How long it takes until a look-up succeeds.
async fn recovery(store: &dyn Store, handle: &Handle) -> Duration {
    let waited = Stopwatch::start();
    while store.load(handle).await.is_err() {
        assert!(waited.elapsed() < Duration::from_secs(10), "it does not recover");
        sleep(Duration::from_millis(10)).await;
    }
    waited.elapsed()
}

fn full_text(trouble: &Unavailable) -> String {
    let mut text = format!("{trouble:?} {trouble}");
    let mut cause = trouble.source();
    while let Some(error) = cause {
        text = format!("{text}: {error} {error:?}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn without_redis_every_call_is_unavailable_at_once() {
    let store = hasty(redis_at(free_port()));
    for trouble in troubles(&*store).await {
        assert_eq!(trouble.kind, Trouble::Connection);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_that_never_answers_costs_each_lane_one_attempt_and_nobody_more_than_the_timeout() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let store = hasty(redis_at(silent.local_addr().unwrap().port()));
    let mut visits = JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        visits.spawn(async move { in_time(store.load(&Handle::new([n; 16]))).await.unwrap_err().kind });
    }
    assert!(visits.join_all().await.into_iter().all(|kind| kind == Trouble::Timeout));
    let mut connections = Vec::new();
    while let Ok(Ok(connection)) = timeout(Duration::from_millis(20), silent.accept()).await {
        connections.push(connection);
    }
    assert_eq!(connections.len(), 2);
}

#[tokio::test]
async fn redis_may_come_after_the_proxy() {
    let mut server = RedisServer::start();
    server.stop();
    let store = hasty(redis_at(server.port()));
    let sample = Sample::new(1);
    troubles(&*store).await;
    server.restart();
    recovery(&*store, &sample.handle).await;
    store.create(&sample.session()).await.unwrap();
}

#[tokio::test]
async fn a_restart_logs_nobody_out_and_is_over_within_a_second() {
    let mut server = RedisServer::builder().appendonly().start();
    let store = hasty(redis_at(server.port()));
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    store.load(&sample.handle).await.unwrap();
    server.kill();
    for trouble in troubles(&*store).await {
        assert_eq!(trouble.kind, Trouble::Connection);
    }
    server.restart();
    let took = recovery(&*store, &sample.handle).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record));
}

#[tokio::test]
async fn a_restart_between_two_requests_is_not_noticed() {
    let mut server = RedisServer::builder().appendonly().start();
    let store = open_redis(redis_at(server.port()));
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    for _ in 0..2 {
        store.load(&sample.handle).await.unwrap();
    }
    server.restart();
    assert!(store.load(&sample.handle).await.unwrap().record.is_some());
    store.create(&Sample::new(2).session()).await.unwrap();
    server.restart();
    assert!(store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap());
    server.restart();
    assert!(store.remove(&sample.handle, &sample.account).await.unwrap().existed);
}

#[tokio::test]
async fn a_look_up_that_is_cut_is_tried_once_more() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port()).await;
    let store = open_redis(redis_at(relay.port()));
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    let monitor = server.monitor();
    relay.lose_the_answer_to("GET");
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record));
    assert_eq!(monitor.count("GET"), 2);
}

#[tokio::test]
async fn a_login_whose_answer_is_lost_is_checked_and_not_repeated() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port()).await;
    let store = open_redis(redis_at(relay.port()));
    let monitor = server.monitor();
    relay.lose_the_answer_to("\r\nSET\r\n");
    store.create(&Sample::new(1).session()).await.unwrap();
    assert_eq!((monitor.count("SET"), monitor.count("GET")), (1, 1));
}

#[tokio::test]
async fn a_login_whose_answer_is_lost_is_refused_where_the_handle_was_taken() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port()).await;
    let store = open_redis(redis_at(relay.port()));
    let (first, second) = (Sample::new(1), Sample { record: b"another".to_vec(), ..Sample::new(1) });
    store.create(&first.session()).await.unwrap();
    relay.lose_the_answer_to("\r\nSET\r\n");
    assert_eq!(store.create(&second.session()).await.unwrap_err().kind, Trouble::Connection);
    assert_eq!(store.load(&first.handle).await.unwrap().record, Some(first.record));
}

#[tokio::test]
async fn forgotten_scripts_are_taught_again_unnoticed() {
    let server = RedisServer::start();
    let store = open_redis(redis_at(server.port()));
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    for second in 1..=3 {
        server.cli(&["SCRIPT", "FLUSH"]);
        assert!(store.touch(&sample.handle, touch(1_700_000_000 + second, sample.ends_at)).await.unwrap());
        server.cli(&["SCRIPT", "FLUSH"]);
        store.create(&Sample::new(1 + u8::try_from(second).unwrap()).session()).await.unwrap();
    }
}

#[tokio::test]
async fn a_redis_that_hangs_is_a_timeout_and_is_taken_up_again() {
    let server = RedisServer::start();
    let store = hasty(redis_at(server.port()));
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    store.load(&sample.handle).await.unwrap();
    server.pause();
    for trouble in troubles(&*store).await {
        assert_eq!(trouble.kind, Trouble::Timeout);
    }
    server.resume();
    let took = recovery(&*store, &sample.handle).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_answer_is_never_taken_for_anothers() {
    let server = RedisServer::start();
    let store = open_redis(redis_at(server.port()));
    for n in 0..100 {
        store.create(&Sample::new(n).session()).await.unwrap();
    }
    server.pause();
    let mut given_up = JoinSet::new();
    for n in 0..1000_u16 {
        let store = Arc::clone(&store);
        let handle = Handle::new([u8::try_from(n % 100).unwrap(); 16]);
        given_up.spawn(async move { timeout(Duration::from_millis(50), store.load(&handle)).await.is_err() });
    }
    assert!(given_up.join_all().await.into_iter().all(|cancelled| cancelled));
    let mut visits = JoinSet::new();
    for n in (0..100).rev() {
        let store = Arc::clone(&store);
        visits.spawn(async move {
            let loaded = store.load(&Handle::new([n; 16])).await.unwrap().record;
            assert_eq!(loaded, Some(record(1_700_000_000, n)));
        });
    }
    server.resume();
    visits.join_all().await;
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_never_repeated_in_words() {
    let server = RedisServer::builder().password("the-right-one").start();
    let store = hasty(with_password(redis_at(server.port()), "a-wrong-one"));
    for trouble in troubles(&*store).await {
        assert_eq!(trouble.kind, Trouble::Denied);
        let text = full_text(&trouble);
        assert!(!text.contains("a-wrong-one") && !text.contains("the-right-one"), "{text}");
    }
    assert!(!format!("{store:#?}").contains("a-wrong-one"));
}

#[tokio::test]
async fn a_missing_password_or_permission_is_denied() {
    let server = RedisServer::builder().password("s3cret").start();
    for trouble in troubles(&*hasty(redis_at(server.port()))).await {
        assert_eq!(trouble.kind, Trouble::Denied);
    }
    server.cli(&["ACL", "SETUSER", "reader", "on", ">reading", "~session*", "+get", "+ping"]);
    let reader = RedisUrl { user: Some("reader".to_owned()), ..redis_at(server.port()) };
    let store = hasty(with_password(reader, "reading"));
    let sample = Sample::new(1);
    assert_eq!(store.load(&sample.handle).await.unwrap().record, None);
    assert_eq!(store.create(&sample.session()).await.unwrap_err().kind, Trouble::Denied);
}

#[tokio::test]
async fn a_full_redis_refuses_logins_and_knows_its_sessions() {
    let server = RedisServer::builder().directive("maxmemory-policy", "noeviction").start();
    let store = hasty(redis_at(server.port()));
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(store.create(&Sample::new(2).session()).await.unwrap_err().kind, Trouble::Full);
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record));
    assert_eq!(store.load(&Handle::new([2; 16])).await.unwrap().record, None);
    assert!(store.remove(&sample.handle, &sample.account).await.unwrap().existed);
}

#[tokio::test]
async fn a_replica_takes_no_logins() {
    let server = RedisServer::start();
    let store = hasty(redis_at(server.port()));
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    server.cli(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    assert_eq!(store.create(&Sample::new(2).session()).await.unwrap_err().kind, Trouble::ReadOnly);
    let touched = store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await;
    assert_eq!(touched.unwrap_err().kind, Trouble::ReadOnly);
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record));
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    store.create(&Sample::new(2).session()).await.unwrap();
}
