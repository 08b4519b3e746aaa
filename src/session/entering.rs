//! A login's way into the store: in the end its session stands there within its account's limit, or not at all.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::account_key;
use super::directory::Directory;
use super::limit::{BeginError, Limit, Room};
use super::lookup::Lookup;
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::identity::Account;
use crate::store::{NewSession, Unavailable};
use crate::telemetry::Facts;

/// The next moment in an account's index.
const NEXT: Duration = Duration::from_millis(1);

/// A session that begins.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) lookup: Lookup,
    pub(super) limit: Limit,
    pub(super) handle: Handle,
    pub(super) account: Account,
    pub(super) record: Vec<u8>,
    pub(super) life: Life,
    /// The request that logs in.
    pub(super) about: Facts<'static>,
}

/// The moments of a new session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) begins: Timestamp,
    /// It is forgotten unless it is used.
    pub(super) lapses: Timestamp,
    pub(super) ends: Timestamp,
}

impl Newcomer {
    /// Lets it in, by a task of its own: whoever waits for it may leave at any moment, and it leaves again with them.
    ///
    /// # Errors
    /// Where the store cannot do it, or the account has as many sessions as it may: then it is not in.
    pub(super) async fn admit(self, tasks: &TaskTracker) -> Result<(), BeginError> {
        let (tell, told) = oneshot::channel();
        let (take, taken) = oneshot::channel();
        tasks.spawn(self.enter(tell, taken));
        told.await.expect("who enters tells what it came to")?;
        let _ = take.send(());
        Ok(())
    }

    async fn enter(self, tell: oneshot::Sender<Result<(), BeginError>>, taken: oneshot::Receiver<()>) {
        let entered = self.come_in().await;
        let is_in = entered.is_ok();
        let _ = tell.send(entered);
        if is_in && taken.await.is_err() {
            self.leave().await;
        }
    }

    async fn come_in(&self) -> Result<(), BeginError> {
        self.put().await?;
        let room = self.make_room().await;
        if room.is_err() {
            self.leave().await;
        }
        room
    }

    async fn put(&self) -> Result<(), Unavailable> {
        let session = NewSession {
            handle: &self.handle,
            account: &account_key(&self.account),
            record: &self.record,
            logged_in_at: self.place().await?,
            expires_at: self.life.lapses,
            ends_at: self.life.ends,
        };
        self.lookup.store.create(&session).await
    }

    /// Where a limit looks at the order of the logins, the latest stands last, whatever the clocks of others say.
    async fn place(&self) -> Result<Timestamp, Unavailable> {
        let now = self.life.begins;
        if self.limit.most.is_none() {
            return Ok(now);
        }
        let members = self.lookup.store.members(&account_key(&self.account)).await?;
        let latest = members.iter().map(|member| member.logged_in_at).max();
        Ok(latest.map_or(now, |latest| now.max(latest.plus(NEXT))))
    }

    /// Keeps the account within its limit of sessions.
    async fn make_room(&self) -> Result<(), BeginError> {
        match self.limit.room(&self.lookup, &self.account, &self.handle).await? {
            Room::After(oldest) => {
                let directory = Directory::new(self.lookup.clone());
                for session in oldest {
                    directory.end(&session, "limit", self.about).await?;
                }
                Ok(())
            }
            Room::None => Err(BeginError::AtLimit),
        }
    }

    /// As well as can be: nobody has its cookie.
    async fn leave(&self) {
        let _ = self.lookup.store.remove(&self.handle, &account_key(&self.account)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use tokio::task::yield_now;

    use super::*;
    use crate::base::clock::Clock;
    use crate::base::random::Random;
    use crate::base::secret::Secret;
    use crate::base::signed::{Purpose, Secrets, Signer};
    use crate::config::{self, AtLimit, OnOutage, StoreUrl};
    use crate::session::id::SessionId;
    use crate::session::memory::Memory;
    use crate::session::record::{LoginFacts, Records};
    use crate::session::testing::session_of;
    use crate::session::{Lifetime, Lifetimes, Remember};
    use crate::store::{
        self, Answer, Bucket, Cursor, Fetch, Loaded, Member, Parcel, Part, Place, Removed, Replaced, Store,
        Taken, Touch, Transition,
    };
    use crate::telemetry::{Audit, Lines, Metrics};

    const AN_HOUR: Duration = Duration::from_secs(3_600);

    /// A store that takes its time, before and after.
    #[derive(Debug)]
    struct Slow(Arc<dyn Store>);

    fn slowly<'a, T: Send + 'a>(answer: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(async {
            yield_now().await;
            let answer = answer.await;
            yield_now().await;
            answer
        })
    }

    impl Store for Slow {
        fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Loaded> {
            slowly(self.0.load(handle))
        }

        fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()> {
            slowly(self.0.create(session))
        }

        fn touch<'a>(&'a self, handle: &'a Handle, touch: Touch) -> Answer<'a, bool> {
            slowly(self.0.touch(handle, touch))
        }

        fn replace<'a>(&'a self, handle: &'a Handle, transition: Transition<'a>) -> Answer<'a, Replaced> {
            slowly(self.0.replace(handle, transition))
        }

        fn remove<'a>(&'a self, handle: &'a Handle, account: &'a str) -> Answer<'a, Removed> {
            slowly(self.0.remove(handle, account))
        }

        fn members<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Member>> {
            slowly(self.0.members(account))
        }

        fn survey(&self, from: Cursor) -> Answer<'_, Part> {
            slowly(self.0.survey(from))
        }

        fn take<'a>(&'a self, bucket: &'a Bucket, now: Timestamp) -> Answer<'a, Taken> {
            slowly(self.0.take(bucket, now))
        }

        fn give_back<'a>(&'a self, bucket: &'a Bucket, place: Place, now: Timestamp) -> Answer<'a, ()> {
            slowly(self.0.give_back(bucket, place, now))
        }

        fn deposit<'a>(&'a self, parcel: &'a Parcel<'a>) -> Answer<'a, ()> {
            slowly(self.0.deposit(parcel))
        }

        fn fetch<'a>(&'a self, name: &'a Handle, how: Fetch) -> Answer<'a, Option<Vec<u8>>> {
            slowly(self.0.fetch(name, how))
        }

        fn ping(&self) -> Answer<'_, ()> {
            slowly(self.0.ping())
        }
    }

    fn lookup() -> Lookup {
        let (clock, cache) =
            (Clock::system(), config::Cache { enabled: false, entries: 1, max_age: AN_HOUR });
        let lifetime = Lifetime { idle: AN_HOUR, absolute: AN_HOUR };
        let lifetimes = Lifetimes { ordinary: lifetime, remembered: lifetime };
        let secrets = Secrets { current: Secret::new(vec![7; 32]), previous: Vec::new() };
        let store = config::Store {
            url: StoreUrl::Memory,
            key_prefix: "session:".to_owned(),
            pool_size: 1,
            connect_timeout: AN_HOUR,
            command_timeout: AN_HOUR,
            on_outage: OnOutage::Refuse,
            outage_grace: AN_HOUR,
        };
        Lookup {
            store: Arc::new(Slow(store::open(&store, clock.clone(), Random::system(), None).unwrap())),
            records: Arc::new(Records::new(Signer::derive(&secrets, Purpose::Record), lifetimes)),
            memory: Arc::new(Memory::new(&cache, clock.clone())),
            grace: Duration::ZERO,
            audit: Audit::new(Lines::captured().0, clock.clone()),
            clock,
            metrics: Arc::new(Metrics::new()),
        }
    }

    fn newcomer(lookup: &Lookup, at_limit: AtLimit) -> Newcomer {
        let (id, identity, at) =
            (SessionId::new(Random::system()), session_of("alice", &[]).identity, lookup.clock.now());
        let login =
            LoginFacts { at, address: "192.0.2.7".to_owned(), user_agent: None, remember: Remember::No };
        Newcomer {
            lookup: lookup.clone(),
            limit: Limit { most: Some(1), at_limit },
            handle: id.handle(),
            account: identity.account.clone(),
            record: lookup.records.seal(&id, &identity, &login),
            life: Life { begins: at, lapses: at.plus(AN_HOUR), ends: at.plus(AN_HOUR) },
            about: Facts::default(),
        }
    }

    /// Whether a login is through after its client has looked `times` at it, and then gone.
    async fn is_in_after(looks: usize, lookup: &Lookup, at_limit: AtLimit) -> bool {
        let tasks = TaskTracker::new();
        let mut admitted = Box::pin(newcomer(lookup, at_limit).admit(&tasks));
        let mut is_in = false;
        for _ in 0..looks {
            is_in = admitted.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
            yield_now().await;
        }
        drop(admitted);
        tasks.close();
        tasks.wait().await;
        is_in
    }

    #[tokio::test]
    async fn who_leaves_in_the_middle_of_a_login_takes_no_place() {
        for at_limit in [AtLimit::EvictOldest, AtLimit::Refuse] {
            let lookup = lookup();
            let index = account_key(&session_of("alice", &[]).identity.account);
            let mut looks = 0;
            while !is_in_after(looks, &lookup, at_limit).await {
                let left = lookup.store.members(&index).await.unwrap();
                assert_eq!(left, [], "after {looks} looks: {at_limit:?}");
                looks += 1;
            }
            assert!(looks > 6, "the store is asked several times: {looks}");
            assert_eq!(lookup.store.members(&index).await.unwrap().len(), 1, "{at_limit:?}");
        }
    }
}
