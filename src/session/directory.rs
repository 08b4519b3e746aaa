//! Sessions seen from above: an account's, one, all; listed, counted, ended.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use super::lookup::{Lookup, Peek};
use super::{Session, account_key};
use crate::base::handle::Handle;
use crate::base::identity::Account;
use crate::store::{Changes, Cursor, Removed, Unavailable};
use crate::telemetry::{Event, Facts};

/// Looks through sessions, and ends them.
#[derive(Clone, Debug)]
pub struct Directory {
    lookup: Lookup,
}

impl Directory {
    pub(super) fn new(lookup: Lookup) -> Self {
        Self { lookup }
    }

    /// The session of `handle`, where it is alive.
    ///
    /// # Errors
    /// Where the store cannot tell.
    pub async fn find(&self, handle: &Handle) -> Result<Option<Arc<Session>>, Unavailable> {
        let now = self.lookup.clock.now();
        Ok(match self.lookup.peek(handle).await? {
            Peek::Session(session) if !session.is_over(now) => Some(session),
            Peek::Session(_) | Peek::Unreadable | Peek::Nothing => None,
        })
    }

    /// An account's sessions that are alive, the earliest login first.
    ///
    /// # Errors
    /// Where the store cannot tell.
    pub async fn of_account(&self, account: &Account) -> Result<Vec<Arc<Session>>, Unavailable> {
        self.latest_of(account, usize::MAX).await
    }

    /// Those of the `most` that logged in last, however many there are.
    async fn latest_of(&self, account: &Account, most: usize) -> Result<Vec<Arc<Session>>, Unavailable> {
        let members = self.lookup.store.members(&account_key(account)).await?;
        let mut sessions = Vec::new();
        for member in members.iter().skip(members.len().saturating_sub(most)) {
            let found = self.find(&member.handle).await?;
            // Whose it is says the record; the index is an index.
            sessions.extend(found.filter(|session| session.identity.account == *account));
        }
        Ok(sessions)
    }

    /// Up to `limit` sessions that are alive, of `account` or of all, the latest use first. Where there are more, they
    /// are those of the account that logged in last; which ones of all, nobody can say.
    ///
    /// # Errors
    /// Where the store cannot tell.
    pub async fn list(
        &self,
        account: Option<&Account>,
        limit: usize,
    ) -> Result<Vec<Arc<Session>>, Unavailable> {
        let mut sessions = match account {
            Some(account) => self.latest_of(account, limit).await?,
            None => self.some(limit).await?,
        };
        sessions.sort_by_key(|session| Reverse((session.last_seen_at, session.logged_in_at)));
        sessions.truncate(limit);
        Ok(sessions)
    }

    /// Up to `limit` of all sessions that are alive, in no order.
    async fn some(&self, limit: usize) -> Result<Vec<Arc<Session>>, Unavailable> {
        let (mut sessions, mut met) = (Vec::new(), HashSet::new());
        let mut all = self.all();
        while let Some(handles) = all.next().await? {
            for handle in handles.into_iter().filter(|handle| met.insert(*handle)) {
                if sessions.len() == limit {
                    return Ok(sessions);
                }
                sessions.extend(self.find(&handle).await?);
            }
        }
        Ok(sessions)
    }

    /// How many sessions lie in the store; `progress` hears how many were counted so far.
    ///
    /// # Errors
    /// Where the store cannot tell.
    pub async fn count(&self, mut progress: impl FnMut(usize)) -> Result<usize, Unavailable> {
        let (mut met, mut all) = (HashSet::new(), self.all());
        while let Some(handles) = all.next().await? {
            met.extend(handles);
            progress(met.len());
        }
        Ok(met.len())
    }

    /// Ends a session that is alive, for `reason`; `about` is what is known of who asked for it.
    ///
    /// # Errors
    /// Where the store cannot do it: then it is still alive, and the caller must not say otherwise.
    pub async fn end(
        &self,
        session: &Session,
        reason: &'static str,
        about: Facts<'_>,
    ) -> Result<(), Unavailable> {
        let removed = self.remove(&session.handle, &account_key(&session.identity.account)).await?;
        self.lookup.metrics.session_ended(reason);
        let about = Facts { reason: Some(reason), replicas: removed.replicas, ..about };
        self.lookup.audit.record(Event::Revoked, &session.facts(about));
        Ok(())
    }

    /// Ends the session of `handle`, whatever lies there, as [`Directory::end`] does. Says whether there was any.
    ///
    /// # Errors
    /// Where the store cannot do it.
    pub async fn end_by_handle(
        &self,
        handle: &Handle,
        reason: &'static str,
        about: Facts<'_>,
    ) -> Result<bool, Unavailable> {
        match self.lookup.peek(handle).await? {
            Peek::Session(session) => self.end(&session, reason, about).await.map(|()| true),
            // Nobody knows whose it is; the place in the index is found empty by the next login.
            Peek::Unreadable | Peek::Nothing => Ok(self.remove(handle, "").await?.existed),
        }
    }

    /// Ends every session of an account. Says how many there were.
    ///
    /// # Errors
    /// Where the store cannot do it: then some are still alive.
    pub async fn end_account(
        &self,
        account: &Account,
        reason: &'static str,
        about: Facts<'_>,
    ) -> Result<usize, Unavailable> {
        let mut ended = 0;
        loop {
            let sessions = self.of_account(account).await?;
            if sessions.is_empty() {
                return Ok(ended);
            }
            for session in &sessions {
                self.end(session, reason, about).await?;
            }
            ended += sessions.len();
        }
    }

    /// Ends every session that there is. Says how many there were; `progress` hears how many so far.
    ///
    /// # Errors
    /// Where the store cannot do it: then some are still alive.
    pub async fn end_all(
        &self,
        reason: &'static str,
        about: Facts<'_>,
        mut progress: impl FnMut(usize),
    ) -> Result<usize, Unavailable> {
        let mut ended = 0;
        // What a Cluster moves meanwhile, one walk may miss; whoever logs in meanwhile must not keep it from ending.
        for _ in 0..MOST_WALKS {
            let (before, mut all) = (ended, self.all());
            while let Some(handles) = all.next().await? {
                for handle in handles {
                    ended += usize::from(self.end_by_handle(&handle, reason, about).await?);
                }
                progress(ended);
            }
            if ended == before {
                break;
            }
        }
        Ok(ended)
    }

    async fn remove(&self, handle: &Handle, account: &str) -> Result<Removed, Unavailable> {
        // Nothing that is remembered stands in for it, should the store not answer.
        self.lookup.memory.changed(handle);
        let removed = self.lookup.store.remove(handle, account).await;
        self.lookup.memory.changed(handle);
        if removed.is_ok() {
            self.lookup.memory.riders.end(handle);
        }
        removed
    }

    fn all(&self) -> All<'_> {
        All { directory: self, next: Some(Cursor::default()) }
    }
}

/// Until one finds nothing, so many walks are made to end all sessions.
const MOST_WALKS: usize = 10;

/// A walk over all sessions, part by part.
struct All<'a> {
    directory: &'a Directory,
    next: Option<Cursor>,
}

impl All<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Handle>>, Unavailable> {
        let Some(from) = self.next.take() else { return Ok(None) };
        let part = self.directory.lookup.store.survey(from).await?;
        self.next = part.next;
        Ok(Some(part.handles))
    }
}
