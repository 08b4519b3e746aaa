//! How many sessions an account may have.

use std::sync::Arc;
use std::time::Duration;

use super::lookup::{Lookup, Peek};
use super::{Session, account_key};
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::identity::Account;
use crate::config::AtLimit;
use crate::store::Unavailable;

/// Without a limit a login looks at so many of the account's oldest, so that its index does not grow for ever.
const PRUNED: usize = 8;

/// A login's record follows its place in the index within this, or never.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

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
        let (index, now) = (account_key(account), lookup.clock.now());
        let members = lookup.store.members(&index).await?;
        let looked_at = if self.most.is_some() { members.len() } else { PRUNED };
        let mut places = Vec::new();
        for member in members.iter().take(looked_at) {
            match lookup.peek(&member.handle).await? {
                Peek::Session(session) if !session.is_over(now) => {
                    places.push(Place::Taken(member.logged_in_at, session));
                }
                // The index comes before the record.
                Peek::Nothing if now.since(member.logged_in_at) < ON_ITS_WAY => places.push(Place::Unknown),
                // Another proxy may make sense of it.
                Peek::Unreadable => places.push(Place::Unknown),
                Peek::Session(_) | Peek::Nothing => {
                    lookup.store.remove(&member.handle, &index).await?;
                }
            }
        }
        Ok(self.choose(places, newest))
    }

    /// `places` are in the order of the index, in which everybody sees them: two logins at once end the same session.
    /// Where a login is refused, those at the same moment count as earlier: rather both are refused than one too many
    /// stays.
    fn choose(self, places: Vec<Place>, newest: &Handle) -> Room {
        let unknown = places.iter().filter(|place| matches!(place, Place::Unknown)).count();
        let mut living: Vec<_> = places.into_iter().filter_map(Place::taken).collect();
        let own = living.iter().find(|(_, session)| session.handle == *newest).map(|(at, _)| *at);
        let (Some(most), Some(own)) = (self.most, own) else { return Room::After(Vec::new()) };
        match self.at_limit {
            AtLimit::Refuse => {
                // One of them is the newest itself.
                let earlier = living.iter().filter(|(at, _)| *at <= own).count() - 1;
                if earlier + unknown < most { Room::After(Vec::new()) } else { Room::None }
            }
            AtLimit::EvictOldest => {
                // Who is on the way looks as well, and sees this one.
                living.truncate(living.len().saturating_sub(most));
                Room::After(living.into_iter().map(|(_, session)| session).collect())
            }
        }
    }
}

/// What a place in the index stands for.
enum Place {
    /// A session that is alive, and when it took the place.
    Taken(Timestamp, Arc<Session>),
    /// A login beside this one, or a record that this program cannot read.
    Unknown,
}

impl Place {
    fn taken(self) -> Option<(Timestamp, Arc<Session>)> {
        match self {
            Self::Taken(at, session) => Some((at, session)),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::session_of;

    fn living(logins: &[i64]) -> Vec<Place> {
        let session = |(n, at): (u8, &i64)| {
            let handle = Handle::new([n; 16]);
            let session = Session { handle, ..session_of("alice", &[]) };
            Place::Taken(Timestamp::from_seconds(*at), Arc::new(session))
        };
        (0..).zip(logins).map(session).collect()
    }

    /// The sessions that end; `None` where the newest is refused.
    fn ended(at_limit: AtLimit, most: usize, logins: &[i64], newest: u8) -> Option<Vec<u8>> {
        let limit = Limit { most: Some(most), at_limit };
        match limit.choose(living(logins), &Handle::new([newest; 16])) {
            Room::After(ended) => Some(ended.iter().map(|session| session.handle.as_bytes()[0]).collect()),
            Room::None => None,
        }
    }

    #[test]
    fn the_oldest_give_way() {
        let ended = |most, logins, newest| ended(AtLimit::EvictOldest, most, logins, newest).unwrap();
        assert_eq!(ended(3, &[1, 2, 3], 2), [0; 0]);
        assert_eq!(ended(2, &[1, 2, 3], 2), [0]);
        assert_eq!(ended(1, &[1, 2, 3], 2), [0, 1]);
        assert_eq!((ended(1, &[3, 3], 0), ended(1, &[3, 3], 1)), (vec![0], vec![0]), "both see the same");
    }

    #[test]
    fn who_came_first_keeps_the_place() {
        let ended = |most, logins, newest| ended(AtLimit::Refuse, most, logins, newest);
        assert_eq!(ended(3, &[1, 2, 3], 2), Some(Vec::new()));
        assert_eq!(ended(2, &[1, 2, 3], 2), None);
        assert_eq!(ended(2, &[1, 2, 3], 1), Some(Vec::new()), "the later one gives way");
        assert_eq!(ended(1, &[3, 3], 0), None);
    }
}
