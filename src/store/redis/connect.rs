//! Making connections to Redis, and knowing when they are over.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::io::tcp::TcpSettings;
use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, ServerErrorKind, cmd,
};
use socket2::TcpKeepalive;
use tokio::time::timeout;

use crate::config::{RedisUrl, Store};

use super::trouble::overdue;

/// Commands that may wait for their turn on one connection's wire.
const QUEUE: usize = 512;

/// When the kernel begins to ask whether an idle peer is still there, so that a firewall neither forgets the
/// connection nor has forgotten it unnoticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A pooled connection that rested for longer is replaced rather than trusted.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Makes connections to one Redis.
#[derive(Clone)]
pub(super) struct Connector {
    client: Client,
    settings: AsyncConnectionConfig,
    database: u16,
    connect_timeout: Duration,
    /// Counts the times that Redis went away. A connection of an earlier era is not used again, even where
    /// nobody has tried it since.
    era: Arc<AtomicU64>,
}

/// A connection, and the era in which it was begun.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) wire: MultiplexedConnection,
    era: u64,
}

/// Whether a connection may be used after the answer that it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Drop,
}

impl Connector {
    pub(super) fn new(url: &RedisUrl, config: &Store) -> Self {
        Self {
            client: client(url),
            settings: AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(Some(config.command_timeout))
                .set_pipeline_buffer_size(QUEUE),
            database: url.database,
            connect_timeout: config.connect_timeout,
            era: Arc::default(),
        }
    }

    /// A connection over which Redis has answered: a stopped one accepts connections, too.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        timeout(self.connect_timeout, self.open()).await.unwrap_or_else(|_| Err(overdue()))
    }

    /// The database is selected here and not by redis-rs, which hides why Redis refuses it (`NOAUTH`). The
    /// first one needs no selection, nor an ACL user the permission for it.
    async fn open(&self) -> RedisResult<Connection> {
        let era = self.era();
        let mut wire = self.client.get_multiplexed_async_connection_with_config(&self.settings).await?;
        match self.database {
            0 => cmd("PING").exec_async(&mut wire).await?,
            database => cmd("SELECT").arg(database).exec_async(&mut wire).await?,
        }
        Ok(Connection { wire, era })
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
                let _ = self.era.compare_exchange(era, era + 1, Ordering::AcqRel, Ordering::Relaxed);
                Verdict::Drop
            }
            Err(error) if error.is_timeout() => Verdict::Drop,
            _ => Verdict::Keep,
        }
    }
}

impl Connection {
    pub(super) fn era(&self) -> u64 {
        self.era
    }
}

fn client(url: &RedisUrl) -> Client {
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = &url.user {
        login = login.set_username(user);
    }
    if let Some(password) = &url.password {
        login = login.set_password(password.expose());
    }
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE));
    ConnectionAddr::Tcp(url.host.clone(), url.port)
        .into_connection_info()
        .map(|info| info.set_redis_settings(login).set_tcp_settings(tcp))
        .and_then(Client::open)
        .expect("an address in parts needs no parsing")
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
        write!(out, "Connector({})", self.client.get_connection_info().addr())
    }
}
