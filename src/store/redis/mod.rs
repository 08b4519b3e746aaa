//! `redis://` and its kin: sessions in Redis 6.2 or newer, or Valkey, shared by many proxies and readable by
//! operators.
//!
//! The [`topology`] knows the [`node`] that has a key. There look-ups go over shared [`lane`]s and cost one round
//! trip; writes and scripts take a connection from the [`pool`]. What needs two keys is two commands, ordered so that a crash between them lets nobody in.

mod connect;
mod dial;
mod keys;
mod lane;
mod node;
mod pool;
mod revocations;
mod script;
mod survey;
mod topology;
mod tracking;
mod trouble;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool_redis::redis::{FromRedisValue, ParsingError, RedisError, RedisResult, Value, cmd};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::random::Random;
use crate::config;
use crate::outgoing::TlsError;

use super::{
    Answer, Bucket, Changes, Cursor, Fetch, HandleTaken, Loaded, Member, NewSession, Parcel, Part, Place,
    Removed, Replaced, Store, Taken, Touch, Transition, Unavailable,
};

use dial::{Patience, Transport};
use keys::Keys;
use lane::Question;
use node::Scanned;
use pool::Order;
use revocations::Revocations;
use script::{Asked, Scripts, Swapped};
use topology::Topology;
use tracking::Tracking;
use trouble::{nonsense, overdue};

pub(super) use survey::survey;

/// No session is this long: 256 KiB.
const LONGEST_RECORD: usize = 256 * 1024;

/// How long a revocation waits for a replica to know of it.
const REPLICA_PATIENCE: Duration = Duration::from_millis(100);

/// Revocations that are repeated at once.
const AT_ONCE: usize = 16;

/// After this, those that failed are repeated again.
const AGAIN: Duration = Duration::from_secs(1);

/// Members of an account's index that are read at once.
const MOST_MEMBERS: usize = 10_000;

/// Sessions in one Redis.
#[derive(Debug)]
pub(super) struct RedisStore {
    keys: Arc<Keys>,
    scripts: Scripts,
    topology: Arc<Topology>,
    tracking: Option<Tracking>,
    revocations: Arc<Revocations>,
    repeater: OnceLock<AbortOnDropHandle<()>>,
    command_timeout: Duration,
}

/// Whether the files that connections to `address` need can be used; nothing is connected.
pub(super) fn probe(address: &config::RedisAddress) -> Result<(), TlsError> {
    Transport::new(address.tls()).map(|_| ())
}

impl RedisStore {
    pub(super) fn new(
        url: &config::RedisUrl,
        config: &config::Store,
        random: Random,
        changes: Option<Arc<dyn Changes>>,
    ) -> Result<Self, TlsError> {
        let keys = Arc::new(Keys::new(&config.key_prefix));
        let tracking = changes.map(|changes| Tracking::new(Arc::clone(&keys), changes));
        Ok(Self {
            keys,
            scripts: Scripts::new(),
            topology: Arc::new(Topology::new(url, config, random, tracking.as_ref())?),
            tracking,
            revocations: Arc::default(),
            repeater: OnceLock::new(),
            command_timeout: config.command_timeout,
        })
    }

    async fn look_up(&self, handle: &Handle) -> RedisResult<Loaded> {
        if self.repeater.get().is_some() && self.revocations.has(handle) {
            return Ok(Loaded { record: None, tether: None });
        }
        let (key, patience) = (self.keys.session(handle), Patience::of(self.command_timeout));
        let (tether, mut get) = (OnceLock::new(), cmd("GET"));
        let question = Question { command: get.arg(&key), tether: Some(&tether) };
        let record = record(self.topology.run(&key, Order::LookUp(question), patience).await)?;
        Ok(Loaded { record, tether: tether.into_inner() })
    }

    async fn put(&self, session: &NewSession<'_>, patience: Patience) -> Result<(), Unavailable> {
        self.revocations.forget(session.handle);
        let index = self.keys.index(session.account);
        let indexed = self.scripts.index(&index, session);
        let _: bool = self.topology.run(&index, Order::Script(&indexed), patience).await?;
        let (key, mut set) = (self.keys.session(session.handle), cmd("SET"));
        set.arg(&key).arg(session.record).arg("NX").arg("PXAT").arg(session.expires_at.millis());
        match self.topology.run(&key, Order::Once(&set), patience).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(HandleTaken.into()),
            Err(error) if error.is_connection_dropped() => self.recheck(session, error).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a record whose writing nobody confirmed stands all the same.
    async fn recheck(&self, session: &NewSession<'_>, lost: RedisError) -> Result<(), Unavailable> {
        match self.look_up(session.handle).await?.record {
            Some(record) if record == session.record => Ok(()),
            _ => Err(lost.into()),
        }
    }

    async fn take_off(
        &self,
        handle: &Handle,
        account: &str,
        patience: Patience,
    ) -> Result<Removed, Unavailable> {
        let mut masters = self.topology.masters();
        if masters.is_some() {
            self.repeater.get_or_init(|| {
                let (topology, keys) = (Arc::clone(&self.topology), Arc::clone(&self.keys));
                let repeating = repeat(topology, keys, Arc::clone(&self.revocations));
                AbortOnDropHandle::new(tokio::spawn(repeating))
            });
        }
        let order = |delete| match masters {
            Some(_) => Order::Confirmed(delete, REPLICA_PATIENCE.min(self.command_timeout / 2)),
            None => Order::Command(delete),
        };
        let (key, index) = (self.keys.session(handle), self.keys.index(account));
        let (mut delete, mut forget) = (cmd("DEL"), cmd("ZREM"));
        delete.arg(&key);
        forget.arg(&index).arg(handle.to_string());
        let taken: TakenOff = self.topology.run(&key, order(&delete), patience).await?;
        if let Some(masters) = &mut masters
            && taken.may_come_back()
        {
            self.revocations.add(*handle, account);
            if masters.has_changed().unwrap_or(false) {
                // Whoever repeats what is remembered may have looked before this was.
                let _: bool = self.topology.run(&key, Order::Command(&delete), patience).await?;
            }
        }
        let _: bool = self.topology.run(&index, Order::Command(&forget), patience).await?;
        Ok(taken.0)
    }

    async fn record_use(
        &self,
        handle: &Handle,
        touch: Touch,
        patience: Patience,
    ) -> Result<bool, Unavailable> {
        let key = self.keys.session(handle);
        let touched = self.scripts.touch(&key, touch);
        Ok(self.topology.run(&key, Order::Script(&touched), patience).await?)
    }

    /// How long what writes to `handle`'s record may take.
    fn patience(&self, handle: &Handle) -> Patience {
        self.topology.patience(&self.keys.session(handle))
    }
}

/// What a server says to a removal: whether there was a record, and by how many replicas it is known.
struct TakenOff(Removed);

impl TakenOff {
    /// A session that no replica knows to be over comes back with it.
    fn may_come_back(&self) -> bool {
        self.0.existed || self.0.replicas == Some(0)
    }
}

impl FromRedisValue for TakenOff {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        if let Value::Array(_) = value {
            let (existed, replicas) = <(bool, u64)>::from_redis_value(value)?;
            return Ok(Self(Removed { existed, replicas: Some(replicas) }));
        }
        bool::from_redis_value(value).map(|existed| Self(Removed::here(existed)))
    }
}

/// Takes off again what a new master may have from before; what fails is tried again until it does not.
async fn repeat(topology: Arc<Topology>, keys: Arc<Keys>, revocations: Arc<Revocations>) {
    let Some(mut masters) = topology.masters() else { return };
    while masters.changed().await.is_ok() {
        let (mut left, mut repeated) = (revocations.all(), 0);
        while !left.is_empty() && !masters.has_changed().unwrap_or(true) {
            let mut failed = Vec::new();
            for some in left.chunks(AT_ONCE) {
                let mut removals = JoinSet::new();
                for (handle, account) in some.iter().cloned() {
                    let (topology, keys) = (Arc::clone(&topology), Arc::clone(&keys));
                    removals.spawn(async move {
                        let removed = take_off_again(&topology, &keys, &handle, &account).await;
                        removed.map_err(|_| (handle, account))
                    });
                }
                for removed in removals.join_all().await {
                    match removed {
                        Ok(existed) => repeated += usize::from(existed),
                        Err(again) => failed.push(again),
                    }
                }
            }
            if !failed.is_empty() {
                sleep(AGAIN).await;
            }
            left = failed;
        }
        if repeated > 0 {
            tracing::warn!(repeated, "sessions that a failover had brought back were ended again");
        }
    }
}

async fn take_off_again(
    topology: &Topology,
    keys: &Keys,
    handle: &Handle,
    account: &str,
) -> Result<bool, Unavailable> {
    let (key, index) = (keys.session(handle), keys.index(account));
    let patience = topology.patience(&key);
    in_time(patience, async {
        let (mut delete, mut forget) = (cmd("DEL"), cmd("ZREM"));
        delete.arg(&key);
        forget.arg(&index).arg(handle.to_string());
        let existed = topology.run(&key, Order::Command(&delete), patience).await?;
        let _: bool = topology.run(&index, Order::Command(&forget), patience).await?;
        Ok(existed)
    })
    .await
}

/// Bounds what goes over a pool.
async fn in_time<T>(
    patience: Patience,
    work: impl Future<Output = Result<T, Unavailable>> + Send,
) -> Result<T, Unavailable> {
    patience.wait(work).await.unwrap_or_else(|_| Err(overdue().into()))
}

impl Store for RedisStore {
    fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Loaded> {
        Box::pin(async { Ok(self.look_up(handle).await?) })
    }

    fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()> {
        let patience = self.patience(session.handle);
        Box::pin(in_time(patience, self.put(session, patience)))
    }

    fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool> {
        let patience = self.patience(handle);
        Box::pin(in_time(patience, self.record_use(handle, touch, patience)))
    }

    fn remove<'a>(&'a self, handle: &'a Handle, account: &'a str) -> Answer<'a, Removed> {
        let patience = self.patience(handle);
        Box::pin(in_time(patience, self.take_off(handle, account, patience)))
    }

    fn replace<'a>(&'a self, handle: &'a Handle, transition: Transition<'a>) -> Answer<'a, Replaced> {
        let patience = self.patience(handle);
        Box::pin(in_time(patience, async move {
            let key = self.keys.session(handle);
            let swap = self.scripts.swap(&key, transition);
            Ok(self.topology.run::<Swapped>(&key, Order::Script(&swap), patience).await?.0)
        }))
    }

    fn members<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Member>> {
        let key = self.keys.index(account);
        let patience = self.topology.patience(&key);
        Box::pin(in_time(patience, async move {
            let mut range = cmd("ZRANGE");
            range.arg(&key).arg(0).arg(MOST_MEMBERS - 1).arg("WITHSCORES");
            let members: Vec<(String, i64)> =
                self.topology.run(&key, Order::Command(&range), patience).await?;
            Ok(members.into_iter().filter_map(|(handle, millis)| member(&handle, millis)).collect())
        }))
    }

    fn take<'a>(&'a self, bucket: &'a Bucket, now: Timestamp) -> Answer<'a, Taken> {
        let key = self.keys.bucket(&bucket.name);
        let patience = self.topology.patience(&key);
        Box::pin(in_time(patience, async move {
            let take = self.scripts.take(&key, bucket, now);
            Ok(self.topology.run::<Asked>(&key, Order::Script(&take), patience).await?.0)
        }))
    }

    fn give_back<'a>(&'a self, bucket: &'a Bucket, place: Place, now: Timestamp) -> Answer<'a, ()> {
        let key = self.keys.bucket(&bucket.name);
        let patience = self.topology.patience(&key);
        Box::pin(in_time(patience, async move {
            let give_back = self.scripts.give_back(&key, bucket, place, now);
            let _: bool = self.topology.run(&key, Order::ScriptOnce(&give_back), patience).await?;
            Ok(())
        }))
    }

    fn deposit<'a>(&'a self, parcel: &'a Parcel<'a>) -> Answer<'a, ()> {
        let key = self.keys.parcel(parcel.name);
        let patience = self.topology.patience(&key);
        Box::pin(in_time(patience, async move {
            let mut set = cmd("SET");
            set.arg(&key).arg(parcel.content).arg("PXAT").arg(parcel.until.millis());
            // Done twice it could bring back what somebody has fetched in between.
            Ok(self.topology.run(&key, Order::Once(&set), patience).await?)
        }))
    }

    fn fetch<'a>(&'a self, name: &'a Handle, how: Fetch) -> Answer<'a, Option<Vec<u8>>> {
        let key = self.keys.parcel(name);
        let patience = self.topology.patience(&key);
        Box::pin(in_time(patience, async move {
            let (mut look, mut collect) = (cmd("GET"), cmd("GETDEL"));
            let order = match how {
                Fetch::Look => Order::Command(look.arg(&key)),
                Fetch::Collect => Order::Once(collect.arg(&key)),
            };
            Ok(self.topology.run(&key, order, patience).await?)
        }))
    }

    fn survey(&self, from: Cursor) -> Answer<'_, Part> {
        Box::pin(async move {
            let cursor = String::from_utf8(from.0).unwrap_or_default();
            let Scanned { keys, next } = self.topology.scan(&cursor, &self.keys.all_sessions()).await?;
            let handles = keys.iter().filter_map(|key| self.keys.handle(key)).collect();
            Ok(Part { handles, next: next.map(|next| Cursor(next.into_bytes())) })
        })
    }

    fn knock(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(self.topology.knock(Patience::of(self.command_timeout)).await?) })
    }

    fn remark(&self) -> Option<String> {
        let refusal = self.tracking.as_ref()?.refusal()?;
        Some(format!("sessions are not remembered: Redis refuses CLIENT TRACKING: {refusal}"))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(self.topology.ping(Patience::of(self.command_timeout)).await?) })
    }
}

/// What does not name a session is not ours.
fn member(handle: &str, millis: i64) -> Option<Member> {
    Some(Member { handle: handle.parse().ok()?, logged_in_at: Timestamp::from_millis(millis) })
}

/// The record in an answer to `GET`. A key of another type or of a size beyond reason is garbage, which is an
/// empty record: one bad key must not look like an outage.
fn record(answer: RedisResult<Value>) -> RedisResult<Option<Vec<u8>>> {
    match answer {
        Ok(Value::Nil) => Ok(None),
        Ok(Value::BulkString(record)) if record.len() <= LONGEST_RECORD => Ok(Some(record)),
        Ok(Value::BulkString(_)) => Ok(Some(Vec::new())),
        Ok(_) => Err(nonsense()),
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(Some(Vec::new())),
        Err(error) => Err(error),
    }
}
