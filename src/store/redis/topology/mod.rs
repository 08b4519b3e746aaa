//! Which server has a key: the one there is, the master that a majority of the sentinels names, or the owner of
//! the key's slot in a Cluster.

mod board;
mod cluster;
mod election;
mod sentinel;
mod slots;
mod walk;

use std::sync::Arc;

use deadpool_redis::redis::{FromRedisValue, RedisResult, cmd};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::base::random::Random;
use crate::config::{self, RedisAddress, RedisEndpoint};
use crate::outgoing::TlsError;

use super::connect::{Manner, Role};
use super::dial::{Patience, Transport, Way};
use super::node::{Node, Plan, Scanned};
use super::pool::Order;
use super::tracking::Tracking;

use cluster::Cluster;
use sentinel::Sentinel;

/// The servers of a store.
#[derive(Debug)]
pub(super) enum Topology {
    Single(Box<Node>),
    Sentinel(Sentinel),
    Cluster(Cluster),
}

impl Topology {
    pub(super) fn new(
        url: &config::RedisUrl,
        config: &config::Store,
        random: Random,
        tracking: Option<&Tracking>,
    ) -> Result<Self, TlsError> {
        let transport = Transport::new(url.address.tls())?;
        let plan = |role| Plan {
            manner: Manner::of_servers(url, config, role),
            tracking: tracking.cloned(),
            config: config.clone(),
            random,
            masters: Arc::new(watch::Sender::new(())),
        };
        let single = |way| Self::Single(Box::new(plan(Role::Any).node(way)));
        Ok(match &url.address {
            RedisAddress::Tcp { host, port } | RedisAddress::Tls { host, port, .. } => {
                single(transport.to(RedisEndpoint { host: host.clone(), port: *port }))
            }
            RedisAddress::Unix(path) => single(Way::Unix(path.clone())),
            RedisAddress::Sentinel(known) => {
                Self::Sentinel(Sentinel::new(known.clone(), plan(Role::Master), transport))
            }
            // A replica in a Cluster redirects to its master whatever it is asked.
            RedisAddress::Cluster(known) => {
                Self::Cluster(Cluster::new(known.nodes.clone(), plan(Role::Any), transport))
            }
        })
    }

    /// Carries `order`, which is about `key`, out where the key lies. A look-up is bounded by `patience`; anything
    /// else, by the caller.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        key: &str,
        order: Order<'_>,
        patience: Patience,
    ) -> RedisResult<T> {
        match self {
            Self::Single(node) => node.run(order, patience).await,
            Self::Sentinel(sentinel) => sentinel.run(order, patience).await,
            Self::Cluster(cluster) => cluster.run(key, order, patience).await,
        }
    }

    /// Hears when other servers than before are the masters; `None` where that cannot be.
    pub(super) fn masters(&self) -> Option<watch::Receiver<()>> {
        match self {
            Self::Single(_) => None,
            Self::Sentinel(sentinel) => Some(sentinel.masters()),
            Self::Cluster(cluster) => Some(cluster.masters()),
        }
    }

    /// How long a write to `key` may take.
    pub(super) fn patience(&self, key: &str) -> Patience {
        match self {
            Self::Single(node) => node.patience(),
            Self::Sentinel(sentinel) => sentinel.patience(),
            Self::Cluster(cluster) => cluster.patience(key),
        }
    }

    /// Some of the keys that fit `pattern`: the first for an empty `from`, then those after the last step's `next`.
    pub(super) async fn scan(&self, from: &str, pattern: &str) -> RedisResult<Scanned> {
        match self {
            Self::Single(node) => node.scan(from, pattern).await,
            Self::Sentinel(sentinel) => sentinel.scan(from, pattern).await,
            Self::Cluster(cluster) => cluster.scan(from, pattern).await,
        }
    }

    /// Asks for a sign of life from any master.
    pub(super) async fn knock(&self, patience: Patience) -> RedisResult<()> {
        match self {
            Self::Single(_) | Self::Sentinel(_) => self.ping(patience).await,
            Self::Cluster(cluster) => cluster.run_anywhere(Order::look_up(&cmd("PING")), patience).await,
        }
    }

    /// Asks every master for a sign of life.
    pub(super) async fn ping(&self, patience: Patience) -> RedisResult<()> {
        let ping = cmd("PING");
        match self {
            Self::Single(node) => node.run(Order::look_up(&ping), patience).await,
            Self::Sentinel(sentinel) => sentinel.run(Order::look_up(&ping), patience).await,
            Self::Cluster(cluster) => cluster.run_everywhere(Order::look_up(&ping), patience).await,
        }
    }
}

/// Runs `watch` until the handle is dropped.
fn watched<W: Future<Output = ()> + Send + 'static>(watch: W) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(watch))
}
