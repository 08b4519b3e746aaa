//! `deploy/redis`: the Redis that it describes serves a proxy, and nobody else.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::client::Jar;
use crate::support::proxy::{ALICE, BOB, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::upstream;

const FOREGATE: &str = "foregate";
const ADMINISTRATOR: &str = "administrator";
/// Of both.
const PASSWORD: &str = "6f8e2c";

fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The users that the file describes, with a password put in, and one who may do everything.
fn users(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("users.acl");
    let text = fs::read_to_string(house().join("deploy/redis/users.acl")).unwrap();
    let administrator = format!("user {ADMINISTRATOR} on >{PASSWORD} ~* +@all\n");
    fs::write(&path, text.replace("PASSWORD", PASSWORD) + &administrator).unwrap();
    path
}

fn hardened(folder: &TempDir) -> RedisServer {
    RedisServer::builder()
        .configuration(&house().join("deploy/redis/redis.conf"))
        .directive("aclfile", users(folder).to_str().unwrap())
        .start()
}

/// What it answers to one of its users.
fn by(user: &str, server: &RedisServer, command: &[&str]) -> String {
    server.cli(&[&["--user", user, "--pass", PASSWORD], command].concat())
}

fn store(server: &RedisServer) -> String {
    format!("url = \"redis://{FOREGATE}:{PASSWORD}@127.0.0.1:{}/0\"", server.port())
}

#[tokio::test]
async fn a_login_outlives_a_restart_of_the_hardened_redis() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = hardened(&folder);
    let upstream = upstream().await;
    let proxy = proxy(&upstream).store(&store(&server)).start();
    let mut jar = proxy.logged_in(ALICE).await;
    assert_eq!(proxy.client().get("/", &jar).await.status, 200);
    server.stop();
    assert_eq!(proxy.client().get("/", &jar).await.status, 503);
    server.restart();
    assert_eq!(proxy.client().get("/", &jar).await.status, 200);
    assert_eq!(proxy.client().log_out(&mut jar).await.status, 303);
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn the_hardened_redis_refuses_whoever_is_not_the_proxy_and_whatever_it_does_not_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = hardened(&folder);
    assert!(server.cli(&["PING"]).contains("NOAUTH"), "the default user is off");
    let answer = |command: &[&str]| by(FOREGATE, &server, command);
    assert_eq!(answer(&["PING"]), "PONG");
    for refused in [
        &["KEYS", "*"][..],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["ACL", "LIST"],
        &["EVAL", "return 1", "0"],
        &["REPLICAOF", "127.0.0.1", "1"],
        &["SHUTDOWN"],
        &["GET", "another-key"],
    ] {
        assert!(answer(refused).contains("NOPERM"), "{refused:?}");
    }
    for off in [["DEBUG", "SLEEP", "0"], ["MODULE", "LOAD", "/tmp/x.so"]] {
        assert!(by(ADMINISTRATOR, &server, &off).contains("not allowed"), "{off:?}");
    }
}

#[tokio::test]
async fn a_full_redis_refuses_a_login_and_evicts_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let server = hardened(&folder);
    let upstream = upstream().await;
    let proxy = proxy(&upstream).store(&store(&server)).start();
    let jar = proxy.logged_in(ALICE).await;
    // Less than it has already: it is full.
    assert_eq!(by(ADMINISTRATOR, &server, &["CONFIG", "SET", "maxmemory", "100kb"]), "OK");
    assert_eq!(proxy.client().log_in(&mut Jar::default(), BOB, "").await.status, 503);
    assert_eq!(proxy.client().get("/", &jar).await.status, 200);
}

#[test]
fn the_users_are_those_that_the_manual_describes() {
    let users = fs::read_to_string(house().join("deploy/redis/users.acl")).unwrap();
    let manual = fs::read_to_string(house().join("docs/operating.md")).unwrap();
    assert!(manual.contains(&users), "docs/operating.md and deploy/redis/users.acl differ");
}
