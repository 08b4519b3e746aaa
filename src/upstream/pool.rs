//! One server's connections: those that wait for a request, and the requests that wait for one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, OwnedMutexGuard, Semaphore};

use super::connect::{Opened, Server};
use super::connection::{Connection, Drivers, Own, Wish};
use super::error::ForwardError;
use super::health::Health;
use super::http2::{Shared, Stream};
use crate::base::clock::Stopwatch;
use crate::base::lock::lock;
use crate::config::{PoolBounds, ServerScheme};

/// One server's connections.
///
/// A request needs a place, and there are as many of those as connections may be. A new connection is made only
/// where none is idle, so that there are never more connections than there were places taken at once. Requests that
/// share a connection have a place each, too.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) server: Server,
    pub(super) health: Health,
    bounds: PoolBounds,
    idle: Mutex<Vec<Idle>>,
    kept: Mutex<Vec<Weak<Slot>>>,
    shared: Sharing,
    places: Semaphore,
    busy: AtomicUsize,
}

/// The connections of a server that takes many requests on one.
#[derive(Debug)]
struct Sharing {
    /// Whether it does, as far as is known: with TLS that is agreed on with each connection.
    is_likely: AtomicBool,
    connections: Mutex<Vec<Arc<Shared>>>,
    /// One connects, and the others wait for what comes of that.
    opening: AsyncMutex<()>,
}

/// Room for a connection that is one client's alone; nobody else uses it meanwhile.
pub(super) type Slot = AsyncMutex<Option<Idle>>;

/// A connection that nothing is under way on.
#[derive(Debug)]
pub(super) struct Idle {
    connection: Own,
    since: Stopwatch,
}

/// As many requests wait as may, or this one has waited long enough.
#[derive(Debug)]
pub(super) struct NoPlace;

impl Pool {
    pub(super) fn new(server: Server, health: Health, bounds: PoolBounds) -> Self {
        let places = Semaphore::new(bounds.connections);
        let shared = Sharing {
            is_likely: AtomicBool::new(server.url.scheme != ServerScheme::Http),
            connections: Mutex::default(),
            opening: AsyncMutex::default(),
        };
        let (idle, kept) = (Mutex::default(), Mutex::default());
        Self { server, health, bounds, idle, kept, shared, places, busy: AtomicUsize::new(0) }
    }

    /// A place for a request. Whoever came first is served first; who gives up, leaves the queue.
    pub(super) async fn place(self: &Arc<Self>, patience: Duration) -> Result<Place, NoPlace> {
        let counted = Counted::among(self)?;
        let permit = match self.places.try_acquire() {
            Ok(permit) => permit,
            Err(_) => match tokio::time::timeout(patience, self.places.acquire()).await {
                Ok(permit) => permit.expect("nobody closes it"),
                Err(_) => return Err(NoPlace),
            },
        };
        permit.forget();
        Ok(Place(counted))
    }

    /// The connection that became idle last, as far as it is still good. It may have been closed all the same
    /// by the time a request is sent on it.
    pub(super) async fn take(&self, wish: Wish) -> Option<Connection> {
        if self.is_to_share(wish) {
            return self.stream().map(Connection::Shared);
        }
        loop {
            let idle = self.locked().pop()?;
            if let Some(connection) = self.waken(idle).await {
                return Some(connection);
            }
        }
    }

    /// The connection, where the next request can be sent on it.
    pub(super) async fn waken(&self, mut idle: Idle) -> Option<Connection> {
        let is_ready = self.is_good(&idle) && idle.connection.is_ready().await;
        is_ready.then_some(Connection::Own(idle.connection))
    }

    /// Room for a connection that is to be one client's alone.
    pub(super) fn slot(&self) -> Arc<Slot> {
        let slot = Arc::default();
        lock(&self.kept).push(Arc::downgrade(&slot));
        slot
    }

    /// Keeps it for its client. There are no more of those than connections may be: the one that has been idle longest
    /// closes, and its client authenticates once more.
    pub(super) fn keep(&self, mut room: OwnedMutexGuard<Option<Idle>>, connection: Own) {
        *room = Some(Idle { connection, since: Stopwatch::start() });
        drop(room);
        let slots: Vec<_> = lock(&self.kept).iter().filter_map(Weak::upgrade).collect();
        let mut idle: Vec<_> = slots.into_iter().filter_map(|slot| slot.try_lock_owned().ok()).collect();
        idle.retain(|room| room.is_some());
        if idle.len() <= self.bounds.connections {
            return;
        }
        let idle_longest = idle.iter_mut().max_by_key(|room| room.as_ref().map(|idle| idle.since.elapsed()));
        if let Some(room) = idle_longest {
            **room = None;
        }
    }

    /// A new connection; or a part of one, where somebody else has opened one meanwhile. All of it takes `patience` at
    /// most, and only what has had all of that is the server's fault.
    pub(super) async fn connect(
        &self,
        wish: Wish,
        patience: Duration,
        drivers: &Drivers,
    ) -> Result<Connection, ForwardError> {
        if !self.is_to_share(wish) {
            return self.open(wish, patience, drivers).await;
        }
        let (turn, left) = self.opening(patience).await?;
        if let Some(stream) = self.stream() {
            return Ok(Connection::Shared(stream));
        }
        // Whoever was first may have found out that there is nothing to wait for.
        let _turn = self.is_to_share(wish).then_some(turn);
        match self.open(wish, left, drivers).await {
            Err(ForwardError::ConnectTimeout) if left < patience => Err(ForwardError::Full),
            opened => opened,
        }
    }

    /// The right to open a connection that others share, and how much of `patience` is left for that.
    async fn opening(&self, patience: Duration) -> Result<(AsyncMutexGuard<'_, ()>, Duration), ForwardError> {
        if let Ok(turn) = self.shared.opening.try_lock() {
            return Ok((turn, patience));
        }
        let watch = Stopwatch::start();
        let turn = tokio::time::timeout(patience, self.shared.opening.lock()).await;
        let turn = turn.map_err(|_| ForwardError::Full)?;
        Ok((turn, patience.saturating_sub(watch.elapsed())))
    }

    async fn open(
        &self,
        wish: Wish,
        patience: Duration,
        drivers: &Drivers,
    ) -> Result<Connection, ForwardError> {
        self.server.connect(wish, patience, drivers).await.map(|opened| self.begin(wish, opened))
    }

    fn is_to_share(&self, wish: Wish) -> bool {
        let speaks_http1 = self.server.url.scheme != ServerScheme::H2c;
        (wish == Wish::Any || !speaks_http1) && self.shared.is_likely.load(Ordering::Relaxed)
    }

    fn begin(&self, wish: Wish, opened: Opened) -> Connection {
        match opened {
            Opened::Own(own) => {
                // Who wants it for themselves has offered nothing else, and learns nothing.
                if wish == Wish::Any {
                    self.shared.is_likely.store(false, Ordering::Relaxed);
                }
                Connection::Own(own)
            }
            Opened::Shared(shared) => {
                self.shared.is_likely.store(true, Ordering::Relaxed);
                let shared = Arc::new(shared);
                let stream = shared.stream(Duration::MAX).expect("it is new");
                lock(&self.shared.connections).push(shared);
                Connection::Shared(stream)
            }
        }
    }

    /// A part of the first connection that has room.
    fn stream(&self) -> Option<Stream> {
        let age = self.bounds.connection_age;
        lock(&self.shared.connections).iter().find_map(|shared| shared.stream(age))
    }

    /// Keeps a connection for its next request.
    fn put(&self, connection: Own) {
        if !connection.requests.is_closed() && !self.is_too_old(&connection) {
            self.locked().push(Idle { connection, since: Stopwatch::start() });
        }
    }

    /// Lets go of connections that have been idle too long, are too old, or were closed by the server.
    pub(super) fn sweep(&self) {
        self.locked().retain(|idle| self.is_good(idle));
        lock(&self.kept).retain(|slot| {
            let Some(slot) = slot.upgrade() else { return false };
            if let Ok(mut room) = slot.try_lock() {
                room.take_if(|idle| !self.is_good(idle));
            }
            true
        });
        lock(&self.shared.connections).retain(|shared| {
            shared.is_open(self.bounds.connection_age)
                && shared.idle_for().is_none_or(|time| time < self.bounds.idle_timeout)
        });
    }

    /// Requests under way at this server, those that wait and tunnels among them.
    pub(super) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    fn is_good(&self, idle: &Idle) -> bool {
        !idle.connection.requests.is_closed()
            && !self.is_too_old(&idle.connection)
            && idle.since.elapsed() < self.bounds.idle_timeout
    }

    fn is_too_old(&self, connection: &Own) -> bool {
        connection.made.elapsed() >= self.bounds.connection_age
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Idle>> {
        lock(&self.idle)
    }
}

/// A request's place at a server, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place(Counted);

impl Place {
    /// Keeps the connection for its client.
    pub(super) fn keep(self, room: OwnedMutexGuard<Option<Idle>>, connection: Own) {
        self.0.0.keep(room, connection);
    }

    /// The connection first and the place afterwards: whoever gets it finds the connection.
    pub(super) fn give_back(self, connection: Connection) {
        match connection {
            Connection::Own(own) => self.0.0.put(own),
            // The pool has it all the time.
            Connection::Shared(stream) => drop(stream),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.places.add_permits(1);
    }
}

/// A request that is under way, or waits to be.
#[derive(Debug)]
struct Counted(Arc<Pool>);

impl Counted {
    fn among(pool: &Arc<Pool>) -> Result<Self, NoPlace> {
        let ahead = pool.busy.fetch_add(1, Ordering::Relaxed);
        let counted = Self(Arc::clone(pool));
        if ahead < pool.bounds.connections + pool.bounds.waiting { Ok(counted) } else { Err(NoPlace) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
