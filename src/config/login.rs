//! `[login]`: the login page.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::context::Context;
use super::reader::{Complaint, Section, kind};
use super::{Server, path};
use crate::base::identity::LOCAL_PROVIDER;
use crate::base::rate::{self, Rate};

/// More than any machine has cores; each hash takes 19 MiB while it is computed.
const MAX_HASHES: usize = 1024;

/// The login page and what stands behind it.
#[derive(Clone, Debug)]
pub struct Login {
    /// The page's title.
    pub title: String,
    /// A picture above every page.
    pub logo: Option<PathBuf>,
    /// A stylesheet after the built-in one.
    pub stylesheet: Option<PathBuf>,
    /// A folder of templates in place of the built-in ones.
    pub templates: Option<PathBuf>,
    /// Where a login without a `return_to` leads: a path on this host.
    pub default_redirect: String,
    /// The providers by name, in their order on the page.
    pub providers: Vec<String>,
    /// Whether a user may ask to stay signed in.
    pub remember_me: bool,
    /// Failures from one client; `None`: any number.
    pub attempts_per_client: Option<Rate>,
    /// Failures under one user's name; `None`: any number.
    pub attempts_per_user: Option<Rate>,
    /// Password hashes computed at once; `None`: one per core.
    pub hash_concurrency: Option<NonZeroUsize>,
}

pub(super) fn read(section: &mut Section<'_>, server: &Server, context: Context<'_>) -> Login {
    let hashes = kind::number(0..=MAX_HASHES);
    let provider = kind::one_of(&[(LOCAL_PROVIDER, LOCAL_PROVIDER)]);
    let login = Login {
        title: section.value("title", kind::text, "Sign in".to_owned()),
        logo: section.optional("logo", context.path()),
        stylesheet: section.optional("stylesheet", context.path()),
        templates: section.optional("templates", context.path()),
        default_redirect: section.value("default_redirect", kind::text_as(path_on_this_host), "/".to_owned()),
        providers: section
            .list("providers", provider, vec![LOCAL_PROVIDER])
            .into_iter()
            .map(str::to_owned)
            .collect(),
        remember_me: section.value("remember_me", kind::boolean, true),
        attempts_per_client: section.value("attempts_per_client", kind::rate, Some(usual("20/m"))),
        attempts_per_user: section.value("attempts_per_user", kind::rate, Some(usual("5/m"))),
        hash_concurrency: NonZeroUsize::new(section.value("hash_concurrency", hashes, 0)),
    };
    let path = login.default_redirect.split(['?', '#']).next().unwrap_or_default();
    if path::is_within(path, &server.prefix) {
        let what = format!("lies beneath {}, where the proxy's own pages are", server.prefix);
        section.error("default_redirect", what, "name a page of the application, such as \"/\"");
    }
    login
}

fn usual(text: &str) -> Rate {
    rate::parse(text).expect("the default is a rate")
}

/// A target for `Location` that cannot lead elsewhere: browsers take `//` and `/\` for the start of another host's
/// name, and drop control characters before they look.
fn path_on_this_host(text: &str) -> Result<String, Complaint> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && text.starts_with('/') && !text.starts_with("//") {
        return Ok(text.to_owned());
    }
    let remedy = "start it with one slash, and percent-encode spaces, backslashes and what is not ASCII";
    Err(Complaint::new(format!("{text:?} is not a path on this host"), remedy))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::server;
    use super::super::testing::{outcome, production};
    use super::*;

    fn login(text: &str) -> Result<Login, Vec<String>> {
        outcome(text, |root| {
            let server = root.table("server", |section| server::read(section, production(&[])));
            root.table("login", |section| read(section, &server, production(&[])))
        })
        .map(|(login, _)| login)
    }

    #[test]
    fn the_default_is_local_users() {
        let login = login("").unwrap();
        assert_eq!((login.title.as_str(), login.default_redirect.as_str()), ("Sign in", "/"));
        assert_eq!(login.providers, ["local"]);
        assert!(login.remember_me);
        assert_eq!(login.hash_concurrency, None);
        assert_eq!(login.attempts_per_client, rate::parse("20/m").ok());
        assert_eq!(login.attempts_per_user, rate::parse("5/m").ok());
    }

    #[test]
    fn what_pages_look_like_lies_beside_the_file() {
        let text = "[login]\nlogo = 'logo.svg'\nstylesheet = '/srv/brand.css'\ntemplates = 'pages/'";
        let login = login(text).unwrap();
        assert_eq!(login.logo.unwrap(), Path::new("/etc/foregate/logo.svg"));
        assert_eq!(login.stylesheet.unwrap(), Path::new("/srv/brand.css"));
        assert_eq!(login.templates.unwrap(), Path::new("/etc/foregate/pages/"));
    }

    #[test]
    fn a_login_leads_to_a_path_on_this_host() {
        for path in ["/", "/home", "/a?b=c#d", "/%C3%A9", "/_foregates"] {
            assert_eq!(login(&format!("login.default_redirect = '{path}'")).unwrap().default_redirect, path);
        }
        for path in [
            "home",
            "//evil",
            "/\\evil",
            "/a\\b",
            "https://evil",
            "/a b",
            "/\tevil",
            "/é",
            "/_foregate/login",
            "/_foregate?x",
        ] {
            let text = format!("login.default_redirect = {path:?}");
            assert_eq!(login(&text).unwrap_err().len(), 1, "{text}");
        }
    }

    #[test]
    fn attempts_are_counted_unless_they_are_not() {
        let login = login("[login]\nattempts_per_client = 'off'\nattempts_per_user = '100/h'").unwrap();
        assert_eq!(login.attempts_per_client, None);
        assert_eq!(login.attempts_per_user, rate::parse("100/h").ok());
    }

    #[test]
    fn an_unknown_provider_is_the_only_fault() {
        let faults = login("login.providers = [\"loca\"]").unwrap_err();
        assert_eq!(
            faults,
            ["error: login.providers[0]: \"loca\" is not one of \"local\" (did you mean \"local\"?)"]
        );
    }
}
