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

use crate::base::clock::Stopwatch;
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
    /// `command_timeout` is the longest that anybody waits for an answer.
    pub(super) fn new(connector: &Connector, random: Random, command_timeout: Duration) -> Self {
        let lane = |_| Lane {
            connector: connector.clone(),
            random,
            longest_silence: command_timeout / 2,
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
    /// Who was left without an answer for so long gives the link up. Whoever had less time says nothing of it: after
    /// a few redirections in a Cluster little is left.
    longest_silence: Duration,
    link: ArcSwapOption<Link>,
    /// Held while a new link takes the place of the last, so that there is one attempt and not one a request.
    opening: Mutex<()>,
}

impl Lane {
    async fn ask<T: FromRedisValue>(&self, question: Question<'_>, patience: Patience) -> RedisResult<T> {
        let (mut link, mut asked) = (self.link(), None);
        let asking = async {
            match self.ask_over(&link, question, &mut asked).await {
                Err(error) if link.is_open() && error.is_connection_dropped() => {
                    link = self.link();
                    self.ask_over(&link, question, &mut asked).await
                }
                answer => answer,
            }
        };
        let answer = patience.wait(asking).await;
        answer.unwrap_or_else(|_| {
            if asked.is_some_and(|asked| asked.elapsed() >= self.longest_silence) {
                self.give_up(&link);
            }
            Err(overdue())
        })
    }

    /// Notes when the question was `asked`: the connection may have to be made before.
    async fn ask_over<T: FromRedisValue>(
        &self,
        link: &Arc<Link>,
        question: Question<'_>,
        asked: &mut Option<Stopwatch>,
    ) -> RedisResult<T> {
        *asked = None;
        let mut connection = link.connection().await?;
        *asked = Some(Stopwatch::start());
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use deadpool_redis::redis::cmd;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::{self, OnOutage, RedisAddress, RedisEndpoint, RedisUrl, StoreUrl};
    use crate::store::redis::connect::{Manner, Role};
    use crate::store::redis::dial::Way;

    const COMMAND_TIMEOUT: Duration = Duration::from_millis(600);

    /// A server that takes its time to answer.
    #[derive(Default)]
    struct Leisurely {
        connections: AtomicUsize,
        is_silent: AtomicBool,
    }

    impl Leisurely {
        async fn serve(self: Arc<Self>, listener: TcpListener) {
            while let Ok((stream, _)) = listener.accept().await {
                self.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(Arc::clone(&self).answer(stream));
            }
        }

        /// `PING` by itself is an array of one word: the last of its three lines.
        async fn answer(self: Arc<Self>, stream: TcpStream) {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                if line == "PING\r\n" {
                    sleep(Duration::from_millis(30)).await;
                    if !self.is_silent.load(Ordering::SeqCst) {
                        stream.write_all(b"+PONG\r\n").await.unwrap();
                    }
                }
                line.clear();
            }
        }

        fn connections(&self) -> usize {
            self.connections.load(Ordering::SeqCst)
        }
    }

    async fn ask(lanes: &Lanes, patience: Duration) -> RedisResult<String> {
        let ping = cmd("PING");
        lanes.ask(Question { command: &ping, tether: None }, Patience::of(patience)).await
    }

    fn lanes(port: u16) -> Lanes {
        let endpoint = RedisEndpoint { host: "127.0.0.1".to_owned(), port };
        let address = RedisAddress::Tcp { host: "127.0.0.1".to_owned(), port };
        let url = RedisUrl { address, database: 0, user: None, password: None };
        let config = config::Store {
            url: StoreUrl::Memory,
            key_prefix: "session:".to_owned(),
            pool_size: 1,
            connect_timeout: COMMAND_TIMEOUT * 10,
            command_timeout: COMMAND_TIMEOUT,
            on_outage: OnOutage::Refuse,
            outage_grace: COMMAND_TIMEOUT,
        };
        let connector = Connector::new(Way::Tcp(endpoint), Manner::of_servers(&url, &config, Role::Any));
        Lanes::new(&connector, Random::system(), COMMAND_TIMEOUT)
    }

    #[tokio::test]
    async fn who_has_little_patience_closes_nobodys_connection_and_silence_does() {
        let (server, listener) =
            (Arc::new(Leisurely::default()), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let lanes = lanes(listener.local_addr().unwrap().port());
        let serving = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&server).serve(listener)));
        for _ in 0..LANES {
            ask(&lanes, COMMAND_TIMEOUT * 10).await.unwrap();
        }
        for _ in 0..LANES {
            assert!(ask(&lanes, Duration::from_millis(5)).await.unwrap_err().is_timeout());
        }
        for _ in 0..LANES {
            ask(&lanes, COMMAND_TIMEOUT * 10).await.unwrap();
        }
        assert_eq!(server.connections(), LANES);

        server.is_silent.store(true, Ordering::SeqCst);
        assert!(ask(&lanes, COMMAND_TIMEOUT).await.unwrap_err().is_timeout());
        server.is_silent.store(false, Ordering::SeqCst);
        for _ in 0..LANES {
            ask(&lanes, COMMAND_TIMEOUT * 10).await.unwrap();
        }
        assert_eq!(server.connections(), LANES + 1);
        drop(serving);
    }
}
