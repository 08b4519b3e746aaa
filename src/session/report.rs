//! What operators are told of a session.

use serde::{Deserialize, Serialize};

use super::{Remember, Session};

/// A session as JSON tells it: all that is known, and nothing that would open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub handle: String,
    /// The user's name.
    pub user: String,
    /// The full name, where it is known.
    pub name: Option<String>,
    /// The e-mail address, where it is known.
    pub email: Option<String>,
    /// The groups.
    pub groups: Vec<String>,
    /// Who vouched for the user.
    pub provider: String,
    /// When it began. Times are RFC 3339 in UTC.
    pub logged_in_at: String,
    /// Its latest recorded use.
    pub last_seen_at: String,
    /// When it ends unless it is used.
    pub idle_expires_at: String,
    /// When it ends, used or not.
    pub expires_at: String,
    /// Whether its user asked to stay signed in.
    pub remember: bool,
    /// The address it began at.
    pub address: String,
    /// The device, in words.
    pub device: String,
    /// What the browser called itself: anything at all.
    pub user_agent: Option<String>,
}

impl From<&Session> for Report {
    fn from(session: &Session) -> Self {
        let identity = &session.identity;
        Self {
            handle: session.handle.to_string(),
            user: identity.user.clone(),
            name: identity.name.clone(),
            email: identity.email.clone(),
            groups: identity.groups.clone(),
            provider: identity.account.provider.clone(),
            logged_in_at: session.logged_in_at.rfc3339(),
            last_seen_at: session.last_seen_at.rfc3339(),
            idle_expires_at: session.idle_ends_at().rfc3339(),
            expires_at: session.ends_at.rfc3339(),
            remember: session.remember == Remember::Yes,
            address: session.address.clone(),
            device: session.device(),
            user_agent: session.user_agent.clone(),
        }
    }
}
