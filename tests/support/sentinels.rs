//! A master, two replicas and three sentinels that watch them, all real.

use std::thread;
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use foregate::base::secret::Secret;
use foregate::config::{RedisAddress, RedisEndpoint, RedisSentinels, RedisUrl};

use super::redis::{Builder, RedisServer, documented_user_of, free_port};

/// What the sentinels call the master.
pub(crate) const MASTER: &str = "mymaster";

const SERVER_PASSWORD: &str = "of-the-servers";
pub(crate) const USER_PASSWORD: &str = "of-the-acl-user";
pub(crate) const SENTINEL_PASSWORD: &str = "of-the-sentinels";

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// Six processes; all end with the value. Servers and sentinels have passwords, and the servers a user who may do what
/// the manual names.
pub(crate) struct Sentinels {
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Vec<RedisServer>,
}

impl Sentinels {
    /// The first server is the master.
    pub(crate) fn start() -> Self {
        let master = server().start();
        let replicas = [(); 2].map(|()| server().replica_of(master.port()).start());
        let servers: Vec<_> = [master].into_iter().chain(replicas).collect();
        wait_until("the replicas are there", || {
            servers[0].cli(&["INFO", "replication"]).matches("state=online").count() == 2
        });
        let ports = [(); 3].map(|()| free_port());
        let sentinel = |n| {
            RedisServer::builder()
                .on(ports[n])
                .sentinel(config(n, ports, &servers))
                .password(SENTINEL_PASSWORD)
        };
        let sentinels: Vec<_> = (0..3).map(|n| sentinel(n).start()).collect();
        for sentinel in &sentinels {
            // Others hear of a switch by what the first one says to them, which it does every two seconds.
            sentinel.cli(&["SENTINEL", "DEBUG", "publish-period", "200"]);
        }
        let all = Self { servers, sentinels };
        wait_until("the sentinels agree", || {
            all.sentinels.iter().all(|one| one.cli(&["SENTINEL", "CKQUORUM", MASTER]).starts_with("OK 3"))
        });
        all
    }

    /// With all that the servers and sentinels ask for.
    pub(crate) fn url(&self) -> RedisUrl {
        url_naming(&self.sentinels.iter().map(RedisServer::port).collect::<Vec<_>>())
    }

    /// The same as lines of `[session.store]`.
    pub(crate) fn store_keys(&self) -> String {
        let ports = self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port())).collect::<Vec<_>>();
        format!(
            "url = \"redis+sentinel://foregate:{USER_PASSWORD}@{}/{MASTER}/0\"\nsentinel_password = \"{SENTINEL_PASSWORD}\"",
            ports.join(",")
        )
    }

    /// The port of the master as a majority of the sentinels has it.
    pub(crate) fn elected(&self) -> Option<u16> {
        let named: Vec<_> = self.sentinels.iter().filter_map(named_by).collect();
        let majority = |port: &&u16| named.iter().filter(|other| other == port).count() >= 2;
        named.iter().find(majority).copied()
    }

    /// Waits until both replicas have what the master has.
    pub(crate) fn wait_for_replicas(&self) {
        let size = self.servers[0].cli(&["DBSIZE"]);
        let has_all = |server: &RedisServer| server.cli(&["DBSIZE"]) == size;
        wait_until("the replicas have everything", || self.servers.iter().all(has_all));
    }

    /// The server on this port.
    pub(crate) fn server_at(&mut self, port: u16) -> &mut RedisServer {
        self.servers.iter_mut().find(|server| server.port() == port).expect("it is one of ours")
    }
}

/// With all that the servers and sentinels ask for, by way of sentinels on these ports.
pub(crate) fn url_naming(ports: &[u16]) -> RedisUrl {
    let at = |port: &u16| RedisEndpoint { host: "127.0.0.1".to_owned(), port: *port };
    let known = RedisSentinels {
        sentinels: ports.iter().map(at).collect(),
        master: MASTER.to_owned(),
        password: Some(Secret::new(SENTINEL_PASSWORD.to_owned())),
        tls: None,
    };
    let (user, password) = (Some("foregate".to_owned()), Some(Secret::new(USER_PASSWORD.to_owned())));
    RedisUrl { address: RedisAddress::Sentinel(known), database: 0, user, password }
}

/// What this sentinel calls the master's port.
fn named_by(sentinel: &RedisServer) -> Option<u16> {
    sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).lines().nth(1)?.parse().ok()
}

fn server() -> Builder {
    RedisServer::builder()
        .password(SERVER_PASSWORD)
        .directive("masterauth", SERVER_PASSWORD)
        .user(&documented_user_of("redis+sentinel", USER_PASSWORD))
}

/// Each knows everybody from the beginning, rather than finding out within ten seconds.
fn config(n: usize, ports: [u16; 3], servers: &[RedisServer]) -> String {
    let id = |n: usize| format!("{n}").repeat(40);
    let mut lines = vec![
        format!("monitor {MASTER} 127.0.0.1 {} 2", servers[0].port()),
        format!("down-after-milliseconds {MASTER} 500"),
        format!("failover-timeout {MASTER} 2000"),
        format!("auth-pass {MASTER} {SERVER_PASSWORD}"),
        format!("sentinel-pass {SENTINEL_PASSWORD}"),
        format!("myid {}", id(n)),
    ];
    lines.extend(servers[1..].iter().map(|one| format!("known-replica {MASTER} 127.0.0.1 {}", one.port())));
    let others = (0..3).filter(|other| *other != n);
    lines.extend(
        others.map(|other| format!("known-sentinel {MASTER} 127.0.0.1 {} {}", ports[other], id(other))),
    );
    lines.iter().map(|line| format!("sentinel {line}\n")).collect()
}

pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = Stopwatch::start();
    while !is_so() {
        assert!(waited.elapsed() < PATIENCE, "it does not come to that: {what}");
        thread::sleep(POLL);
    }
}
