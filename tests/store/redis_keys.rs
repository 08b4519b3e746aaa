//! What lies in Redis, and which commands put it there.

use std::time::Duration;

use foregate::base::clock::Timestamp;
use foregate::config::RedisUrl;

use super::{Sample, open_redis, record, redis_at, touch, with_password};
use crate::support::redis::RedisServer;

fn millis(at: Timestamp) -> String {
    at.millis().to_string()
}

#[tokio::test]
async fn a_session_is_a_string_with_an_expiry() {
    let server = RedisServer::start();
    let store = open_redis(redis_at(server.port()));
    let sample = Sample::new(0);
    store.create(&sample.session()).await.unwrap();
    let key = "session:AAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(server.cli(&["GET", key]), r#"{"seen":1700000000,"n":0}"#);
    assert_eq!(server.cli(&["PEXPIRETIME", key]), millis(sample.expires_at));
    store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap();
    assert_eq!(server.cli(&["PEXPIRETIME", key]), millis(sample.ends_at));
}

#[tokio::test]
async fn the_index_names_an_accounts_sessions_by_login() {
    let server = RedisServer::start();
    let store = open_redis(redis_at(server.port()));
    let (older, newer, other) = (Sample::new(1), Sample::new(2), Sample::new(3).of("other"));
    let older = Sample { logged_in_at: older.logged_in_at.minus(Duration::from_secs(60)), ..older };
    for sample in [&newer, &older, &other] {
        store.create(&sample.session()).await.unwrap();
    }
    let index = || server.cli(&["ZRANGE", "session-user:account", "0", "-1", "WITHSCORES"]);
    let line = |sample: &Sample| format!("{}\n{}", sample.handle, millis(sample.logged_in_at));
    assert_eq!(index(), format!("{}\n{}", line(&older), line(&newer)));
    store.remove(&newer.handle, "account").await.unwrap();
    assert_eq!(index(), line(&older));
}

#[tokio::test]
async fn the_index_lives_as_long_as_its_latest_member() {
    let server = RedisServer::start();
    let store = open_redis(redis_at(server.port()));
    let (long, short) = (Sample::new(1), Sample::new(2));
    let short = Sample { ends_at: short.expires_at, ..short };
    let longer = Sample { ends_at: long.ends_at.plus(Duration::from_secs(60)), ..Sample::new(3) };
    for (sample, latest) in [(&long, &long), (&short, &long), (&longer, &longer)] {
        store.create(&sample.session()).await.unwrap();
        assert_eq!(server.cli(&["PEXPIRETIME", "session-user:account"]), millis(latest.ends_at));
    }
}

#[tokio::test]
async fn the_index_is_written_before_the_session_and_forgotten_after_it() {
    let server = RedisServer::start();
    let store = open_redis(redis_at(server.port()));
    let monitor = server.monitor();
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    store.remove(&sample.handle, &sample.account).await.unwrap();
    let writes: Vec<_> = monitor
        .commands()
        .iter()
        .filter_map(|line| line.split('"').nth(1).map(str::to_owned))
        .filter(|name| ["ZADD", "SET", "DEL", "ZREM"].contains(&name.as_str()))
        .collect();
    assert_eq!(writes, ["ZADD", "SET", "DEL", "ZREM"]);
}

#[tokio::test]
async fn a_look_up_is_one_get_and_a_write_no_more_than_it_needs() {
    let server = RedisServer::start();
    let store = open_redis(redis_at(server.port()));
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    // Both lanes are open, and Redis knows both scripts.
    for _ in 0..2 {
        store.load(&sample.handle).await.unwrap();
        store.touch(&sample.handle, touch(1_700_000_001, sample.ends_at)).await.unwrap();
    }
    let monitor = server.monitor();
    for _ in 0..10 {
        store.load(&sample.handle).await.unwrap();
    }
    store.touch(&sample.handle, touch(1_700_000_001, sample.ends_at)).await.unwrap();
    let commands = monitor.commands();
    assert_eq!(monitor.count("GET"), 10, "{commands:#?}");
    let from_outside = commands.iter().filter(|line| !line.contains(" lua]")).count();
    assert_eq!(from_outside, 11, "{commands:#?}");
}

#[tokio::test]
async fn garbage_under_a_sessions_key_is_an_empty_record() {
    let server = RedisServer::start();
    let store = open_redis(redis_at(server.port()));
    let (list, long) = (Sample::new(1).handle, Sample::new(2).handle);
    server.cli(&["RPUSH", &format!("session:{list}"), "x"]);
    server.cli(&["SETRANGE", &format!("session:{long}"), "262144", "x"]);
    assert_eq!(store.load(&list).await.unwrap().record, Some(Vec::new()));
    assert_eq!(store.load(&long).await.unwrap().record, Some(Vec::new()));
}

#[tokio::test]
async fn user_password_and_database_are_those_of_the_url() {
    let server = RedisServer::start();
    server.cli(&["ACL", "SETUSER", "proxy", "on", ">s3cret", "~session*", "+@all"]);
    let url = RedisUrl { database: 5, user: Some("proxy".to_owned()), ..redis_at(server.port()) };
    let store = open_redis(with_password(url, "s3cret"));
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(record(1_700_000_000, 1)));
    assert_eq!(server.cli(&["DBSIZE"]), "0");
    assert_eq!(server.cli(&["-n", "5", "DBSIZE"]), "2");
}
