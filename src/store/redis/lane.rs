//! Shared connections for commands that are short and may be repeated: look-ups. They are never checked out;
//! commands of many requests follow each other on one wire.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use deadpool_redis::redis::{Cmd, FromRedisValue, RedisResult};
use tokio::sync::SetOnce;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::base::lock::lock;
use crate::base::random::Random;
use crate::store::tether::Tether;

use super::connect::{Connection, Connector, Verdict};
use super::dial::Patience;
use super::trouble::overdue;

/// More than one, so that a long answer on one wire does not hold up everybody.
const LANES: usize = 2;

/// A command that only reads.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) command: &'a Cmd,
    /// Where it is put for how long the answer holds, if anybody wants to know.
    pub(super) tether: Option<&'a OnceLock<Tether>>,
}

/// The lanes to one Redis.
pub(super) struct Lanes {
    lanes: [Lane; LANES],
    turn: AtomicUsize,
}

impl Lanes {
    pub(super) fn new(connector: &Connector, random: Random) -> Self {
        let lane = |_| Lane {
            connector: connector.clone(),
            random,
            link: ArcSwapOption::empty(),
            opening: Mutex::new(()),
        };
        Self { lanes: array::from_fn(lane), turn: AtomicUsize::new(0) }
    }

    /// Redis's answer to `command`, which is sent a second time, over a new connection, where the first one was
    /// cut. As long as the patience lasts, whether or not there is a connection.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        question: Question<'_>,
        patience: Patience,
    ) -> RedisResult<T> {
        self.next().ask(question, patience).await
    }

    /// Takes the lanes in turn, past those that rest after a failure.
    fn next(&self) -> &Lane {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let lane = |n: usize| &self.lanes[turn.wrapping_add(n) % LANES];
        (0..LANES).map(lane).find(|lane| !lane.rests()).unwrap_or_else(|| lane(0))
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Lanes").finish_non_exhaustive()
    }
}

/// One shared connection at a time.
struct Lane {
    connector: Connector,
    random: Random,
    link: ArcSwapOption<Link>,
    /// Held while a new link takes the place of the last, so that there is one attempt and not one a request.
    opening: Mutex<()>,
}

impl Lane {
    async fn ask<T: FromRedisValue>(&self, question: Question<'_>, patience: Patience) -> RedisResult<T> {
        let mut link = self.link();
        let asked = async {
            match self.ask_over(&link, question).await {
                Err(error) if link.is_open() && error.is_connection_dropped() => {
                    link = self.link();
                    self.ask_over(&link, question).await
                }
                answer => answer,
            }
        };
        let answer = patience.wait(asked).await;
        answer.unwrap_or_else(|_| {
            self.give_up(&link);
            Err(overdue())
        })
    }

    async fn ask_over<T: FromRedisValue>(&self, link: &Arc<Link>, question: Question<'_>) -> RedisResult<T> {
        let mut connection = link.connection().await?;
        let answer = question.command.query_async(&mut connection.wire).await;
        if let (Ok(_), Some(place), Some(tether)) = (&answer, question.tether, connection.tether()) {
            // Set once: nobody asks again who has an answer.
            let _ = place.set(tether);
        }
        if self.connector.judge(connection.era(), &answer) == Verdict::Drop {
            self.give_up(link);
        }
        answer
    }

    /// The link in use; where there is none, or it is over, a new one.
    fn link(&self) -> Arc<Link> {
        self.usable().unwrap_or_else(|| {
            let _opening = lock(&self.opening);
            self.usable().unwrap_or_else(|| {
                let link = Arc::new(Link::open(self.connector.clone(), pause(self.random)));
                self.link.store(Some(Arc::clone(&link)));
                link
            })
        })
    }

    fn usable(&self) -> Option<Arc<Link>> {
        let era = self.connector.era();
        self.link.load_full().filter(|link| link.era == era && !link.is_over() && !link.is_adrift())
    }

    fn rests(&self) -> bool {
        self.usable().is_some_and(|link| link.has_failed())
    }

    /// Nobody takes an open link up again; who still waits for an answer over it, may. A link that is being
    /// opened has its own time.
    fn give_up(&self, link: &Arc<Link>) {
        if let Some(Ok(connection)) = link.outcome.get() {
            // It may be half-open, and word of changes lost in it.
            connection.cast_off();
            self.link.compare_and_swap(link, None);
        }
    }
}

/// A connection from the attempt to make it, which no single request owns: who gives up waiting does not undo
/// what others wait for. It ends with its lane.
struct Link {
    era: u64,
    outcome: Arc<SetOnce<RedisResult<Connection>>>,
    attempt: AbortOnDropHandle<()>,
}

impl Link {
    fn open(connector: Connector, pause: Duration) -> Self {
        let era = connector.era();
        let outcome = Arc::new(SetOnce::new());
        let attempt = tokio::spawn(attempt(connector, pause, Arc::clone(&outcome)));
        Self { era, outcome, attempt: AbortOnDropHandle::new(attempt) }
    }

    async fn connection(&self) -> RedisResult<Connection> {
        self.outcome.wait().await.clone()
    }

    fn is_open(&self) -> bool {
        self.outcome.get().is_some_and(Result::is_ok)
    }

    fn is_adrift(&self) -> bool {
        matches!(self.outcome.get(), Some(Ok(connection)) if connection.is_adrift())
    }

    fn has_failed(&self) -> bool {
        self.outcome.get().is_some_and(Result::is_err)
    }

    /// It has failed, and has rested since.
    fn is_over(&self) -> bool {
        self.attempt.is_finished() && !self.is_open()
    }
}

/// Connects. After a failure it rests, and whoever asks in the meantime is told of that failure at once.
async fn attempt(connector: Connector, pause: Duration, outcome: Arc<SetOnce<RedisResult<Connection>>>) {
    let connection = connector.connect().await;
    let failed = connection.is_err();
    outcome.set(connection).expect("an attempt has one outcome");
    if failed {
        sleep(pause).await;
    }
}

/// Short enough to be back within a second of Redis, and spread, so that not all proxies come at once.
fn pause(random: Random) -> Duration {
    Duration::from_millis(100 + u64::from(u16::from_ne_bytes(random.bytes())) % 401)
}
