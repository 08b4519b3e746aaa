//! What holds while the store is away.

use std::io::Write;
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tokio::task::JoinSet;

use crate::admin;
use crate::support::client::{Client, Jar};
use crate::support::command::{Running, foregate};
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, Setup, proxy};
use crate::support::redis::RedisServer;
use crate::support::relay::Relay;
use crate::support::report;
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, upstream};

fn on_redis(upstream: &Upstream, redis: &RedisServer, keys: &str) -> Setup {
    proxy(upstream)
        .route("/", "")
        .route("/public", "access = \"public\"")
        .store(&format!("url = \"{}\"\n{keys}", redis.url()))
}

async fn status(proxy: &Proxy, jar: &Jar) -> u16 {
    proxy.client().get("/", jar).await.status
}

#[tokio::test]
async fn sessions_known_a_moment_ago_may_go_on_for_a_while_and_nobody_else() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start());
    let keys = "on_outage = \"serve-cached\"\noutage_grace = \"60s\"";
    let proxy = on_redis(&upstream, &redis, keys).session("idle_timeout = \"1h\"").start();
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    assert_eq!(status(&proxy, &alice).await, 200);
    redis.kill();
    assert_eq!(status(&proxy, &alice).await, 200);
    assert_eq!(status(&proxy, &bob).await, 503, "this process has never seen it alive");
    assert_eq!(proxy.client().log_in(&mut Jar::default(), BOB, "").await.status, 503);
    assert!(proxy.count("foregate_cache_lookups_total{result=\"outage\"}") > 0);
    proxy.clock.advance(Duration::from_secs(60 + 9));
    assert_eq!(status(&proxy, &alice).await, 200);
    proxy.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&proxy, &alice).await, 503);
}

#[tokio::test]
async fn an_outage_lengthens_no_session() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start());
    let keys = "on_outage = \"serve-cached\"\noutage_grace = \"1h\"";
    for (lifetimes, reason) in [
        ("idle_timeout = \"10m\"", "idle"),
        ("idle_timeout = \"10m\"\nabsolute_timeout = \"10m\"", "absolute"),
    ] {
        let proxy = on_redis(&upstream, &redis, keys).session(lifetimes).start();
        let alice = proxy.logged_in(ALICE).await;
        assert_eq!(status(&proxy, &alice).await, 200);
        redis.kill();
        proxy.clock.advance(Duration::from_secs(599));
        assert_eq!(status(&proxy, &alice).await, 200, "{reason}");
        proxy.clock.advance(Duration::from_secs(1));
        assert_eq!(status(&proxy, &alice).await, 401, "{reason}");
        redis.restart();
    }
}

#[tokio::test]
async fn who_wanted_to_log_out_during_an_outage_is_not_served_any_more() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start());
    let proxy = on_redis(&upstream, &redis, "on_outage = \"serve-cached\"").start();
    let mut alice = proxy.logged_in(ALICE).await;
    assert_eq!(status(&proxy, &alice).await, 200);
    let token = proxy.client().visit("/_foregate/logout", &alice).await.field("csrf_token");
    redis.kill();
    let out = proxy.client().post("/_foregate/logout", &alice, &[("csrf_token", &token)]).await;
    assert_eq!(out.status, 503, "it is alive as far as anybody knows");
    alice.take(&out);
    assert_eq!(status(&proxy, &alice).await, 503, "and is not let in all the same");
}

/// What Redis is made to do, and how that ends.
struct Fault {
    name: &'static str,
    begin: fn(&mut RedisServer),
    end: fn(&mut RedisServer),
}

/// Faults in which no session can be looked up.
const DEAF: [Fault; 3] = [
    Fault { name: "stopped", begin: RedisServer::stop, end: RedisServer::restart },
    Fault { name: "frozen", begin: |redis| redis.pause(), end: |redis| redis.resume() },
    Fault {
        name: "a wrong password",
        begin: |redis| set_password(redis, "another"),
        end: |redis| set_password(redis, PASSWORD),
    },
];

/// Faults in which sessions can be looked up, and none begun.
const MUTE: [Fault; 2] = [
    Fault {
        name: "read-only",
        begin: |redis| drop(redis.cli(&["REPLICAOF", "127.0.0.1", "1"])),
        end: |redis| drop(redis.cli(&["REPLICAOF", "NO", "ONE"])),
    },
    Fault {
        name: "out of memory",
        begin: |redis| drop(redis.cli(&["CONFIG", "SET", "maxmemory", "1"])),
        end: |redis| drop(redis.cli(&["CONFIG", "SET", "maxmemory", "0"])),
    },
];

const PASSWORD: &str = "of-redis";

/// Changes the password, and ends the connections that were made with another. An administrator keeps a way in.
fn set_password(redis: &RedisServer, password: &str) {
    redis.cli(&["ACL", "SETUSER", "admin", "on", "nopass", "+@all", "~*"]);
    redis.cli_as("admin", &["CONFIG", "SET", "requirepass", password]);
    redis.cli_as("admin", &["CLIENT", "KILL", "USER", "default"]);
}

/// The longest that any of these requests took, and what they were answered.
async fn ask(proxy: &Proxy, path: &'static str, jars: &[Jar]) -> (Duration, Vec<u16>) {
    let mut requests = JoinSet::new();
    for jar in jars {
        let (client, jar) = (proxy.client(), jar.clone());
        requests.spawn(async move {
            let watch = Stopwatch::start();
            (client.get(path, &jar).await.status, watch.elapsed())
        });
    }
    let answers = requests.join_all().await;
    let longest = answers.iter().map(|(_, time)| *time).max().unwrap();
    (longest, answers.into_iter().map(|(status, _)| status).collect())
}

async fn sessions(proxy: &Proxy, count: usize) -> Vec<Jar> {
    let mut jars = Vec::new();
    for n in 0..count {
        jars.push(proxy.logged_in([ALICE, BOB][n % 2]).await);
    }
    jars
}

/// Waits until everybody is served again.
async fn back_to_normal(proxy: &Proxy, jars: &[Jar]) {
    let waited = Stopwatch::start();
    eventually("everybody is served again", async || ask(proxy, "/", jars).await.1.iter().all(|s| *s == 200))
        .await;
    report(&format!("served again after {:?}", waited.elapsed()));
    assert!(waited.elapsed() < Duration::from_secs(3), "{:?}", waited.elapsed());
    assert_eq!(proxy.client().log_in(&mut Jar::default(), ALICE, "").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_be_looked_up_everybody_waits_briefly_and_comes_back_as_they_were() {
    let upstream = upstream().await;
    for fault in DEAF {
        let mut redis = RedisServer::builder().appendonly().password(PASSWORD).start();
        // It syncs to the disk at each login, which a busy one takes its time for.
        let proxy = on_redis(&upstream, &redis, "command_timeout = \"1s\"").start();
        let jars = sessions(&proxy, 20).await;
        (fault.begin)(&mut redis);
        for round in 0..8 {
            let (longest, statuses) = ask(&proxy, "/", &jars).await;
            assert!(statuses.iter().all(|status| *status == 503), "{}: {statuses:?}", fault.name);
            assert!(longest < Duration::from_secs(2), "{}: {longest:?}", fault.name);
            if round == 7 {
                report(&format!("{}: the longest of 20 answers took {longest:?}", fault.name));
            }
            let (_, statuses) = ask(&proxy, "/public", &jars).await;
            assert!(statuses.iter().all(|status| *status == 200), "{}: {statuses:?}", fault.name);
        }
        let refused = proxy.client().get("/", &jars[0]).await;
        assert!(refused.header("retry-after").is_some() && refused.all("set-cookie").is_empty());
        (fault.end)(&mut redis);
        back_to_normal(&proxy, &jars).await;
        assert_eq!(proxy.events("store_recovered").len(), proxy.events("store_unavailable").len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_can_be_written_who_is_signed_in_goes_on_and_nobody_else_comes() {
    let upstream = upstream().await;
    for fault in MUTE {
        let mut redis = RedisServer::builder().password(PASSWORD).start();
        let proxy = on_redis(&upstream, &redis, "").start();
        let jars = sessions(&proxy, 4).await;
        (fault.begin)(&mut redis);
        let (_, statuses) = ask(&proxy, "/", &jars).await;
        assert!(statuses.iter().all(|status| *status == 200), "{}: {statuses:?}", fault.name);
        let login = proxy.client().log_in(&mut Jar::default(), ALICE, "").await;
        assert_eq!(login.status, 503, "{}: {login:#?}", fault.name);
        assert!(login.all("set-cookie").iter().all(|line| !line.contains("session=")), "{login:#?}");
        (fault.end)(&mut redis);
        back_to_normal(&proxy, &jars).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_redis_has_forgotten_are_sent_again() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = on_redis(&upstream, &redis, "").session("rotate_every = \"1h\"").start();
    let jars = sessions(&proxy, 2).await;
    redis.cli(&["SCRIPT", "FLUSH"]);
    proxy.clock.advance(Duration::from_secs(3_600));
    let rotated = proxy.client().visit("/", &jars[0]).await;
    assert!(rotated.status == 200 && !rotated.all("set-cookie").is_empty(), "{rotated:#?}");
    redis.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(proxy.client().log_in(&mut Jar::default(), ALICE, "").await.status, 303);
}

/// What a process has in memory, in KiB, and how much it has open.
fn footprint(process: &Running) -> (usize, usize) {
    let folder = std::path::Path::new("/proc").join(process.id().to_string());
    let status = std::fs::read_to_string(folder.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib = line.trim().trim_end_matches(" kB").parse().unwrap();
    (kib, std::fs::read_dir(folder.join("fd")).unwrap().count())
}

/// Asks every 20 ms for half a minute, for which every answer is 503; how long each took, its handshake included.
async fn refused_for_half_a_minute(client: Client, jar: Jar, began: Stopwatch) -> Vec<Duration> {
    let mut times = Vec::new();
    while began.elapsed() < Duration::from_secs(30) {
        let watch = Stopwatch::start();
        assert_eq!(client.get("/", &jar).await.status, 503);
        times.push(watch.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: half a minute a fault"]
async fn half_a_minute_without_redis_costs_neither_memory_nor_connections() {
    let upstream = upstream().await;
    for fault in DEAF {
        let mut redis = RedisServer::builder().appendonly().password(PASSWORD).start();
        let setup = on_redis(&upstream, &redis, "")
            .section("[log]\naccess = false\n[session.cache]\nenabled = false");
        let config = setup.write();
        let folder = config.parent().unwrap();
        let mut process = Running::start(foregate(folder, &["run", "--config", config.to_str().unwrap()]));
        let log = process.logged("serving https");
        let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        let address = line["address"].as_str().unwrap().parse().unwrap();
        let client = Client::new(address, &folder.join(format!("certs/{HOST}.crt")));
        let mut jars = Vec::new();
        for n in 0..20 {
            let mut jar = Jar::default();
            assert_eq!(client.log_in(&mut jar, [ALICE, BOB][n % 2], "").await.status, 303);
            jars.push(jar);
        }
        let status = async |jar: &Jar| client.get("/", jar).await.status;
        for jar in &jars {
            assert_eq!(status(jar).await, 200);
        }
        let before = footprint(&process);
        (fault.begin)(&mut redis);
        let began = Stopwatch::start();
        let askers = jars.iter().map(|jar| refused_for_half_a_minute(client.clone(), jar.clone(), began));
        let times = askers.collect::<JoinSet<_>>().join_all().await.concat();
        let (asked, longest) = (times.len(), times.iter().max().copied().unwrap());
        let after = footprint(&process);
        (fault.end)(&mut redis);
        let ended = Stopwatch::start();
        eventually("everybody is served again", async || status(&jars[0]).await == 200).await;
        let back = ended.elapsed();
        report(&format!(
            "{}: {asked} requests in 30 s, the slowest took {longest:?}; {} to {} KiB, {} to {} descriptors; \
             served again after {back:?}",
            fault.name, before.0, after.0, before.1, after.1
        ));
        assert!(longest < Duration::from_millis(300), "{longest:?}");
        assert!(back < Duration::from_secs(1), "{back:?}");
        assert!(after.0 < before.0 + 16 * 1024 && after.1 < before.1 + 10, "{before:?} {after:?}");
        for jar in &jars {
            assert_eq!(status(jar).await, 200, "{}: all old cookies are good", fault.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_too_long_is_away_until_it_is_fast_again() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let relay = Relay::to(redis.port()).await;
    let proxy = proxy(&upstream)
        .route("/", "")
        .route("/public", "access = \"public\"")
        .store(&format!("url = \"redis://127.0.0.1:{}\"", relay.port()))
        .section("[session.cache]\nenabled = false")
        .start();
    let jars = sessions(&proxy, 4).await;
    relay.delay(Duration::from_millis(300));
    for _ in 0..5 {
        let (_, statuses) = ask(&proxy, "/", &jars).await;
        assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
        assert_eq!(ask(&proxy, "/public", &jars).await.1, [200; 4]);
    }
    relay.delay(Duration::ZERO);
    back_to_normal(&proxy, &jars).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_room_for_connections_is_away_and_says_why() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = on_redis(&upstream, &redis, "").start();
    let jars = sessions(&proxy, 4).await;
    // An administrator's own connection takes the only place.
    let mut place = std::net::TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    place.write_all(b"CONFIG SET maxclients 1\r\nCLIENT KILL TYPE normal SKIPME yes\r\n").unwrap();
    eventually("nobody is served", async || {
        ask(&proxy, "/", &jars).await.1.iter().all(|status| *status == 503)
    })
    .await;
    let ready = admin::get(&proxy, "/readyz").await;
    assert_eq!(ready.status, 503, "{ready:#?}");
    drop(place);
    eventually("there is room again", async || redis.cli(&["CONFIG", "SET", "maxclients", "10000"]) == "OK")
        .await;
    back_to_normal(&proxy, &jars).await;
}
