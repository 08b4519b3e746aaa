//! The master that a majority of the sentinels names.
//!
//! Each sentinel is asked over a connection of its own, over which it also announces a switch; so a new master
//! counts the moment that the majority knows it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{FromRedisValue, PushInfo, PushKind, RedisError, RedisResult, cmd};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::base::clock::Stopwatch;
use crate::config::{RedisEndpoint, RedisSentinels};
use crate::store::redis::connect::{Connection, Connector, Manner};
use crate::store::redis::dial::{Patience, Transport};
use crate::store::redis::node::{Node, Plan, Scanned};
use crate::store::redis::pool::Order;
use crate::store::redis::trouble::{casts_doubt, nonsense};

use super::board::{Board, MAX_AGE, Turns};
use super::election::{Ballot, Election, Outcome};
use super::watched;

/// Who has answered is asked again after this, so that no answer grows old unnoticed.
const CALM: Duration = Duration::from_secs(5);

/// Who has not is asked again after this.
const RETRY: Duration = Duration::from_millis(500);

/// The channel on which a sentinel announces a new master.
const SWITCH: &str = "+switch-master";

/// Ballots under way; who casts one waits for its turn.
const BALLOTS: usize = 16;

/// A master, by way of its sentinels.
pub(in crate::store::redis) struct Sentinel {
    shared: Arc<Shared>,
    watcher: OnceLock<AbortOnDropHandle<()>>,
}

struct Shared {
    known: RedisSentinels,
    plan: Plan,
    transport: Transport,
    board: Arc<Board<Arc<Node>>>,
}

impl Sentinel {
    pub(super) fn new(known: RedisSentinels, plan: Plan, transport: Transport) -> Self {
        let shared = Arc::new(Shared { known, plan, transport, board: Arc::new(Board::new()) });
        Self { shared, watcher: OnceLock::new() }
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        order: Order<'_>,
        patience: Patience,
    ) -> RedisResult<T> {
        let answer = match self.master(patience).await {
            Ok(master) => master.run(order, patience).await,
            Err(error) => Err(error),
        };
        self.heed(answer)
    }

    pub(super) async fn scan(&self, from: &str, pattern: &str) -> RedisResult<Scanned> {
        let answer = match self.master(self.patience()).await {
            Ok(master) => master.scan(from, pattern).await,
            Err(error) => Err(error),
        };
        self.heed(answer)
    }

    fn heed<T>(&self, answer: RedisResult<T>) -> RedisResult<T> {
        if answer.as_ref().is_err_and(casts_doubt) {
            self.shared.board.doubt();
        }
        answer
    }

    pub(super) fn masters(&self) -> watch::Receiver<()> {
        self.shared.plan.masters.subscribe()
    }

    pub(super) fn patience(&self) -> Patience {
        match self.shared.board.view() {
            Some(Ok(master)) => master.patience(),
            _ => self.shared.plan.longest(),
        }
    }

    async fn master(&self, patience: Patience) -> RedisResult<Arc<Node>> {
        if let Some(view) = self.shared.board.view() {
            return view;
        }
        self.watcher.get_or_init(|| watched(watch(Arc::clone(&self.shared))));
        self.shared.board.first(patience).await
    }
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sentinel").field("known", &self.shared.known).finish_non_exhaustive()
    }
}

/// Hears the sentinels and posts whom they elect.
async fn watch(shared: Arc<Shared>) {
    let (cast, mut ballots) = mpsc::channel(BALLOTS);
    let mut election = Election::among(shared.known.sentinels.clone());
    let mut seats = BTreeMap::new();
    let mut present = None;
    loop {
        let wanted = election.seats();
        seats.retain(|endpoint, _| wanted.contains(endpoint));
        for endpoint in wanted {
            let seat = || watched(Seat::new(endpoint.clone(), &shared).sit(cast.clone()));
            seats.entry(endpoint.clone()).or_insert_with(seat);
        }
        let Some((endpoint, ballot)) = ballots.recv().await else { return };
        election.cast(endpoint, ballot);
        match election.outcome() {
            Outcome::Elected(master) if present.as_ref() == Some(&master) => {}
            Outcome::Elected(master) => {
                tracing::info!(%master, "the sentinels name a master of the session store");
                let way = shared.transport.to(master.clone());
                shared.board.post(Ok(Arc::new(shared.plan.node(way))));
                shared.plan.masters.send_replace(());
                present = Some(master);
            }
            Outcome::Open => {}
            Outcome::Nobody(error) => {
                present = None;
                shared.board.post(Err(error));
            }
        }
    }
}

/// One sentinel, and the connection over which it is asked.
struct Seat {
    endpoint: RedisEndpoint,
    master: String,
    connector: Connector,
    link: Option<Connection>,
    turns: Turns,
}

impl Seat {
    fn new(endpoint: RedisEndpoint, shared: &Shared) -> Self {
        let board = Arc::clone(&shared.board);
        let listener = move |news: PushInfo| {
            if matches!(news.kind, PushKind::Message | PushKind::Disconnection) {
                board.doubt();
            }
        };
        let password = shared.known.password.as_ref();
        let manner = Manner::of_sentinels(password, &shared.plan.config, listener);
        Self {
            connector: Connector::new(shared.transport.to(endpoint.clone()), manner),
            master: shared.known.master.clone(),
            link: None,
            turns: shared.board.turns(shared.plan.random),
            endpoint,
        }
    }

    /// Asks again and again. What was said counts until it is older than [`MAX_AGE`].
    async fn sit(mut self, cast: mpsc::Sender<(RedisEndpoint, RedisResult<Ballot>)>) {
        let mut last_word: Option<Stopwatch> = None;
        loop {
            let asked = Stopwatch::start();
            let ballot = self.ask().await;
            let calm = if ballot.is_ok() { CALM } else { RETRY };
            if ballot.is_ok() {
                last_word = Some(asked);
            }
            let counts = ballot.is_ok() || last_word.is_none_or(|word| word.elapsed() >= MAX_AGE);
            if counts && cast.send((self.endpoint.clone(), ballot)).await.is_err() {
                return;
            }
            self.turns.next(calm).await;
        }
    }

    async fn ask(&mut self) -> RedisResult<Ballot> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.connect().await?,
        };
        let ballot = ballot(&mut link.wire, &self.master).await?;
        self.link = Some(link);
        Ok(ballot)
    }

    async fn connect(&self) -> RedisResult<Connection> {
        let mut link = self.connector.connect().await?;
        link.wire.subscribe(SWITCH).await?;
        Ok(link)
    }
}

async fn ballot(wire: &mut MultiplexedConnection, name: &str) -> RedisResult<Ballot> {
    let about = |what| cmd("SENTINEL").arg(what).arg(name).to_owned();
    let master: Option<(String, u16)> = about("GET-MASTER-ADDR-BY-NAME").query_async(wire).await?;
    let id = cmd("SENTINEL").arg("MYID").query_async(wire).await?;
    let Some((host, port)) = master else {
        return Ok(Ballot { id, master: None, others: BTreeMap::new() });
    };
    let others: Vec<BTreeMap<String, String>> = about("SENTINELS").query_async(wire).await?;
    let others =
        others.iter().map(|other| known(other).ok_or_else(nonsense)).collect::<Result<_, RedisError>>();
    Ok(Ballot { id, master: Some(RedisEndpoint { host, port }), others: others? })
}

/// The id and the address of another sentinel.
fn known(other: &BTreeMap<String, String>) -> Option<(String, RedisEndpoint)> {
    let port = other.get("port")?.parse().ok()?;
    Some((other.get("runid")?.clone(), RedisEndpoint { host: other.get("ip")?.clone(), port }))
}
