//! The thread that writes: everything that changes the file goes through it, one transaction after the other.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::shelf::Shelf;
use super::tables::{Newcomer, Swap, Tables};
use super::trouble::{Shared, overdue, stopped};
use crate::base::clock::{Stopwatch, Timestamp};
use crate::base::handle::Handle;
use crate::store::{Replaced, Unavailable};

/// Orders that wait; whoever comes when there are more is refused.
const QUEUE: usize = 1024;

/// How long uses wait to be written, how often expired sessions are looked for, and how long a file that has
/// failed is left in peace.
const TICK: Duration = Duration::from_secs(1);

/// Sessions looked at in one step of the sweep, so that nobody waits long for it.
const STEP: usize = 1000;

/// What is to be done to the file.
#[derive(Debug)]
pub(super) enum Change {
    /// A login. Comes to [`Replaced::Changed`] where the handle is taken.
    Put(Newcomer),
    /// A transition.
    Swap(Swap),
    /// A logout. Comes to [`Replaced::Gone`] where there was no such session.
    TakeOff(Handle),
}

/// A change, and who waits for it to be on the disk.
#[derive(Debug)]
struct Order {
    change: Change,
    answer: oneshot::Sender<Result<Replaced, Unavailable>>,
}

/// Gives orders to the thread, and ends it.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(shelf: Arc<Shelf>) -> std::io::Result<Self> {
        let (sender, orders) = sync_channel(QUEUE);
        let desk = Desk { shelf, orders, failure: None, next: None, ticked: Stopwatch::start() };
        let thread = thread::Builder::new().name("session-file".to_owned()).spawn(|| desk.run())?;
        Ok(Self { orders: Some(sender), thread: Some(thread) })
    }

    /// What `change` came to, once it is on the disk.
    pub(super) async fn perform(&self, change: Change) -> Result<Replaced, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let orders = self.orders.as_ref().ok_or_else(stopped)?;
        orders.try_send(Order { change, answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => overdue(),
            TrySendError::Disconnected(_) => stopped(),
        })?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Drop for Writer {
    /// Waits until what was ordered is done, which is a transaction at most, and the file is closed.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes sessions has panicked");
        }
    }
}

/// Where the thread works.
struct Desk {
    shelf: Arc<Shelf>,
    orders: Receiver<Order>,
    failure: Option<Failure>,
    /// Where the sweep goes on.
    next: Option<Vec<u8>>,
    ticked: Stopwatch,
}

/// Why nothing is written at the moment.
struct Failure {
    error: Shared,
    since: Stopwatch,
}

impl Desk {
    fn run(mut self) {
        let mut pause = TICK;
        loop {
            match self.orders.recv_timeout(pause) {
                Ok(order) => self.perform(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            pause = self.tidy_if_due();
        }
        if self.shelf.was_used() {
            // What fails is logged, and there is nobody left to tell.
            let _ = self.write(|_| Ok(()));
        }
        self.shelf.close();
    }

    /// Does `first` and what has been ordered meanwhile in one transaction.
    fn perform(&mut self, first: Order) {
        let now = self.shelf.clock().now();
        let mut orders: Vec<Order> = [first].into_iter().chain(self.orders.try_iter().take(QUEUE)).collect();
        // A login that nobody waits for any more was refused; a logout is done whether or not.
        orders.retain(|order| matches!(order.change, Change::TakeOff(_)) || !order.answer.is_closed());
        let outcome =
            self.write(|tables| orders.iter().map(|order| order.change.make(tables, now)).collect());
        let answers: Vec<_> = match outcome {
            Ok(done) => Vec::into_iter(done).map(Ok).collect(),
            Err(error) => orders.iter().map(|_| Err(Arc::clone(&error).into())).collect(),
        };
        for (order, answer) in orders.into_iter().zip(answers) {
            self.shelf.tell(order.change.handle());
            // Who has given up waiting does not want to know.
            let _ = order.answer.send(answer);
        }
    }

    /// Once a tick writes the uses and takes a step of the sweep. Says how long until the next.
    fn tidy_if_due(&mut self) -> Duration {
        let left = TICK.saturating_sub(self.ticked.elapsed());
        if !left.is_zero() {
            return left;
        }
        if self.shelf.was_used() || !self.shelf.is_open() {
            // What fails is logged; the uses wait for the next time.
            let _ = self.write(|_| Ok(()));
        }
        // Where there is much to sweep, the next step comes at once.
        if matches!(self.sweep(), Ok(swept) if swept > STEP / 10) {
            return Duration::ZERO;
        }
        self.ticked = Stopwatch::start();
        TICK
    }

    /// Takes what has expired among the next sessions off the shelf. Says how many.
    fn sweep(&mut self) -> Result<usize, Shared> {
        let survey = self.shelf.survey(&self.next.take().unwrap_or_default(), STEP)?;
        self.next = survey.next;
        if survey.expired.is_empty() {
            return Ok(0);
        }
        let now = self.shelf.clock().now();
        self.write(|tables| survey.expired.iter().try_for_each(|key| tables.expire(key, now)))?;
        Ok(survey.expired.len())
    }

    /// Writes in one transaction. After a failure nothing is tried for a tick, nor until there is room.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, Shared> {
        if let Some(failure) = &mut self.failure {
            if failure.since.elapsed() < TICK {
                return Err(Arc::clone(&failure.error));
            }
            failure.since = Stopwatch::start();
            if !self.shelf.has_room() {
                return Err(Arc::clone(&failure.error));
            }
            if !self.shelf.is_open() {
                self.shelf.reopen();
            }
        }
        let written = self.shelf.write(work);
        self.failure = written.as_ref().err().map(|error| {
            self.shelf.reopen();
            tracing::error!(%error, "the file of sessions cannot be written");
            Failure { error: Arc::clone(error), since: Stopwatch::start() }
        });
        written
    }
}

impl Change {
    fn make(&self, tables: &mut Tables<'_>, now: Timestamp) -> Result<Replaced, redb::Error> {
        Ok(match self {
            Self::Put(newcomer) if tables.put(newcomer, now)? => Replaced::Done,
            Self::Put(_) => Replaced::Changed,
            Self::Swap(swap) => tables.swap(swap, now)?,
            Self::TakeOff(handle) if tables.take_off(handle, now)? => Replaced::Done,
            Self::TakeOff(_) => Replaced::Gone,
        })
    }

    fn handle(&self) -> &Handle {
        match self {
            Self::Put(newcomer) => &newcomer.handle,
            Self::Swap(swap) => &swap.handle,
            Self::TakeOff(handle) => handle,
        }
    }
}
