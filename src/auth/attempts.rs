//! The limit on attempts to log in: by client and by user name, or by browser where it is one that the user logged in
//! from before. A place is taken before the password is looked at, so that of many attempts at once no more are; what
//! was no failure gives its place back, and no more than that: whoever has an account of their own cannot clear the
//! bucket that they guess from.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::client::network_of;
use crate::base::clock::Clock;
use crate::base::identity::Account;
use crate::base::rate::Rate;
use crate::base::signed::{Purpose, Secrets, Signer};
use crate::config;
use crate::session::KnownBrowser;
use crate::store::{Bucket, BucketName, Place, Store, Taken, Unavailable};

const CLIENT: &str = "client";
const USER: &str = "user";
const BROWSER: &str = "browser";

/// Counts attempts; exactly, over all proxies that share a Redis.
#[derive(Debug)]
pub struct Attempts {
    store: Arc<dyn Store>,
    per_client: Option<Rate>,
    per_user: Option<Rate>,
    /// Keyed, for people type passwords where their names belong: whoever reads the store shall not try them out.
    names: Signer,
    clock: Clock,
}

/// An attempt to log in.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Where it comes from.
    pub client: IpAddr,
    /// As whom, folded: however a name is spelled, there is one to count for.
    pub account: &'a Account,
    /// From which browser, where that account has logged in from it before.
    pub browser: Option<&'a KnownBrowser>,
}

/// An attempt that may be looked at, and the places that it took.
#[derive(Debug)]
#[must_use = "what turns out to be no failure gives its places back"]
pub struct Admission(Vec<(Bucket, Place)>);

/// Why nobody looks at an attempt.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// It is one too many.
    #[error("too many attempts by one {by}")]
    Limited {
        /// What was counted, in a word for the audit log.
        by: &'static str,
        /// For how long others would be.
        wait: Duration,
    },
    /// Nobody can count.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Attempts {
    /// Counts in `store` as `config` says.
    pub fn new(config: &config::Login, secrets: &Secrets, store: Arc<dyn Store>, clock: Clock) -> Self {
        let names = Signer::derive(secrets, Purpose::LoginAttempts);
        let (per_client, per_user) = (config.attempts_per_client, config.attempts_per_user);
        Self { store, per_client, per_user, names, clock }
    }

    /// Takes a place in each bucket that `attempt` counts for. One that the second refuses stays in the first: it is no
    /// less a failure.
    ///
    /// # Errors
    /// Where there is none, or where nobody can tell: never is an attempt let through uncounted.
    pub async fn admit(&self, attempt: &Attempt<'_>) -> Result<Admission, NotAdmitted> {
        let mut taken = Vec::new();
        for bucket in self.buckets(attempt) {
            match self.store.take(&bucket, self.clock.now()).await? {
                Taken::Place(place) => taken.push((bucket, place)),
                Taken::Full(wait) => return Err(NotAdmitted::Limited { by: bucket.name.scope, wait }),
            }
        }
        Ok(Admission(taken))
    }

    /// Gives the places of an attempt back that was no failure. Where that cannot be done they drain.
    pub async fn forgive(&self, admission: Admission) {
        for (bucket, place) in admission.0 {
            let _ = self.store.give_back(&bucket, place, self.clock.now()).await;
        }
    }

    /// A known browser has a bucket to itself and none besides: nobody who guesses, be it from the same address, can
    /// keep its user out.
    fn buckets(&self, attempt: &Attempt<'_>) -> Vec<Bucket> {
        let bucket = |scope, rate: Option<Rate>, parts: &[&[u8]]| {
            Some(Bucket { name: self.name(scope, parts), rate: rate? })
        };
        let Account { provider, subject } = attempt.account;
        let of_account = [provider.as_bytes(), subject.as_bytes()];
        match attempt.browser {
            Some(browser) if self.per_user.is_some() => {
                let parts = [of_account[0], of_account[1], browser.id()];
                bucket(BROWSER, self.per_user, &parts).into_iter().collect()
            }
            _ => {
                let client =
                    bucket(CLIENT, self.per_client, &[network_of(attempt.client).to_string().as_bytes()]);
                client.into_iter().chain(bucket(USER, self.per_user, &of_account)).collect()
            }
        }
    }

    fn name(&self, scope: &'static str, parts: &[&[u8]]) -> BucketName {
        let tag = self.names.tag(&[&[scope.as_bytes()], parts].concat());
        BucketName { scope, digest: std::array::from_fn(|at| tag[at]) }
    }
}
