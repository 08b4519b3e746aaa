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

    /// The same for all spellings of a name: whom somebody means who typed it. Who it is that logs in is decided by
    /// the name as it was typed.
    pub fn folded(&self) -> Self {
        // To lower case by way of upper case, for letters that have several lower ones; each by itself, so that none
        // depends on where it stands.
        let lower = self.subject.trim().chars().flat_map(char::to_lowercase);
        let subject = lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
        Self { provider: self.provider.clone(), subject }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_account_however_it_is_spelled() {
        for (name, others) in [
            ("alice", &["Alice", "ALICE", " alice", "alice\u{a0}", "\talice\r\n"][..]),
            ("käthe", &["KÄTHE", "Käthe\u{2003}"]),
            ("straße", &["STRASSE", "strasse", "STRAẞE"]),
            ("σοφός", &["ΣΟΦΌΣ", "σοφόσ"]),
            ("kelvin", &["\u{212a}elvin"]),
        ] {
            for other in others {
                assert_eq!(Account::local(name).folded(), Account::local(other).folded(), "{other:?}");
            }
        }
        assert_ne!(Account::local("alice").folded(), Account::local("al ice").folded());
        assert_ne!(Account::local("käthe").folded(), Account::local("kathe").folded());
    }
}
