//! Connections for one request at a time: writes and scripts.

use std::time::Duration;

use deadpool::managed::{self, Object, PoolError};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, Value, cmd,
};

use crate::config::Store;

use super::connect::{Connection, Connector, Verdict};
use super::lane::Question;

/// What a server is asked to do.
#[derive(Clone, Copy)]
pub(super) enum Order<'a> {
    /// A command that only reads. It goes over a shared lane.
    LookUp(Question<'a>),
    /// A command that does no harm when it is done twice.
    Command(&'a Cmd),
    /// Such a command; the answer is a pair with the number of replicas that have taken notice within so long.
    Confirmed(&'a Cmd, Duration),
    /// A command that is not repeated where its answer was lost.
    Once(&'a Cmd),
    /// A script that does no harm when it is run twice. Sent by its digest, and in full where Redis has forgotten
    /// it.
    Script(&'a ScriptInvocation<'a>),
    /// A script that is not repeated where its answer was lost.
    ScriptOnce(&'a ScriptInvocation<'a>),
}

impl<'a> Order<'a> {
    /// A command that only reads, by somebody who does not ask for how long the answer holds.
    pub(super) fn look_up(command: &'a Cmd) -> Self {
        Self::LookUp(Question { command, tether: None })
    }

    async fn send<T: FromRedisValue>(&self, connection: &mut Connection) -> RedisResult<T> {
        match self {
            Self::LookUp(Question { command, .. }) | Self::Command(command) | Self::Once(command) => {
                command.query_async(&mut connection.wire).await
            }
            Self::Confirmed(command, patience) => {
                let answer = command.query_async(&mut connection.wire).await?;
                let replicas = replicas(&mut connection.wire, *patience).await?;
                Ok(T::from_redis_value(Value::Array(vec![answer, replicas]))?)
            }
            Self::Script(script) | Self::ScriptOnce(script) => {
                script.invoke_async(&mut connection.wire).await
            }
        }
    }

    /// As [`send`](Order::send), to a node that is yet to own the key. `ASKING` counts for the next command
    /// alone, so a script has to be known before.
    async fn send_asking<T: FromRedisValue>(&self, connection: &mut Connection) -> RedisResult<T> {
        if let Self::Script(script) | Self::ScriptOnce(script) = self {
            script.load_async(&mut connection.wire).await?;
        }
        cmd("ASKING").exec_async(&mut connection.wire).await?;
        self.send(connection).await
    }
}

/// The pool of connections to one Redis.
#[derive(Debug)]
pub(super) struct Pool {
    connections: managed::Pool<Connector>,
    connect_timeout: Duration,
    command_timeout: Duration,
}

impl Pool {
    pub(super) fn new(connector: &Connector, config: &Store) -> Self {
        let connections = managed::Pool::builder(connector.clone())
            .max_size(config.pool_size)
            // Those used last are used next, and those that are not needed grow old.
            .queue_mode(managed::QueueMode::Lifo)
            .build()
            .expect("a pool without timeouts of its own needs no runtime");
        Self { connections, connect_timeout: config.connect_timeout, command_timeout: config.command_timeout }
    }

    /// Names the server as it is now: once it has gone away, it is another.
    pub(super) fn mark(&self) -> String {
        let connector = self.connections.manager();
        format!("{connector:?}#{}", connector.era()).replace(' ', "-")
    }

    /// How long a call may take: longer where it has to make a connection first.
    pub(super) fn patience(&self) -> Duration {
        let pool = self.connections.status();
        if pool.available == 0 && pool.size < pool.max_size {
            self.command_timeout.max(self.connect_timeout)
        } else {
            self.command_timeout
        }
    }

    /// Carries `order` out; a second time, over another connection, where the first was cut and the order can
    /// be repeated. The caller bounds the time.
    pub(super) async fn run<T: FromRedisValue>(&self, order: Order<'_>) -> RedisResult<T> {
        let answer = self.lease().await?.run(&order).await;
        match (&order, &answer) {
            (Order::LookUp(_) | Order::Command(_) | Order::Confirmed(..) | Order::Script(_), Err(error))
                if error.is_connection_dropped() =>
            {
                self.lease().await?.run(&order).await
            }
            _ => answer,
        }
    }

    /// Carries `order` out on a node that is yet to own the key.
    pub(super) async fn run_asking<T: FromRedisValue>(&self, order: Order<'_>) -> RedisResult<T> {
        self.lease().await?.run_asking(&order).await
    }

    async fn lease(&self) -> RedisResult<Lease<'_>> {
        let connection = self.connections.get().await.map_err(refused)?;
        Ok(Lease { connector: self.connections.manager(), connection: Some(connection) })
    }
}

/// How many replicas have what was last written over `wire`, once one has or it takes too long; none where the server
/// does not let us ask.
async fn replicas(wire: &mut MultiplexedConnection, patience: Duration) -> RedisResult<Value> {
    match cmd("WAIT").arg(1).arg(patience.as_millis()).query_async(wire).await {
        Err(error) if matches!(error.kind(), ErrorKind::Server(_)) => {
            tracing::warn!(%error, "no replica can be asked whether it knows of a revocation (+wait)");
            Ok(Value::Int(0))
        }
        answer => answer,
    }
}

fn refused(error: PoolError<RedisError>) -> RedisError {
    match error {
        PoolError::Backend(error) => error,
        other => (ErrorKind::Client, "the pool gives no connection", other.to_string()).into(),
    }
}

/// A connection on loan. It goes back only once its answer has come and speaks for it: where nobody waited for
/// the answer it may be half-open, and is thrown away.
struct Lease<'a> {
    connector: &'a Connector,
    connection: Option<Object<Connector>>,
}

impl Lease<'_> {
    async fn run<T: FromRedisValue>(mut self, order: &Order<'_>) -> RedisResult<T> {
        let answer = order.send(self.connection()).await;
        self.settle(answer)
    }

    async fn run_asking<T: FromRedisValue>(mut self, order: &Order<'_>) -> RedisResult<T> {
        let answer = order.send_asking(self.connection()).await;
        self.settle(answer)
    }

    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is given back at the end of its one run")
    }

    fn settle<T>(mut self, answer: RedisResult<T>) -> RedisResult<T> {
        let era = self.connection().era();
        if self.connector.judge(era, &answer) == Verdict::Keep {
            drop(self.connection.take());
        }
        answer
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}
