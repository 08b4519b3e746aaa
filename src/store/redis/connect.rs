//! Making connections to Redis, and knowing when they are over.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, Value, cmd, from_redis_value_ref,
};
use tokio_util::task::AbortOnDropHandle;

use crate::base::secret::Secret;
use crate::config::{RedisUrl, Store};

use crate::base::lock::lock;
use crate::store::tether::{Mooring, Tether};

use super::dial::{Patience, Stream, Way};
use super::tracking::Tracking;
use super::trouble::overdue;

/// Commands that may wait for their turn on one connection's wire.
const QUEUE: usize = 512;

/// A pooled connection that rested for longer is replaced rather than trusted.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// What connections to many servers have in common.
#[derive(Clone)]
pub(super) struct Manner {
    login: RedisConnectionInfo,
    settings: AsyncConnectionConfig,
    database: u16,
    connect_timeout: Duration,
    role: Role,
    tracking: Option<Tracking>,
}

/// What a server has to be for a connection to count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// It refuses by itself what it is not there for.
    Any,
    /// One that others call the master says so itself.
    Master,
}

/// Makes connections to one Redis.
#[derive(Clone)]
pub(super) struct Connector {
    way: Way,
    manner: Manner,
    /// Counts the times that Redis went away. A connection of an earlier era is not used again, even where
    /// nobody has tried it since.
    era: Arc<AtomicU64>,
    /// What ties look-ups to the connections of this era.
    moorings: Arc<Mutex<Vec<Weak<Mooring>>>>,
}

/// A connection, and the era in which it was begun. It is closed with its last clone, whatever is still under way
/// on it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) wire: MultiplexedConnection,
    era: u64,
    hold: Arc<Hold>,
}

/// What ends with the last clone of a connection.
#[derive(Debug)]
struct Hold {
    mooring: Option<Arc<Mooring>>,
    _driver: AbortOnDropHandle<()>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(mooring) = &self.mooring {
            mooring.cut();
        }
    }
}

/// Whether a connection may be used after the answer that it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Drop,
}

impl Manner {
    /// For servers that hold sessions.
    pub(super) fn of_servers(url: &RedisUrl, config: &Store, role: Role) -> Self {
        Self {
            login: login(url.user.as_deref(), url.password.as_ref()),
            settings: settings(config),
            database: url.database,
            connect_timeout: config.connect_timeout,
            role,
            tracking: None,
        }
    }

    /// The same, for connections over which servers tell of changes.
    pub(super) fn tracking(self, tracking: Tracking) -> Self {
        let login = self.login.set_protocol(ProtocolVersion::RESP3);
        Self { login, tracking: Some(tracking), ..self }
    }

    /// For sentinels, which tell `listener` what happens.
    pub(super) fn of_sentinels(
        password: Option<&Secret<String>>,
        config: &Store,
        listener: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Self {
        let told = move |news| {
            listener(news);
            Ok::<_, fmt::Error>(())
        };
        Self {
            // The protocol in which a connection that is subscribed goes on taking commands.
            login: login(None, password).set_protocol(ProtocolVersion::RESP3),
            settings: settings(config).set_push_sender(told),
            database: 0,
            connect_timeout: config.connect_timeout,
            role: Role::Any,
            tracking: None,
        }
    }
}

impl Connector {
    pub(super) fn new(way: Way, manner: Manner) -> Self {
        Self { way, manner, era: Arc::default(), moorings: Arc::default() }
    }

    /// To the same server and in the same eras, in another manner.
    pub(super) fn with(&self, manner: Manner) -> Self {
        Self { manner, ..self.clone() }
    }

    /// A connection over which Redis has answered: a stopped one accepts connections, too.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let patience = Patience::of(self.manner.connect_timeout);
        let era = self.era();
        let stream = self.way.go(patience).await?;
        patience.wait(self.open(stream, era)).await.unwrap_or_else(|_| Err(overdue()))
    }

    /// The database is selected here and not by redis-rs, which hides why Redis refuses it (`NOAUTH`). The
    /// first one needs no selection, nor an ACL user the permission for it.
    async fn open(&self, stream: Box<dyn Stream>, era: u64) -> RedisResult<Connection> {
        let Manner { login, settings, database, role, tracking, .. } = &self.manner;
        let mut mooring = tracking.as_ref().map(|_| Arc::new(Mooring::new()));
        let settings = match (tracking, &mooring) {
            (Some(tracking), Some(mooring)) => tracking.settings(settings.clone(), mooring),
            _ => settings.clone(),
        };
        let (mut wire, driver) = MultiplexedConnection::new_with_config(login, stream, settings).await?;
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        match database {
            0 => cmd("PING").exec_async(&mut wire).await?,
            database => cmd("SELECT").arg(database).exec_async(&mut wire).await?,
        }
        if let Role::Master = role {
            check_that_it_is_a_master(&mut wire).await?;
        }
        if let Some(tracking) = tracking
            && !tracking.begin(&mut wire).await?
        {
            mooring = None;
        }
        let hold = Arc::new(Hold { mooring, _driver: driver });
        self.remember(&hold);
        Ok(Connection { wire, era, hold })
    }

    fn remember(&self, hold: &Hold) {
        let mut moorings = lock(&self.moorings);
        moorings.retain(|mooring| mooring.strong_count() > 0);
        moorings.extend(hold.mooring.as_ref().map(Arc::downgrade));
    }

    /// The present era.
    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// What `answer` says of the connection, begun in `era`, that it came over. Where that was cut, or leads to
    /// what is no master any more, all others of its era are taken to have gone with it. Where the answer is
    /// overdue, nobody knows: a half-open connection looks just so.
    pub(super) fn judge<T>(&self, era: u64, answer: &RedisResult<T>) -> Verdict {
        match answer {
            Err(error) if is_lost(error) => {
                self.end(era);
                Verdict::Drop
            }
            Err(error) if error.is_timeout() => Verdict::Drop,
            _ => Verdict::Keep,
        }
    }
}

impl Connector {
    /// Begins another era, in which nothing counts that was read in this one.
    fn end(&self, era: u64) {
        if self.era.compare_exchange(era, era + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            lock(&self.moorings).drain(..).filter_map(|mooring| mooring.upgrade()).for_each(|one| one.cut());
        }
    }
}

impl Connection {
    pub(super) fn era(&self) -> u64 {
        self.era
    }

    /// Ties what is read over it to word of changes, where that comes.
    pub(super) fn tether(&self) -> Option<Tether> {
        self.hold.mooring.as_ref().map(|mooring| mooring.tether())
    }

    /// Whether word of changes came over it, and does not any more.
    pub(super) fn is_adrift(&self) -> bool {
        self.tether().is_some_and(|tether| !tether.holds())
    }

    /// Nobody believes any more what was read over it.
    pub(super) fn cast_off(&self) {
        if let Some(mooring) = &self.hold.mooring {
            mooring.cut();
        }
    }
}

async fn check_that_it_is_a_master(wire: &mut MultiplexedConnection) -> RedisResult<()> {
    let role: Vec<Value> = cmd("ROLE").query_async(wire).await?;
    match role.first().map(from_redis_value_ref::<String>) {
        Some(Ok(name)) if name == "master" => Ok(()),
        _ => {
            Err((ErrorKind::Server(ServerErrorKind::ReadOnly), "it is called the master, and is none").into())
        }
    }
}

fn login(user: Option<&str>, password: Option<&Secret<String>>) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    login
}

fn settings(config: &Store) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(Some(config.command_timeout))
        .set_pipeline_buffer_size(QUEUE)
}

fn is_lost(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown))
}

impl Manager for Connector {
    type Type = Connection;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<Connection> {
        self.connect().await
    }

    /// Costs no round trip: a connection is trusted or replaced.
    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<RedisError> {
        if connection.era != self.era() {
            return Err(RecycleError::message("of an earlier era"));
        }
        if metrics.last_used() > LONGEST_REST {
            return Err(RecycleError::message("at rest for too long"));
        }
        Ok(())
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Connector({})", self.way)
    }
}
