//! The owner of a key's slot in a Cluster.
//!
//! The map of slots is as good as the last look at it; a node that is asked for what it has not says who has it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use deadpool_redis::redis::{
    ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value, cmd,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::base::lock::lock;
use crate::config::RedisEndpoint;
use crate::store::redis::dial::{Patience, Transport};
use crate::store::redis::node::{Node, Plan, Scanned};
use crate::store::redis::pool::Order;
use crate::store::redis::trouble::{casts_doubt, nonsense};

use super::board::{Board, MAX_AGE};
use super::slots::{self, Range, SLOTS};
use super::walk::Walk;
use super::watched;

/// Before a command that nobody was ready for is sent again.
const PAUSE: Duration = Duration::from_millis(25);

/// So many walks over all masters are begun anew because slots have moved.
const MOST_WALKS: u32 = 20;

/// A look at the map asks so many nodes at a time: some of them may be away.
const AT_A_TIME: usize = 3;

/// A Cluster.
pub(in crate::store::redis) struct Cluster {
    shared: Arc<Shared>,
    watcher: OnceLock<AbortOnDropHandle<()>>,
}

struct Shared {
    seeds: Vec<RedisEndpoint>,
    plan: Plan,
    transport: Transport,
    board: Board<Arc<Map>>,
    /// Every node that is connected to, so that what two ways lead to is one.
    members: Mutex<HashMap<RedisEndpoint, Arc<Member>>>,
}

/// A node, and where it is.
struct Member {
    endpoint: RedisEndpoint,
    node: Node,
    /// Since the last look at the map.
    was_pointed_to: AtomicBool,
}

/// Who owns which slot.
struct Map {
    masters: Vec<Arc<Member>>,
    /// Indices into `masters`.
    owners: Box<[Option<usize>]>,
}

/// Where a command goes next.
enum Course {
    ToTheOwner,
    To(Arc<Member>),
    /// To a node that takes the slot over, which wants to be told that this is known.
    Asking(Arc<Member>),
}

impl Cluster {
    pub(super) fn new(seeds: Vec<RedisEndpoint>, plan: Plan, transport: Transport) -> Self {
        let (board, members) = (Board::new(), Mutex::default());
        let shared = Arc::new(Shared { seeds, plan, transport, board, members });
        Self { shared, watcher: OnceLock::new() }
    }

    /// What a node refuses by pointing elsewhere, or because it is not ready, it has not done: that is sent again,
    /// whatever it is.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        key: &str,
        order: Order<'_>,
        patience: Patience,
    ) -> RedisResult<T> {
        let slot = slots::slot(key);
        let (mut course, mut redirected) = (Course::ToTheOwner, 0);
        loop {
            let (member, answer) = self.take(course, slot, order, patience).await?;
            let Err(error) = &answer else { return answer };
            course = match self.shared.course_after(error, &member) {
                None => return answer,
                Some(Course::ToTheOwner) if patience.left() <= PAUSE => return answer,
                Some(Course::ToTheOwner) => {
                    sleep(PAUSE).await;
                    Course::ToTheOwner
                }
                Some(elsewhere) => {
                    redirected += 1;
                    // Two nodes that point at each other are not asked as fast as they answer.
                    if redirected > 2 {
                        sleep(PAUSE).await;
                    }
                    elsewhere
                }
            };
        }
    }

    /// The node that `course` leads to, and its answer.
    async fn take<T: FromRedisValue>(
        &self,
        course: Course,
        slot: u16,
        order: Order<'_>,
        patience: Patience,
    ) -> RedisResult<(Arc<Member>, RedisResult<T>)> {
        Ok(match course {
            Course::Asking(member) => {
                let answer = member.node.run_asking(order, patience).await;
                (member, answer)
            }
            Course::To(member) => {
                let answer = member.node.run(order, patience).await;
                (member, answer)
            }
            Course::ToTheOwner => {
                let member = self.owner(slot, patience).await?;
                let answer = member.node.run(order, patience).await;
                (member, answer)
            }
        })
    }

    /// Carries `order` out on one of the masters, whichever can.
    pub(super) async fn run_anywhere(&self, order: Order<'_>, patience: Patience) -> RedisResult<()> {
        let mut outcome = Err(nonsense());
        for master in &self.map(patience).await?.masters {
            outcome = self.heed(master.node.run(order, patience).await);
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map(|_: Value| ())
    }

    /// Carries `order` out on every master.
    pub(super) async fn run_everywhere(&self, order: Order<'_>, patience: Patience) -> RedisResult<()> {
        for master in &self.map(patience).await?.masters {
            let _: Value = self.heed(master.node.run(order, patience).await)?;
        }
        Ok(())
    }

    /// One master after the other, as they were when the walk began. Where slots have other owners when it ends, another
    /// begins: what moved may have been missed.
    ///
    /// # Errors
    /// Where a master is away, and where the slots do not come to rest.
    pub(super) async fn scan(&self, from: &str, pattern: &str) -> RedisResult<Scanned> {
        let mut walk = match from {
            "" => self.shared.walk(0).await?,
            from => Walk::parse(from).ok_or_else(nonsense)?,
        };
        let master = self.shared.member(walk.left.first().cloned().ok_or_else(nonsense)?);
        let Scanned { keys, next } = self.heed(master.node.scan(&walk.place, pattern).await)?;
        if walk.goes_on(next) {
            return Ok(Scanned { keys, next: Some(walk.to_string()) });
        }
        let another = self.shared.walk(walk.before + 1).await?;
        if another.owners == walk.owners {
            return Ok(Scanned { keys, next: None });
        }
        if another.before > MOST_WALKS {
            return Err(
                (ErrorKind::Server(ServerErrorKind::TryAgain), "the Cluster's slots go on moving").into()
            );
        }
        Ok(Scanned { keys, next: Some(another.to_string()) })
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

    pub(super) fn patience(&self, key: &str) -> Patience {
        let map = self.shared.board.view().and_then(Result::ok);
        match map.as_ref().and_then(|map| map.owner(slots::slot(key))) {
            Some(owner) => owner.node.patience(),
            None => self.shared.plan.longest(),
        }
    }

    async fn owner(&self, slot: u16, patience: Patience) -> RedisResult<Arc<Member>> {
        let map = self.map(patience).await?;
        map.owner(slot).cloned().ok_or_else(|| {
            self.shared.board.doubt();
            nobody_owns(slot)
        })
    }

    async fn map(&self, patience: Patience) -> RedisResult<Arc<Map>> {
        let Some(view) = self.shared.board.view() else {
            self.watcher.get_or_init(|| watched(watch(Arc::clone(&self.shared))));
            return self.shared.board.first(patience).await;
        };
        if view.is_err() {
            self.shared.board.doubt();
        }
        view
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Cluster").field("seeds", &self.shared.seeds).finish_non_exhaustive()
    }
}

impl Shared {
    /// Where to go with what `member` refused; `None` where there is no use in sending it again.
    fn course_after(&self, error: &RedisError, member: &Member) -> Option<Course> {
        use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, TryAgain};
        let pointed_to = || {
            let endpoint = slots::redirection(error.detail()?, &member.endpoint)?;
            let member = self.member(endpoint);
            member.was_pointed_to.store(true, Ordering::Relaxed);
            Some(member)
        };
        match error.kind() {
            ErrorKind::Server(Moved) => {
                self.board.doubt();
                pointed_to().map(Course::To)
            }
            ErrorKind::Server(Ask) => pointed_to().map(Course::Asking),
            ErrorKind::Server(TryAgain) => Some(Course::ToTheOwner),
            ErrorKind::Server(ClusterDown | MasterDown | BusyLoading) => {
                self.board.doubt();
                Some(Course::ToTheOwner)
            }
            _ if casts_doubt(error) => {
                self.board.doubt();
                None
            }
            _ => None,
        }
    }

    fn member(&self, endpoint: RedisEndpoint) -> Arc<Member> {
        let mut members = lock(&self.members);
        let member = members.entry(endpoint).or_insert_with_key(|endpoint| {
            let node = self.plan.node(self.transport.to(endpoint.clone()));
            Arc::new(Member { endpoint: endpoint.clone(), node, was_pointed_to: AtomicBool::new(false) })
        });
        Arc::clone(member)
    }

    /// The map as one of the nodes sees it that are known to be masters, or that the URL names.
    async fn look(&self) -> RedisResult<Arc<Map>> {
        let map = self.board.view().and_then(Result::ok);
        let masters = map.iter().flat_map(|map| map.masters.iter().cloned());
        let seeds = self.seeds.iter().cloned().map(|seed| self.member(seed));
        let known: Vec<_> = masters.chain(seeds).collect();
        let mut outcome = Err(nonsense());
        for some in self.in_any_order(&known).chunks(AT_A_TIME) {
            let mut questions: JoinSet<_> =
                some.iter().map(|member| ranges(Arc::clone(member), self.plan.longest())).collect();
            while let Some(answer) = questions.join_next().await {
                match answer.unwrap_or_else(|_| Err(nonsense())) {
                    Ok(ranges) => return Ok(self.map(ranges)),
                    Err(error) => outcome = Err(error),
                }
            }
        }
        outcome
    }

    /// A walk over all masters that there are just now.
    async fn walk(&self, before: u32) -> RedisResult<Walk> {
        let map = self.look().await?;
        let left = map.masters.iter().map(|master| master.endpoint.clone()).collect();
        Ok(Walk { before, owners: map.fingerprint(), place: String::new(), left })
    }

    /// The same nodes, but not everybody asks the first one first.
    fn in_any_order(&self, known: &[Arc<Member>]) -> Vec<Arc<Member>> {
        let start = usize::from(u16::from_ne_bytes(self.plan.random.bytes())) % known.len();
        known[start..].iter().chain(&known[..start]).cloned().collect()
    }

    /// Forgets the nodes that own nothing, unless somebody has just pointed to them.
    fn map(&self, ranges: Vec<Range>) -> Arc<Map> {
        let mut map = Map { masters: Vec::new(), owners: vec![None; usize::from(SLOTS)].into_boxed_slice() };
        for Range { first, last, owner } in ranges {
            let index = map.index_of(self.member(owner));
            map.owners[usize::from(first)..=usize::from(last)].fill(Some(index));
        }
        lock(&self.members).retain(|endpoint, member| {
            let pointed_to = member.was_pointed_to.swap(false, Ordering::Relaxed);
            pointed_to
                || self.seeds.contains(endpoint)
                || map.masters.iter().any(|one| Arc::ptr_eq(one, member))
        });
        Arc::new(map)
    }
}

impl Map {
    fn owner(&self, slot: u16) -> Option<&Arc<Member>> {
        self.owners[usize::from(slot)].map(|index| &self.masters[index])
    }

    fn has_the_masters_of(&self, other: &Self) -> bool {
        self.masters.len() == other.masters.len()
            && self.masters.iter().all(|one| other.masters.iter().any(|another| Arc::ptr_eq(one, another)))
    }

    /// Another one where any slot has another owner.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for owner in &self.owners {
            owner.map(|index| &self.masters[index].endpoint).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn index_of(&mut self, member: Arc<Member>) -> usize {
        let known = self.masters.iter().position(|master| Arc::ptr_eq(master, &member));
        known.unwrap_or_else(|| {
            self.masters.push(member);
            self.masters.len() - 1
        })
    }
}

fn nobody_owns(slot: u16) -> RedisError {
    let kind = ErrorKind::Server(ServerErrorKind::ClusterDown);
    (kind, "no node of the Cluster owns the slot", slot.to_string()).into()
}

/// Looks at the map now and then, and when somebody doubts it. Where no look succeeds the old one stays: its
/// masters answer for themselves.
async fn watch(shared: Arc<Shared>) {
    let mut turns = shared.board.turns(shared.plan.random);
    loop {
        let (map, before) = (shared.look().await, shared.board.view().and_then(Result::ok));
        let changed = matches!((&map, &before), (Ok(map), Some(before)) if !map.has_the_masters_of(before));
        if map.is_ok() || before.is_none() {
            shared.board.post(map);
        }
        if changed {
            shared.plan.masters.send_replace(());
        }
        turns.next(MAX_AGE).await;
    }
}

async fn ranges(member: Arc<Member>, patience: Patience) -> RedisResult<Vec<Range>> {
    let mut question = cmd("CLUSTER");
    question.arg("SLOTS");
    let answer = member.node.run(Order::look_up(&question), patience).await?;
    slots::ranges(&answer, &member.endpoint).ok_or_else(nonsense)
}
