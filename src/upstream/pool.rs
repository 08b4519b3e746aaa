//! Connections to one server that wait for their next request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::{Connection, Server};
use crate::base::clock::Stopwatch;

/// Idle connections kept for one server.
const MOST_IDLE: usize = 256;

/// How long a connection that has just ended an answer may take to be ready for the next request. Longer, and
/// something of the request before is still under way on it.
const MOMENT: Duration = Duration::from_millis(5);

/// One server's connections.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) server: Server,
    idle_timeout: Duration,
    idle: Mutex<Vec<Idle>>,
    busy: AtomicUsize,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Stopwatch,
}

impl Pool {
    pub(super) fn new(server: Server, idle_timeout: Duration) -> Self {
        Self { server, idle_timeout, idle: Mutex::default(), busy: AtomicUsize::new(0) }
    }

    /// The connection that became idle last, as far as it is still good. It may have been closed all the same
    /// by the time a request is sent on it.
    pub(super) async fn take(&self) -> Option<Connection> {
        loop {
            let mut idle = self.locked().pop()?;
            if idle.since.elapsed() >= self.idle_timeout {
                continue;
            }
            if idle.connection.requests.is_ready() || is_ready_in_a_moment(&mut idle.connection).await {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection for its next request.
    pub(super) fn put(&self, connection: Connection) {
        let mut idle = self.locked();
        if !connection.requests.is_closed() && idle.len() < MOST_IDLE {
            idle.push(Idle { connection, since: Stopwatch::start() });
        }
    }

    /// Lets go of connections that have been idle too long, or were closed by the server.
    pub(super) fn sweep(&self) {
        self.locked()
            .retain(|idle| !idle.connection.requests.is_closed() && idle.since.elapsed() < self.idle_timeout);
    }

    /// Counts a request as under way until the result is dropped.
    pub(super) fn occupy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Requests under way at this server, tunnels among them.
    pub(super) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn is_ready_in_a_moment(connection: &mut Connection) -> bool {
    matches!(tokio::time::timeout(MOMENT, connection.requests.ready()).await, Ok(Ok(())))
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Pool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
