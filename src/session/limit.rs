//! How many sessions an account may have.

use std::sync::Arc;

use super::Session;
use super::lookup::Lookup;
use super::sessions::account_key;
use crate::base::handle::Handle;
use crate::base::identity::Account;
use crate::config::AtLimit;
use crate::store::Unavailable;
use crate::telemetry::Facts;

/// Without a limit a login looks at so many of the account's oldest, so that its index does not grow for ever.
const PRUNED: usize = 8;

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The store cannot do it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The account has as many sessions as it may.
    #[error("the account has as many sessions as it may")]
    AtLimit,
}

/// The limit on an account's sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// `None`: any number.
    pub(super) most: Option<usize>,
    pub(super) at_limit: AtLimit,
}

/// What a limit comes to for a session that has just begun.
#[derive(Debug)]
pub(super) enum Room {
    /// It stays, and these end.
    After(Vec<Arc<Session>>),
    /// There is none.
    None,
}

impl Limit {
    /// Looks at the account's sessions after `newest` began: so two logins at once see each other, and both come to
    /// the same. Those that are gone leave the index first.
    ///
    /// # Errors
    /// Where the store cannot tell.
    pub(super) async fn room(
        self,
        lookup: &Lookup,
        account: &Account,
        newest: &Handle,
    ) -> Result<Room, Unavailable> {
        let index = account_key(account);
        let members = lookup.store.members(&index).await?;
        let looked_at = if self.most.is_some() { members.len() } else { PRUNED };
        let mut living = Vec::new();
        for handle in members.iter().take(looked_at) {
            let found = lookup.load(handle, &Facts::default()).await?.value;
            match found.map(|opened| Arc::clone(&opened.session)) {
                Some(session) if !session.is_over(lookup.clock.now()) => living.push(session),
                _ => {
                    lookup.store.remove(handle, &index).await?;
                }
            }
        }
        Ok(self.choose(living, newest))
    }

    /// `living` are in the order of their logins.
    fn choose(self, mut living: Vec<Arc<Session>>, newest: &Handle) -> Room {
        let Some(most) = self.most.filter(|most| living.len() > *most) else {
            return Room::After(Vec::new());
        };
        match self.at_limit {
            AtLimit::Refuse if living.iter().take(most).any(|session| session.handle == *newest) => {
                Room::After(Vec::new())
            }
            AtLimit::Refuse => Room::None,
            AtLimit::EvictOldest => {
                living.truncate(living.len() - most);
                living.retain(|session| session.handle != *newest);
                Room::After(living)
            }
        }
    }
}
