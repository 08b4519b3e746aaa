//! What was looked up, in this process's memory: used only as long as the store says that it still holds.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::flights::{Flights, Turn};
use super::live::Riders;
use super::opened::Opened;
use crate::base::clock::{Clock, Timestamp};
use crate::base::handle::Handle;
use crate::config;
use crate::store::{Changes, Tether, Trouble, Unavailable};

/// What this process remembers of sessions; the store tells it of changes.
#[derive(Clone, Debug)]
pub struct SessionMemory(pub(super) Arc<Memory<Arc<Opened>>>);

impl SessionMemory {
    /// Remembers nothing yet.
    pub fn new(config: &config::Cache, clock: Clock) -> Self {
        Self(Arc::new(Memory::new(config, clock)))
    }

    /// Who is to hear of changes; `None` where nothing is remembered.
    pub fn changes(&self) -> Option<Arc<dyn Changes>> {
        (!self.0.max_age.is_zero()).then(|| Arc::clone(&self.0) as Arc<dyn Changes>)
    }
}

/// Remembers a `V` for each handle.
pub(super) struct Memory<V> {
    known: Cache<Handle, Known<V>>,
    flights: Flights<Result<Option<V>, Trouble>>,
    /// Nothing is used for longer, should word of a change be lost; zero where nothing is remembered.
    max_age: Duration,
    clock: Clock,
    /// Who rides on sessions hears of changes too.
    pub(super) riders: Arc<Riders>,
}

/// What a look-up came to.
#[derive(Clone, Debug)]
pub(super) struct Found<V> {
    /// `None`: there is no such session.
    pub(super) value: Option<V>,
    /// Holds for as long as a change would be told; `None`: it would not.
    pub(super) tether: Option<Tether>,
}

#[derive(Clone)]
struct Known<V> {
    value: V,
    loaded_at: Timestamp,
    tether: Option<Tether>,
}

impl<V: Clone> Memory<V> {
    pub(super) fn new(config: &config::Cache, clock: Clock) -> Self {
        Self {
            known: Cache::new(config.entries),
            flights: Flights::new(),
            max_age: if config.enabled { config.max_age } else { Duration::ZERO },
            clock,
            riders: Arc::default(),
        }
    }

    /// What is known to be true now.
    pub(super) fn fresh(&self, handle: &Handle) -> Option<V> {
        let known = self.known.get(handle)?;
        let told = known.tether.as_ref().is_some_and(Tether::holds);
        (told && self.is_within(&known, self.max_age)).then_some(known.value)
    }

    /// What was known to be true within `grace` and the time for which anything is used.
    pub(super) fn proven(&self, handle: &Handle, grace: Duration) -> Option<V> {
        let known = self.known.get(handle)?;
        self.is_within(&known, self.max_age + grace).then_some(known.value)
    }

    /// What `look_up` finds, or somebody else's at this time. It is remembered unless it changes meanwhile.
    ///
    /// # Errors
    /// Where the look-up fails, for all who wait for it.
    pub(super) async fn share<F>(
        &self,
        handle: &Handle,
        look_up: impl FnOnce() -> F,
    ) -> Result<Option<V>, Unavailable>
    where
        F: Future<Output = Result<Found<V>, Unavailable>>,
    {
        loop {
            let flight = match self.flights.board(*handle) {
                Turn::Follow(flight) => flight,
                Turn::Lead(lead) => {
                    // Somebody may have landed since memory was asked.
                    if let Some(value) = self.fresh(handle) {
                        lead.land(Ok(Some(value.clone())), || {});
                        return Ok(Some(value));
                    }
                    let loaded_at = self.clock.now();
                    let found = look_up().await;
                    let outcome = found.as_ref().map(|found| found.value.clone());
                    lead.land(outcome.map_err(|error| error.kind), || {
                        if let Ok(found) = &found {
                            self.remember(handle, found, loaded_at);
                        }
                    });
                    return found.map(|found| found.value);
                }
            };
            if let Some(outcome) = flight.wait().await {
                return outcome.clone().map_err(|kind| Unavailable { kind, source: None });
            }
        }
    }

    fn remember(&self, handle: &Handle, found: &Found<V>, loaded_at: Timestamp) {
        match &found.value {
            Some(value) if !self.max_age.is_zero() => {
                let known = Known { value: value.clone(), loaded_at, tether: found.tether.clone() };
                self.known.insert(*handle, known);
            }
            _ => {
                self.known.remove(handle);
            }
        }
    }

    /// A clock that was set back says nothing of an age.
    fn is_within(&self, known: &Known<V>, longest: Duration) -> bool {
        let now = self.clock.now();
        now >= known.loaded_at && now.since(known.loaded_at) < longest
    }
}

impl<V: Clone + Send + Sync> Changes for Memory<V> {
    fn changed(&self, handle: &Handle) {
        self.flights.spoil(handle, || {
            self.known.remove(handle);
        });
        self.riders.changed(handle);
    }
}

impl<V> fmt::Debug for Memory<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Memory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::ClockHand;
    use crate::store::Mooring;

    const HANDLE: Handle = Handle::new([7; 16]);
    const MAX_AGE: Duration = Duration::from_secs(10);

    /// What can happen, in any order.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Somebody begins to look the session up.
        Begin,
        /// The store gets a question that was on its way, and answers.
        Ask(usize),
        /// The answer arrives.
        Arrive(usize),
        /// The session changes; word of it is on its way.
        Change,
        /// The oldest word arrives.
        Tell,
        /// The connection is lost, and all words that were on their way.
        Cut,
        /// Time passes.
        Wait(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Begin),
            3 => (0..4_usize).prop_map(Step::Ask),
            3 => (0..4_usize).prop_map(Step::Arrive),
            2 => Just(Step::Change),
            2 => Just(Step::Tell),
            1 => Just(Step::Cut),
            1 => (1..12_u8).prop_map(Step::Wait),
        ]
    }

    /// The store's side, and what of it is on its way.
    struct World {
        version: Cell<u32>,
        words: RefCell<VecDeque<u32>>,
        mooring: RefCell<Mooring>,
        /// The version that everybody has been told of.
        told: Cell<u32>,
    }

    /// A question on its way to the store.
    #[derive(Default)]
    struct Question {
        asked: Cell<bool>,
        arrived: Cell<bool>,
    }

    type Lookup<'a> = Pin<Box<dyn Future<Output = u32> + 'a>>;

    async fn until(gate: impl Fn() -> bool) {
        poll_fn(|_| if gate() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    async fn look_up(memory: &Memory<u32>, world: &World, questions: &RefCell<Vec<Rc<Question>>>) -> u32 {
        if let Some(version) = memory.fresh(&HANDLE) {
            return version;
        }
        let load = || async {
            let question = Rc::new(Question::default());
            questions.borrow_mut().push(Rc::clone(&question));
            until(|| question.asked.get()).await;
            let (value, tether) = (Some(world.version.get()), Some(world.mooring.borrow().tether()));
            until(|| question.arrived.get()).await;
            Ok(Found { value, tether })
        };
        memory.share(&HANDLE, load).await.unwrap().unwrap()
    }

    /// Every look-up sees what was told before it began.
    fn check(steps: &[Step]) {
        let hand = ClockHand::at(Timestamp::from_seconds(0));
        let config = config::Cache { enabled: true, entries: 100, max_age: MAX_AGE };
        let memory = Memory::<u32>::new(&config, hand.clock());
        let world = World {
            version: Cell::new(1),
            words: RefCell::default(),
            mooring: RefCell::new(Mooring::new()),
            told: Cell::new(1),
        };
        let questions = RefCell::new(Vec::new());
        let mut lookups: Vec<(u32, Lookup<'_>)> = Vec::new();
        for step in steps {
            let picked = |n: usize| questions.borrow().iter().rev().nth(n).cloned();
            match step {
                Step::Begin => {
                    lookups.push((world.told.get(), Box::pin(look_up(&memory, &world, &questions))));
                }
                Step::Ask(n) => picked(*n).into_iter().for_each(|question| question.asked.set(true)),
                Step::Arrive(n) => picked(*n).into_iter().for_each(|question| question.arrived.set(true)),
                Step::Change => {
                    world.version.set(world.version.get() + 1);
                    world.words.borrow_mut().push_back(world.version.get());
                }
                Step::Tell => {
                    let oldest = world.words.borrow_mut().pop_front();
                    if let Some(version) = oldest {
                        memory.changed(&HANDLE);
                        world.told.set(world.told.get().max(version));
                    }
                }
                Step::Cut => {
                    world.words.borrow_mut().clear();
                    world.mooring.replace(Mooring::new());
                    // What is under way on the connection is lost with it.
                    questions.borrow_mut().clear();
                    lookups.clear();
                    world.told.set(world.version.get());
                }
                Step::Wait(seconds) => hand.advance(Duration::from_secs((*seconds).into())),
            }
            advance(&mut lookups);
        }
    }

    /// Lets everybody go on who can, twice: one may have waited for another.
    fn advance(lookups: &mut Vec<(u32, Lookup<'_>)>) {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            lookups.retain_mut(|(least, lookup)| match lookup.as_mut().poll(&mut context) {
                Poll::Ready(version) => {
                    assert!(version >= *least, "version {version} is served after {least} was told");
                    false
                }
                Poll::Pending => true,
            });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn nobody_is_served_what_was_told_to_be_over_before_they_asked(steps in vec(step(), 1..60)) {
            check(&steps);
        }
    }

    #[test]
    fn an_answer_that_its_own_change_has_overtaken_is_not_remembered() {
        check(&[Step::Begin, Step::Ask(0), Step::Change, Step::Tell, Step::Arrive(0), Step::Begin]);
    }

    fn remembering(clock: Clock) -> Memory<u32> {
        Memory::new(&config::Cache { enabled: true, entries: 100, max_age: MAX_AGE }, clock)
    }

    async fn store(memory: &Memory<u32>, tether: Option<Tether>) {
        memory.share(&HANDLE, || async { Ok(Found { value: Some(1), tether }) }).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_fresh_for_longer_than_may_be_nor_without_word_of_changes() {
        let hand = ClockHand::at(Timestamp::from_seconds(1_000));
        let (memory, mooring) = (remembering(hand.clock()), Mooring::new());
        store(&memory, None).await;
        assert_eq!(memory.fresh(&HANDLE), None);
        store(&memory, Some(mooring.tether())).await;
        hand.advance(Duration::from_millis(9_999));
        assert_eq!(memory.fresh(&HANDLE), Some(1));
        hand.advance(Duration::from_millis(1));
        assert_eq!(memory.fresh(&HANDLE), None);

        store(&memory, Some(mooring.tether())).await;
        hand.step_back(Duration::from_secs(1));
        assert_eq!(memory.fresh(&HANDLE), None, "a clock that was set back says nothing of an age");
        hand.advance(Duration::from_secs(2));
        assert_eq!(memory.fresh(&HANDLE), Some(1));
        mooring.cut();
        assert_eq!(memory.fresh(&HANDLE), None);
        assert_eq!(memory.proven(&HANDLE, MAX_AGE), Some(1), "it was true a moment ago");
        hand.advance(2 * MAX_AGE);
        assert_eq!(memory.proven(&HANDLE, MAX_AGE), None);
    }

    #[tokio::test]
    async fn what_changed_or_is_gone_is_not_even_proven() {
        let hand = ClockHand::at(Timestamp::from_seconds(1_000));
        let (memory, mooring) = (remembering(hand.clock()), Mooring::new());
        store(&memory, Some(mooring.tether())).await;
        memory.changed(&HANDLE);
        assert_eq!(memory.proven(&HANDLE, MAX_AGE), None);
        store(&memory, Some(mooring.tether())).await;
        hand.advance(MAX_AGE);
        let gone = memory.share(&HANDLE, || async { Ok(Found { value: None, tether: None }) }).await;
        assert_eq!(gone.unwrap(), None);
        assert_eq!(memory.proven(&HANDLE, MAX_AGE), None);
    }

    #[tokio::test]
    async fn who_boards_just_after_another_has_landed_needs_no_flight() {
        let (memory, mooring) = (remembering(Clock::system()), Mooring::new());
        store(&memory, Some(mooring.tether())).await;
        let look_up = || async { unreachable!("it is known by now") };
        assert_eq!(memory.share(&HANDLE, look_up).await.unwrap(), Some(1));
        assert_eq!(
            memory.share(&HANDLE, look_up).await.unwrap(),
            Some(1),
            "and nobody waits for one that never was"
        );
    }

    #[tokio::test]
    async fn a_thousand_first_look_ups_are_one_and_a_failure_is_everybodys() {
        let memory = Arc::new(remembering(Clock::system()));
        let (asked, release) =
            (Arc::new(std::sync::atomic::AtomicU32::new(0)), Arc::new(tokio::sync::Notify::new()));
        let mut lookups = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let (memory, asked, release) = (Arc::clone(&memory), Arc::clone(&asked), Arc::clone(&release));
            lookups.spawn(async move {
                let load = || async {
                    asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    release.notified().await;
                    Err(Unavailable { kind: Trouble::Timeout, source: None })
                };
                memory.share(&HANDLE, load).await.unwrap_err().kind
            });
        }
        tokio::task::yield_now().await;
        release.notify_one();
        let kinds = lookups.join_all().await;
        assert!(kinds.into_iter().all(|kind| kind == Trouble::Timeout));
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
