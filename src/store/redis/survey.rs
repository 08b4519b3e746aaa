//! Asking a Redis how it is set up.

use deadpool_redis::redis::{Cmd, FromRedisValue, RedisResult, Value, cmd};

use super::dial::Patience;
use super::pool::Order;
use super::topology::Topology;
use crate::base::random::Random;
use crate::config;
use crate::outgoing::TlsError;
use crate::store::{Info, Survey, Trouble, Unavailable};

/// Commands that change nothing, and that somebody may give only who may do far more than the proxy needs.
const EXCESS: [(&str, &[&str]); 4] = [
    ("CONFIG", &["GET", "maxmemory"]),
    ("ACL", &["WHOAMI"]),
    ("CLIENT", &["GETNAME"]),
    ("GET", &["a-key-that-is-nobodys"]),
];

/// What the Redis at `url` tells of itself.
///
/// # Errors
/// Where it does not answer.
pub(in crate::store) async fn survey(
    url: &config::RedisUrl,
    config: &config::Store,
    random: Random,
) -> Result<Survey, Unavailable> {
    let topology = Topology::new(url, config, random, None)?;
    topology.knock(patience(config)).await?;
    let info: RedisResult<String> = ask(&topology, config, &cmd("INFO")).await;
    let mut excess = Vec::new();
    for (name, arguments) in EXCESS {
        let answer: RedisResult<Value> = ask(&topology, config, cmd(name).arg(arguments)).await;
        if answer.is_ok() {
            excess.push(name);
        }
    }
    let stranger = config::RedisUrl { user: None, password: None, ..url.clone() };
    let answer = Topology::new(&stranger, config, random, None)?.knock(patience(config)).await;
    Ok(Survey { info: info.ok().as_deref().map(Info::parse), serves_strangers: answer.is_ok(), excess })
}

async fn ask<T: FromRedisValue>(
    topology: &Topology,
    config: &config::Store,
    command: &Cmd,
) -> RedisResult<T> {
    topology.run(&config.key_prefix, Order::look_up(command), patience(config)).await
}

/// A connection may have to be made first.
fn patience(config: &config::Store) -> Patience {
    Patience::of(config.connect_timeout + config.command_timeout)
}

impl From<TlsError> for Unavailable {
    fn from(error: TlsError) -> Self {
        Self { kind: Trouble::Tls, source: Some(Box::new(error)) }
    }
}
