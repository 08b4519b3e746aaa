//! One Redis server: the lanes and the pool of connections to it.

use std::sync::Arc;

use deadpool_redis::redis::{FromRedisValue, RedisResult, cmd};
use tokio::sync::watch;

use crate::base::random::Random;
use crate::config;

use super::connect::{Connector, Manner};
use super::dial::{Patience, Way};
use super::lane::Lanes;
use super::pool::{Order, Pool};
use super::tracking::Tracking;
use super::trouble::overdue;

/// `SCAN`'s cursor, at the beginning and again at the end.
const START: &str = "0";

/// One step of a survey.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) keys: Vec<Vec<u8>>,
    /// Where to go on.
    pub(super) next: Option<String>,
}

/// Keys that a server looks at in one step of a survey: a fraction of a millisecond.
const SCANNED: usize = 250;

/// How the servers of a store are connected to.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) manner: Manner,
    /// Who hears of changes to what was looked up, if anybody.
    pub(super) tracking: Option<Tracking>,
    pub(super) config: config::Store,
    pub(super) random: Random,
    /// Hears when other servers than before are the masters.
    pub(super) masters: Arc<watch::Sender<()>>,
}

/// A server. Its connections end with it.
#[derive(Debug)]
pub(super) struct Node {
    lanes: Lanes,
    pool: Pool,
}

impl Plan {
    /// The server at the end of `way`; nothing is connected yet.
    pub(super) fn node(&self, way: Way) -> Node {
        let connector = Connector::new(way, self.manner.clone());
        let reading = match &self.tracking {
            Some(tracking) => connector.with(self.manner.clone().tracking(tracking.clone())),
            None => connector.clone(),
        };
        let lanes = Lanes::new(&reading, self.random, self.config.command_timeout);
        Node { lanes, pool: Pool::new(&connector, &self.config) }
    }

    /// How long a write may take where a connection has to be made first.
    pub(super) fn longest(&self) -> Patience {
        Patience::of(self.config.command_timeout.max(self.config.connect_timeout))
    }
}

impl Node {
    /// Carries `order` out. A look-up is bounded by `patience`; anything else, by the caller.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        order: Order<'_>,
        patience: Patience,
    ) -> RedisResult<T> {
        match order {
            Order::LookUp(question) => self.lanes.ask(question, patience).await,
            Order::Command(_)
            | Order::Confirmed(..)
            | Order::Once(_)
            | Order::Script(_)
            | Order::ScriptOnce(_) => self.pool.run(order).await,
        }
    }

    /// Carries `order` out though the key is only on its way to this node.
    pub(super) async fn run_asking<T: FromRedisValue>(
        &self,
        order: Order<'_>,
        patience: Patience,
    ) -> RedisResult<T> {
        let asked = patience.wait(self.pool.run_asking(order)).await;
        asked.unwrap_or_else(|_| Err(overdue()))
    }

    /// Some of the keys that fit `pattern`, and where to go on. Another server, or the same after a restart, begins
    /// anew: `SCAN`'s cursor means nothing to it.
    pub(super) async fn scan(&self, from: &str, pattern: &str) -> RedisResult<Scanned> {
        let mark = self.pool.mark();
        let cursor = match from.split_once(' ') {
            Some((of, cursor)) if of == mark => cursor,
            _ => START,
        };
        let (next, keys): (String, _) = self.scan_from(cursor, pattern).await?;
        Ok(Scanned { keys, next: (next != START).then(|| format!("{mark} {next}")) })
    }

    async fn scan_from(&self, cursor: &str, pattern: &str) -> RedisResult<(String, Vec<Vec<u8>>)> {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCANNED);
        let scanned = self.patience().wait(self.pool.run(Order::Command(&scan))).await;
        scanned.unwrap_or_else(|_| Err(overdue()))
    }

    /// How long a write may take.
    pub(super) fn patience(&self) -> Patience {
        Patience::of(self.pool.patience())
    }
}
