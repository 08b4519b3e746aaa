//! `[auth.*]`: who vouches for users.

use std::path::PathBuf;

use super::Login;
use super::context::Context;
use super::reader::Section;
use crate::base::identity::LOCAL_PROVIDER;

/// The providers.
#[derive(Clone, Debug)]
pub struct Auth {
    /// `[auth.local]`; present where `login.providers` names it.
    pub local: Option<LocalAuth>,
}

/// Users in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAuth {
    /// The file; one that does not exist counts as empty.
    pub users: PathBuf,
}

pub(super) fn read(section: &mut Section<'_>, login: &Login, context: Context<'_>) -> Auth {
    let local = section.table("local", |local| LocalAuth {
        users: local.value("users", context.path(), context.folder.join("users.toml")),
    });
    let asked_for = login.providers.iter().any(|provider| provider == LOCAL_PROVIDER);
    if section.has("local") && !asked_for {
        section.warn("local", "is not used", "add \"local\" to login.providers, or leave the section out");
    }
    Auth { local: asked_for.then_some(local) }
}

#[cfg(test)]
mod tests {
    use super::super::reader::Fault;
    use super::super::testing::{lines, outcome, production};
    use super::super::{login, server};
    use super::*;

    fn auth(text: &str) -> (Option<PathBuf>, Vec<Fault>) {
        let (auth, warnings) = outcome(text, |root| {
            let server = root.table("server", |section| server::read(section, production(&[])));
            let login = root.table("login", |section| login::read(section, &server, production(&[])));
            root.table("auth", |section| read(section, &login, production(&[])))
        })
        .unwrap();
        (auth.local.map(|local| local.users), warnings)
    }

    #[test]
    fn users_lie_beside_the_file_unless_said_otherwise() {
        assert_eq!(auth("").0, Some(PathBuf::from("/etc/foregate/users.toml")));
        assert_eq!(auth("auth.local.users = \"/srv/u.toml\"").0, Some(PathBuf::from("/srv/u.toml")));
    }

    #[test]
    fn a_provider_that_no_page_offers_is_a_warning() {
        let (users, warnings) = auth("login.providers = []\n[auth.local]");
        assert_eq!(users, None);
        assert!(lines(&warnings)[0].starts_with("warning: auth.local: is not used"));
        assert!(auth("login.providers = []").1.is_empty());
    }
}
