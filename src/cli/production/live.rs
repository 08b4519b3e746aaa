//! How the store is set up, as it tells itself.

use std::error::Error;
use std::time::Duration;

use tokio::runtime::Builder;

use super::{Check, line, listed, must, should};
use crate::base::random::Random;
use crate::cli::check::Status;
use crate::config::{RedisAddress, Store, StoreUrl};
use crate::store::{self, Info, Survey, Unavailable};

/// An operator waits for longer than a browser.
const PATIENCE: Duration = Duration::from_secs(5);

/// The oldest version that the store's scripts and commands work with.
const OLDEST: (u64, u64) = (6, 2);

/// The longest, in seconds, that a replica may be behind: what ended meanwhile comes back with it.
const LONGEST_LAG: u64 = 10;

/// What `INFO` answers.
const TOLD_BY_INFO: [&str; 5] =
    ["redis.version", "redis.maxmemory_policy", "redis.maxmemory", "redis.appendonly", "redis.replicas"];

/// The lines on the store.
///
/// # Errors
/// The one line that there is where it does not answer.
pub(in crate::cli) fn checks(config: &Store) -> Result<Vec<Check>, Check> {
    let patient = Store {
        connect_timeout: config.connect_timeout.max(PATIENCE),
        command_timeout: config.command_timeout.max(PATIENCE),
        ..config.clone()
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| line("session.store", error.to_string(), Some(must("see what it lacks"))))?;
    match runtime.block_on(store::survey(&patient, Random::system())) {
        Ok(None) => Ok(vec![line("session.store", "not in a Redis: there is nobody to ask", None)]),
        Ok(Some(survey)) => Ok(lines(config, &survey)),
        Err(error) => Err(unreachable(&error)),
    }
}

fn unreachable(error: &Unavailable) -> Check {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let remedy = must("start it, or mend session.store.url and session.store.password");
    line("session.store", format!("{error}{cause}"), Some(remedy))
}

fn lines(config: &Store, survey: &Survey) -> Vec<Check> {
    let strangers = survey.serves_strangers;
    let mut lines = vec![
        line("session.store", "it answers", None),
        line(
            "redis.strangers",
            if strangers { "it serves whoever connects" } else { "they are refused" },
            strangers.then(|| must("set requirepass, or `user default off` (deploy/redis/)")),
        ),
        line(
            "redis.user",
            listed(&survey.excess, "may do no more than it needs to"),
            (!survey.excess.is_empty()).then(|| {
                should("give the proxy the ACL user of docs/operating.md: this one may do these, too")
            }),
        ),
    ];
    match &survey.info {
        Some(info) => lines.extend(told(info, &config.url)),
        None => lines.extend(TOLD_BY_INFO.map(untold)),
    }
    lines
}

fn untold(key: &str) -> Check {
    let fix = "ask as an administrator, or allow it: ACL SETUSER NAME +info".to_owned();
    let seen = "the proxy's user may not give INFO, and need not".to_owned();
    Check { id: key.to_owned(), status: Status::Skip, seen, fix }
}

fn told(info: &Info, url: &StoreUrl) -> [Check; 5] {
    [version(info), policy(info), memory(info), persistence(info), replicas(info, url)]
}

fn version(info: &Info) -> Check {
    let text = info.field("redis_version");
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    line("redis.version", text, (version < OLDEST).then(|| must("take 6.2 or newer")))
}

fn policy(info: &Info) -> Check {
    let policy = info.field("maxmemory_policy");
    let remedy =
        "maxmemory-policy noeviction: else sessions vanish when memory is short, and ends are forgotten";
    line("redis.maxmemory_policy", policy, (policy != "noeviction").then(|| must(remedy)))
}

fn memory(info: &Info) -> Check {
    let (used, most) = (info.number("used_memory"), info.number("maxmemory"));
    let Some(percent) = used.saturating_mul(100).checked_div(most) else {
        let remedy = should("set maxmemory, or the kernel ends Redis when memory is short");
        return line("redis.maxmemory", "no limit", Some(remedy));
    };
    let remedy = should("raise maxmemory: nobody can log in once it is full");
    line("redis.maxmemory", format!("{percent} % used"), (percent >= 80).then_some(remedy))
}

fn persistence(info: &Info) -> Check {
    let keeps = info.field("aof_enabled") == "1";
    let broken =
        info.field("aof_last_write_status") == "err" || info.field("rdb_last_bgsave_status") == "err";
    let (seen, remedy) = match (keeps, broken) {
        (_, true) => {
            ("its disk takes no more", Some(must("see its log: what it is told now is lost by a restart")))
        }
        (true, false) => ("on", None),
        (false, false) => {
            ("off", Some(should("appendonly yes: a restart logs people out, or back in who had logged out")))
        }
    };
    line("redis.appendonly", seen, remedy)
}

fn replicas(info: &Info, url: &StoreUrl) -> Check {
    let replicas = info.replicas();
    let number = |replica: &str| {
        let lag = replica.split(',').find_map(|field| field.strip_prefix("lag="));
        lag.and_then(|lag| lag.parse::<u64>().ok()).unwrap_or(u64::MAX)
    };
    let late = |replica: &&str| !replica.contains("state=online") || number(replica) > LONGEST_LAG;
    let behind = replicas.iter().filter(|replica| late(replica)).count();
    let fails_over = matches!(url, StoreUrl::Redis(url) if matches!(url.address, RedisAddress::Sentinel(_) | RedisAddress::Cluster(_)));
    let remedy = match (replicas.len(), behind) {
        (0, _) if fails_over => Some(should("add a replica: there is nobody to take over")),
        (_, 0) => None,
        _ => Some(should("see why: what ended meanwhile comes back when one of them takes over")),
    };
    line("redis.replicas", format!("{}, of which {behind} are behind", replicas.len()), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RedisEndpoint, RedisSentinels, RedisUrl};

    fn url(address: RedisAddress) -> StoreUrl {
        StoreUrl::Redis(RedisUrl { address, database: 0, user: None, password: None })
    }

    fn single() -> StoreUrl {
        url(RedisAddress::Tcp { host: "localhost".to_owned(), port: 6379 })
    }

    fn sentinels() -> StoreUrl {
        let endpoint = RedisEndpoint { host: "localhost".to_owned(), port: 26379 };
        let (sentinels, master) = (vec![endpoint], "main".to_owned());
        url(RedisAddress::Sentinel(RedisSentinels { sentinels, master, password: None, tls: None }))
    }

    #[test]
    fn replicas_are_there_where_one_may_take_over_and_keep_up() {
        let replica = "slave0:ip=127.0.0.1,port=1,state=online,offset=14,lag=0\r\n";
        let judged = |info: &str, url: &StoreUrl| replicas(&Info::parse(info), url).status;
        assert_eq!(judged("connected_slaves:0\r\n", &single()), Status::Pass);
        assert_eq!(judged("connected_slaves:0\r\n", &sentinels()), Status::Warn);
        assert_eq!(judged(replica, &sentinels()), Status::Pass);
        for behind in ["lag=11", "lag=", "lag=-1"] {
            assert_eq!(judged(&replica.replace("lag=0", behind), &single()), Status::Warn, "{behind}");
        }
        let late = format!("{replica}slave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\n");
        assert_eq!(judged(&late, &sentinels()), Status::Warn);
    }

    #[test]
    fn a_redis_that_the_store_cannot_work_with_fails() {
        let judged = |text: &str| version(&Info::parse(&format!("redis_version:{text}\r\n"))).status;
        for old in ["6.0.16", "5.0.7", "", "6"] {
            assert_eq!(judged(old), Status::Fail, "{old}");
        }
        for good in ["6.2.0", "7.0.15", "8.0.2", "10.1.0"] {
            assert_eq!(judged(good), Status::Pass, "{good}");
        }
    }

    #[test]
    fn a_disk_that_takes_no_more_fails_whatever_is_set() {
        let judged = |text: &str| persistence(&Info::parse(text)).status;
        assert_eq!(
            judged("aof_enabled:1\naof_last_write_status:ok\nrdb_last_bgsave_status:ok"),
            Status::Pass
        );
        assert_eq!(judged("aof_enabled:1\naof_last_write_status:err"), Status::Fail);
        assert_eq!(judged("aof_enabled:0\nrdb_last_bgsave_status:err"), Status::Fail);
    }
}
