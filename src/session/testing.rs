//! Sessions for the tests of those who are handed one.

use std::time::Duration;

use super::{Remember, Session};
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::identity::{Account, Identity};

/// A session of the local user `user`, a day long from second 0.
pub fn session_of(user: &str, groups: &[&str]) -> Session {
    let start = Timestamp::from_seconds(0);
    Session {
        handle: Handle::new([0; 16]),
        identity: Identity {
            account: Account::local(user),
            user: user.to_owned(),
            name: Some("Not told".to_owned()),
            email: None,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        },
        logged_in_at: start,
        last_seen_at: start,
        remember: Remember::No,
        idle_timeout: Duration::from_secs(3_600),
        ends_at: start.plus(Duration::from_secs(86_400)),
        address: "192.0.2.7".to_owned(),
        user_agent: None,
    }
}
