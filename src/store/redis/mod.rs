//! `redis://`, `rediss://`, `redis+unix://`: sessions in Redis 6.2 or newer, or Valkey, shared by many proxies and readable by operators.
//!
//! Look-ups go over shared [`lane`]s and cost one round trip; writes and scripts take a connection from the
//! [`pool`]. What needs two keys is two commands, ordered so that a crash between them lets nobody in.

mod connect;
mod dial;
mod keys;
mod lane;
mod pool;
mod script;
mod trouble;

use std::future::Future;

use deadpool_redis::redis::{RedisError, RedisResult, Value, cmd};
use tokio::time::timeout;

use crate::base::handle::Handle;
use crate::base::random::Random;
use crate::config;
use crate::outgoing::{TlsError, TlsFiles};

use super::{
    Answer, Cursor, HandleTaken, Loaded, NewSession, Part, Replaced, Store, Touch, Transition, Unavailable,
};

use connect::Connector;
use keys::Keys;
use lane::Lanes;
use pool::{Order, Pool};
use script::{Scripts, Swapped};
use trouble::{nonsense, overdue};

/// No session is this long: 256 KiB.
const LONGEST_RECORD: usize = 256 * 1024;

/// Keys that Redis looks at in one step of a survey: a fraction of a millisecond.
const SCANNED: usize = 1000;

/// Members of an account's index that are read at once.
const MOST_MEMBERS: usize = 10_000;

/// Sessions in one Redis.
#[derive(Debug)]
pub(super) struct RedisStore {
    keys: Keys,
    scripts: Scripts,
    lanes: Lanes,
    pool: Pool,
}

/// Whether the files that connections to `address` need can be used; nothing is connected.
pub(super) fn probe(address: &config::RedisAddress) -> Result<(), TlsError> {
    match address {
        config::RedisAddress::Tls { files, .. } => TlsFiles::new(files).map(|_| ()),
        config::RedisAddress::Tcp { .. } | config::RedisAddress::Unix(_) => Ok(()),
    }
}

impl RedisStore {
    pub(super) fn new(
        url: &config::RedisUrl,
        config: &config::Store,
        random: Random,
    ) -> Result<Self, TlsError> {
        let connector = Connector::new(url, config)?;
        Ok(Self {
            keys: Keys::new(&config.key_prefix),
            scripts: Scripts::new(),
            lanes: Lanes::new(&connector, config.command_timeout, random),
            pool: Pool::new(&connector, config),
        })
    }

    async fn look_up(&self, handle: &Handle) -> RedisResult<Option<Vec<u8>>> {
        record(self.lanes.ask(cmd("GET").arg(self.keys.session(handle))).await)
    }

    async fn put(&self, session: &NewSession<'_>) -> Result<(), Unavailable> {
        let indexed = self.scripts.index(&self.keys.index(session.account), session);
        let _: bool = self.pool.run(Order::Script(&indexed)).await?;
        let mut set = cmd("SET");
        set.arg(self.keys.session(session.handle)).arg(session.record);
        set.arg("NX").arg("PXAT").arg(session.expires_at.millis());
        match self.pool.run(Order::Once(&set)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(HandleTaken.into()),
            Err(error) if error.is_connection_dropped() => self.recheck(session, error).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a record whose writing nobody confirmed stands all the same.
    async fn recheck(&self, session: &NewSession<'_>, lost: RedisError) -> Result<(), Unavailable> {
        match self.look_up(session.handle).await? {
            Some(record) if record == session.record => Ok(()),
            _ => Err(lost.into()),
        }
    }

    async fn take_off(&self, handle: &Handle, account: &str) -> Result<bool, Unavailable> {
        let removed = self.pool.run(Order::Command(cmd("DEL").arg(self.keys.session(handle)))).await?;
        let mut forget = cmd("ZREM");
        forget.arg(self.keys.index(account)).arg(handle.to_string());
        let _: bool = self.pool.run(Order::Command(&forget)).await?;
        Ok(removed)
    }

    /// Bounds what goes over the pool.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Unavailable>> + Send,
    ) -> Result<T, Unavailable> {
        timeout(self.pool.patience(), work).await.unwrap_or_else(|_| Err(overdue().into()))
    }
}

impl Store for RedisStore {
    fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Loaded> {
        Box::pin(async { Ok(Loaded { record: self.look_up(handle).await?, tether: None }) })
    }

    fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()> {
        Box::pin(self.in_time(self.put(session)))
    }

    fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool> {
        Box::pin(self.in_time(async move {
            let touched = self.scripts.touch(&self.keys.session(handle), touch);
            Ok(self.pool.run(Order::Script(&touched)).await?)
        }))
    }

    fn remove<'a>(&'a self, handle: &'a Handle, account: &'a str) -> Answer<'a, bool> {
        Box::pin(self.in_time(self.take_off(handle, account)))
    }

    fn replace<'a>(&'a self, handle: &'a Handle, transition: Transition<'a>) -> Answer<'a, Replaced> {
        Box::pin(self.in_time(async move {
            let swap = self.scripts.swap(&self.keys.session(handle), transition);
            Ok(self.pool.run::<Swapped>(Order::Script(&swap)).await?.0)
        }))
    }

    fn members<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Handle>> {
        Box::pin(self.in_time(async move {
            let mut range = cmd("ZRANGE");
            range.arg(self.keys.index(account)).arg(0).arg(MOST_MEMBERS - 1);
            let members: Vec<String> = self.pool.run(Order::Command(&range)).await?;
            Ok(members.iter().filter_map(|member| member.parse().ok()).collect())
        }))
    }

    fn survey(&self, from: Cursor) -> Answer<'_, Part> {
        Box::pin(self.in_time(async move {
            let cursor = String::from_utf8(from.0).unwrap_or_default();
            let mut scan = cmd("SCAN");
            scan.arg(if cursor.is_empty() { "0" } else { &cursor });
            scan.arg("MATCH").arg(self.keys.all_sessions()).arg("COUNT").arg(SCANNED);
            let (next, keys): (String, Vec<Vec<u8>>) = self.pool.run(Order::Command(&scan)).await?;
            let handles = keys.iter().filter_map(|key| self.keys.handle(key)).collect();
            Ok(Part { handles, next: (next != "0").then(|| Cursor(next.into_bytes())) })
        }))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async {
            self.lanes.ask(&cmd("PING")).await?;
            Ok(())
        })
    }
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
