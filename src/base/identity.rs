//! Who somebody is, whichever way they proved it.

use std::fmt;

/// The provider's name for local users.
pub const LOCAL_PROVIDER: &str = "local";

/// Keys everything that belongs to one person: the index of their sessions, limits, audit records. The
/// display name does not: two providers may know two different people by the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    /// `local`, or the name of a provider's section in the configuration.
    pub provider: String,
    /// The user name, or the provider's `sub`.
    pub subject: String,
}

impl Account {
    /// The account of a local user.
    pub fn local(user: &str) -> Self {
        Self { provider: LOCAL_PROVIDER.to_owned(), subject: user.to_owned() }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.provider, self.subject)
    }
}

/// What a login established about somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account that logged in.
    pub account: Account,
    /// The name that upstreams get.
    pub user: String,
    /// The full name, where the provider knows one.
    pub name: Option<String>,
    /// The e-mail address, where the provider knows one.
    pub email: Option<String>,
    /// The groups, in the provider's order.
    pub groups: Vec<String>,
}
