//! What holds when the master changes, or when it is not clear who that is.

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use foregate::base::secret::Secret;
use foregate::config::{CertificateFiles, ClientTls, RedisAddress, RedisUrl, StoreUrl};
use foregate::store::{Removed, Store, Trouble, Unavailable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::under_load::{Load, Tally, logged_in};
use super::{AMPLE, Sample, open, open_redis, shared};
use crate::support::authority::Authority;
use crate::support::redis::{RedisServer, documented_user_of, free_port};
use crate::support::report;
use crate::support::sentinels::{MASTER, SENTINEL_PASSWORD, Sentinels, USER_PASSWORD, url_naming};
use crate::support::tls_front::TlsFront;

const COMMAND: Duration = Duration::from_millis(250);
const CONNECT: Duration = Duration::from_secs(1);

fn hasty(url: RedisUrl) -> Arc<dyn Store> {
    open(StoreUrl::Redis(url), COMMAND, CONNECT)
}

fn healthy() -> Arc<Sentinels> {
    static SENTINELS: Mutex<Weak<Sentinels>> = Mutex::new(Weak::new());
    shared(&SENTINELS, Sentinels::start)
}

/// Breaks something while sessions are in use; what came of it, and when a majority of the sentinels named another
/// master.
async fn failover(
    sentinels: &mut Sentinels,
    store: &Arc<dyn Store>,
    break_it: fn(&mut Sentinels),
) -> (Tally, Duration) {
    let samples = logged_in(&**store, 30).await;
    sentinels.wait_for_replicas();
    let before = sentinels.elected();
    let load = Load::start(store, 30);
    load.for_another(Duration::from_millis(200)).await;
    break_it(sentinels);
    while sentinels.elected() == before || sentinels.elected().is_none() {
        assert!(load.since.elapsed() < 3 * AMPLE, "nobody else is elected");
    }
    let elected = load.since.elapsed();
    load.for_another(Duration::from_millis(1500)).await;
    let tally = load.end().await;
    for sample in &samples {
        assert!(is_kept(&**store, sample).await);
    }
    (tally, elected)
}

/// Whether a sample's record is there, once the store says anything: on a busy machine an answer may come too late.
async fn is_kept(store: &dyn Store, sample: &Sample) -> bool {
    let waited = Stopwatch::start();
    loop {
        match store.load(&sample.handle).await {
            Ok(loaded) => return loaded.record.is_some(),
            Err(error) => assert!(waited.elapsed() < AMPLE, "{error}"),
        }
    }
}

fn full_text(trouble: &Unavailable) -> String {
    format!("{trouble:?} {}", trouble.source().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_is_missed_until_a_majority_names_another() {
    let mut sentinels = Sentinels::start();
    let store = hasty(sentinels.url());
    let old = sentinels.elected().unwrap();
    let (tally, elected) = failover(&mut sentinels, &store, |all| all.servers[0].kill()).await;
    let late = tally.last_failure_after(elected);
    report(&format!(
        "a killed master: {} of {} requests failed, the last {late:?} after the majority named another",
        tally.failures.len(),
        tally.requests
    ));
    assert!(!tally.failures.is_empty() && late < Duration::from_secs(1), "{late:?}");

    // It comes back empty, and as a master until the sentinels see to it.
    sentinels.server_at(old).restart();
    for n in 0..30 {
        assert!(is_kept(&*store, &Sample::new(n)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_that_a_failover_has_forgotten_is_made_again() {
    let mut sentinels = Sentinels::start();
    let (store, other) = (hasty(sentinels.url()), hasty(sentinels.url()));
    let (ended, kept) = (Sample::new(1), Sample::new(2));
    for sample in [&ended, &kept] {
        store.create(&sample.session()).await.unwrap();
    }
    sentinels.wait_for_replicas();
    for replica in &sentinels.servers[1..] {
        replica.pause();
    }
    let removed = store.remove(&ended.handle, &ended.account).await.unwrap();
    assert_eq!(removed, Removed { existed: true, replicas: Some(0) });
    sentinels.servers[0].kill();
    for replica in &sentinels.servers[1..] {
        replica.resume();
    }
    let waited = Stopwatch::start();
    let mut was_back = false;
    loop {
        assert!(waited.elapsed() < 3 * AMPLE, "it is not made again");
        let here = store.load(&ended.handle).await.map(|loaded| loaded.record);
        assert!(here.is_ok_and(|record| record.is_none()), "whoever made it does not forget it");
        match other.load(&ended.handle).await.map(|loaded| loaded.record) {
            Ok(Some(_)) => was_back = true,
            Ok(None) if sentinels.elected().is_some() => break,
            Ok(None) | Err(_) => {}
        }
        sleep(Duration::from_millis(5)).await;
    }
    report(&format!("a forgotten logout: made again after {:?}, was back: {was_back}", waited.elapsed()));
    let removed = store.remove(&kept.handle, &kept.account).await.unwrap();
    assert_eq!(removed, Removed { existed: true, replicas: Some(1) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_steps_down_is_followed_at_once() {
    let mut sentinels = Sentinels::start();
    let store = hasty(sentinels.url());
    let step_down = |all: &mut Sentinels| {
        assert_eq!(all.sentinels[0].cli(&["SENTINEL", "FAILOVER", MASTER]), "OK");
    };
    let (tally, elected) = failover(&mut sentinels, &store, step_down).await;
    let late = tally.last_failure_after(elected);
    report(&format!(
        "a planned failover: {} of {} requests failed, the last {late:?} after the majority named another",
        tally.failures.len(),
        tally.requests
    ));
    assert!(late < Duration::from_secs(1), "{late:?}");
}

#[tokio::test]
async fn one_sentinel_leads_to_the_others() {
    let sentinels = healthy();
    let store = open_redis(url_naming(&[sentinels.sentinels[1].port()]));
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_minority_of_the_sentinels_is_not_enough() {
    let sentinels = healthy();
    let one = sentinels.sentinels[0].port();
    let store = open(StoreUrl::Redis(url_naming(&[one, free_port(), free_port()])), AMPLE, CONNECT);
    assert_eq!(store.load(&Sample::new(1).handle).await.unwrap_err().kind, Trouble::Connection);
}

#[tokio::test]
async fn a_sentinel_that_is_away_is_outvoted() {
    let sentinels = healthy();
    let [one, other] = [0, 2].map(|n: usize| sentinels.sentinels[n].port());
    open_redis(url_naming(&[free_port(), one, other])).ping().await.unwrap();
}

#[tokio::test]
async fn a_sentinel_that_lies_is_outvoted() {
    let (sentinels, trap) = (healthy(), RedisServer::start());
    let (liar, _lying) = sentinel_that_names("127.0.0.1", trap.port()).await;
    let [one, other] = [0, 1].map(|n: usize| sentinels.sentinels[n].port());
    let monitor = trap.monitor();
    let store = open_redis(url_naming(&[liar, one, other]));
    for n in 0..20 {
        store.load(&Sample::new(n).handle).await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(monitor.commands(), Vec::<String>::new());
    let store = open(StoreUrl::Redis(url_naming(&[liar, one])), AMPLE, CONNECT);
    let trouble = store.load(&Sample::new(1).handle).await.unwrap_err();
    assert!(full_text(&trouble).contains("no majority of the sentinels"), "{trouble:?}");
    assert_eq!((trouble.kind, monitor.commands()), (Trouble::NotReady, Vec::new()));
}

#[tokio::test]
async fn sentinels_and_servers_may_speak_tls_under_names() {
    let authority = Authority::new();
    let (pair, client) = (authority.issue("localhost"), authority.issue("client.test"));
    let user = documented_user_of("redis+sentinel", USER_PASSWORD);
    let server = RedisServer::builder().tls(&authority, &pair).only_user(&user).start();
    let (sentinel, _task) = sentinel_that_names("localhost", server.tls_port()).await;
    let front = TlsFront::of((Ipv4Addr::LOCALHOST, sentinel).into(), pair.server("none")).await;
    let mut url = url_naming(&[front.port()]);
    let RedisAddress::Sentinel(known) = &mut url.address else { panic!("it names sentinels") };
    known.sentinels[0].host = "localhost".to_owned();
    let certificate = Some(CertificateFiles { cert: client.cert, key: client.key });
    known.tls = Some(ClientTls { ca: Some(authority.bundle()), certificate });
    let (store, sample) = (open_redis(url), Sample::new(1));
    store.create(&sample.session()).await.unwrap();
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record));
}

#[tokio::test]
async fn a_replica_that_is_named_as_the_master_is_not_taken_for_one() {
    let sentinels = healthy();
    let (sentinel, _task) = sentinel_that_names("127.0.0.1", sentinels.servers[1].port()).await;
    let store = open_redis(url_naming(&[sentinel]));
    assert_eq!(store.load(&Sample::new(1).handle).await.unwrap_err().kind, Trouble::ReadOnly);
}

/// A sentinel's port, and what answers there as long as it is kept; it knows no other sentinel.
async fn sentinel_that_names(host: &'static str, master: u16) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (port, mut task) = (listener.local_addr().unwrap().port(), JoinSet::new());
    task.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(answer(client, host, master));
        }
    });
    (port, task)
}

async fn answer(mut client: TcpStream, host: &str, master: u16) {
    let answers = [
        ("HELLO", "%1\r\n$5\r\nproto\r\n:3\r\n".to_owned()),
        ("PING", "+PONG\r\n".to_owned()),
        ("SUBSCRIBE", ">3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n".to_owned()),
        ("GET-MASTER-ADDR-BY-NAME", format!("*2\r\n${}\r\n{host}\r\n$5\r\n{master}\r\n", host.len())),
        ("MYID", format!("$40\r\n{}\r\n", "f".repeat(40))),
        ("SENTINELS", "*0\r\n".to_owned()),
    ];
    let mut asked = [0; 4096];
    while let Ok(length @ 1..) = client.read(&mut asked).await {
        let text = String::from_utf8_lossy(&asked[..length]).into_owned();
        for word in text.split("\r\n") {
            let Some((_, answer)) = answers.iter().find(|(command, _)| *command == word) else { continue };
            if client.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_password_for_the_sentinels_is_denied_and_never_repeated_in_words() {
    let sentinels = healthy();
    let mut url = sentinels.url();
    let RedisAddress::Sentinel(known) = &mut url.address else { panic!("it names sentinels") };
    known.password = Some(Secret::new("a-wrong-one".to_owned()));
    let store = open(StoreUrl::Redis(url), AMPLE, CONNECT);
    let sample = Sample::new(1);
    let load = store.load(&sample.handle).await.map(|_| ()).unwrap_err();
    let create = store.create(&sample.session()).await.unwrap_err();
    for trouble in [load, create] {
        assert_eq!(trouble.kind, Trouble::Denied);
        let text = full_text(&trouble);
        assert!(!text.contains("a-wrong-one") && !text.contains(SENTINEL_PASSWORD), "{text}");
    }
    assert!(!format!("{store:?}").contains("a-wrong-one"));
}

#[tokio::test]
async fn a_master_that_the_sentinels_do_not_know_is_said() {
    let sentinels = healthy();
    let mut url = sentinels.url();
    let RedisAddress::Sentinel(known) = &mut url.address else { panic!("it names sentinels") };
    known.master = "another".to_owned();
    let trouble = open_redis(url).load(&Sample::new(1).handle).await.unwrap_err();
    assert!(full_text(&trouble).contains("no master of that name"), "{trouble:?}");
}

#[tokio::test]
async fn without_any_sentinel_every_call_is_unavailable_at_once() {
    let store = open(StoreUrl::Redis(url_naming(&[free_port(), free_port()])), AMPLE, CONNECT);
    let sample = Sample::new(1);
    assert_eq!(store.load(&sample.handle).await.unwrap_err().kind, Trouble::Connection);
    assert_eq!(store.create(&sample.session()).await.unwrap_err().kind, Trouble::Connection);
    assert_eq!(store.ping().await.unwrap_err().kind, Trouble::Connection);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ten seconds until the last word is too old"]
async fn a_master_that_no_majority_confirms_counts_no_longer_than_ten_seconds() {
    let mut sentinels = Sentinels::start();
    let store = hasty(sentinels.url());
    store.ping().await.unwrap();
    for sentinel in &mut sentinels.sentinels[1..] {
        sentinel.kill();
    }
    let handle = Sample::new(1).handle;
    for _ in 0..100 {
        sleep(Duration::from_millis(200)).await;
        if store.load(&handle).await.is_err() {
            break;
        }
    }
    assert!(store.load(&handle).await.is_err());
    sentinels.sentinels[1].restart();
    for _ in 0..100 {
        sleep(Duration::from_millis(50)).await;
        if store.load(&handle).await.is_ok() {
            return;
        }
    }
    panic!("the majority is back and its master is not");
}
