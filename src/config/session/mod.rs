//! `[session]`, with `[session.cookie]` and `[session.store]`.

mod cache;
mod cookie;
mod redis_url;
mod store;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::Server;
use super::context::Context;
use super::reader::{Section, kind};
use super::secret::{self, Source};
use super::well_known::{self, SECRET_KEY};
use crate::base::duration as span;
use crate::base::secret::Secret;

pub use cache::Cache;
pub(super) use cookie::SAME_SITE;
pub use cookie::SessionCookie;
pub use redis_url::{RedisAddress, RedisCluster, RedisEndpoint, RedisSentinels, RedisUrl};
pub use store::{OnOutage, Store, StoreUrl};

/// The least that a session secret has to have: as many bytes as the keys that are derived from it.
pub const MIN_SECRET_BYTES: usize = 32;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Sessions: their life, their cookie, their store.
#[derive(Clone, Debug)]
pub struct Session {
    /// The secret that all keys are derived from.
    pub secret: SessionSecret,
    /// What was signed under these counts, but nothing is any more.
    pub previous_secrets: Vec<Secret<Vec<u8>>>,
    /// The longest pause between two uses.
    pub idle_timeout: Duration,
    /// The longest life from login.
    pub absolute_timeout: Duration,
    /// The longest pause where the user asked to stay signed in.
    pub remember_idle_timeout: Duration,
    /// The longest life then.
    pub remember_absolute_timeout: Duration,
    /// How long an id is used before a fresh one takes its place.
    pub rotate_every: Duration,
    /// How long the one before counts once the fresh one was used.
    pub rotate_grace: Duration,
    /// How many sessions an account may have; `None`: any number.
    pub max_per_user: Option<NonZeroUsize>,
    /// What a login beyond that comes to.
    pub at_limit: AtLimit,
    /// What counts as use.
    pub activity: Activity,
    /// What a browser is to forget at logout.
    pub clear_site_data: Vec<SiteData>,
    /// What has to be as it was at login.
    pub bind: Vec<Bind>,
    /// The cookie's attributes.
    pub cookie: SessionCookie,
    /// What this process remembers.
    pub cache: Cache,
    /// Where sessions lie.
    pub store: Store,
}

/// What a login beyond the limit comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLimit {
    /// The account's oldest session ends.
    EvictOldest,
    /// It is refused.
    Refuse,
}

const AT_LIMIT: [(&str, AtLimit); 2] = [("evict-oldest", AtLimit::EvictOldest), ("refuse", AtLimit::Refuse)];

/// What counts as the use of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Every request.
    Requests,
    /// What a person does: page navigations and unsafe methods, not what a page fetches by itself.
    People,
}

const ACTIVITY: [(&str, Activity); 2] = [("requests", Activity::Requests), ("people", Activity::People)];

/// What a browser keeps of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteData {
    /// Pages that it may show again.
    Cache,
    /// What scripts keep.
    Storage,
}

impl SiteData {
    /// The word for it, in the configuration and in `Clear-Site-Data`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Storage => "storage",
        }
    }
}

const SITE_DATA: [(&str, SiteData); 2] =
    [(SiteData::Cache.as_str(), SiteData::Cache), (SiteData::Storage.as_str(), SiteData::Storage)];

/// What a session is bound to; used from elsewhere, its user has to log in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// What the client calls itself.
    UserAgent,
    /// The client's network: IPv4 /24, IPv6 /56.
    Network,
}

const BIND: [(&str, Bind); 2] = [("user-agent", Bind::UserAgent), ("network", Bind::Network)];

/// More sessions than anybody has use for.
const MAX_SESSIONS: usize = 1000;

/// Where the session secret comes from.
#[derive(Clone, Debug)]
pub enum SessionSecret {
    /// It is configured: at least 32 bytes.
    Given(Secret<Vec<u8>>),
    /// Development without one: kept in this file, made at the first start.
    Generated(PathBuf),
}

pub(super) fn read(section: &mut Section<'_>, server: &Server, context: Context<'_>) -> Session {
    let secret = secret(section, context);
    let previous_secrets = previous_secrets(section, &secret, context);
    let idle_timeout = section.value("idle_timeout", kind::whole_seconds, DAY);
    let known_idle_timeout = section.sound("idle_timeout").then_some(idle_timeout);
    let mut span = |key, default| section.value(key, kind::whole_seconds, default);
    let session = Session {
        secret,
        previous_secrets,
        idle_timeout,
        absolute_timeout: span("absolute_timeout", 7 * DAY),
        remember_idle_timeout: span("remember_idle_timeout", 30 * DAY),
        remember_absolute_timeout: span("remember_absolute_timeout", 90 * DAY),
        rotate_every: span("rotate_every", HOUR),
        rotate_grace: span("rotate_grace", Duration::from_secs(30)),
        max_per_user: NonZeroUsize::new(section.value("max_per_user", kind::number(0..=MAX_SESSIONS), 0)),
        at_limit: section.value("at_limit", kind::one_of(&AT_LIMIT), AtLimit::EvictOldest),
        activity: section.value("activity", kind::one_of(&ACTIVITY), Activity::Requests),
        clear_site_data: section.list("clear_site_data", kind::one_of(&SITE_DATA), vec![SiteData::Cache]),
        bind: section.list("bind", kind::one_of(&BIND), Vec::new()),
        cache: section.table("cache", |cache| cache::read(cache, known_idle_timeout)),
        cookie: section.table("cookie", |cookie| cookie::read(cookie, server, context)),
        store: section.table("store", |store| store::read(store, context)),
    };
    let ordinary = [("idle_timeout", session.idle_timeout), ("absolute_timeout", session.absolute_timeout)];
    let remembered = [
        ("remember_idle_timeout", session.remember_idle_timeout),
        ("remember_absolute_timeout", session.remember_absolute_timeout),
    ];
    check_timeouts(section, ordinary);
    check_timeouts(section, remembered);
    well_known::check_signer(section, context);
    session
}

/// No session is idle for longer than it lives.
fn check_timeouts(section: &Section<'_>, pair: [(&'static str, Duration); 2]) {
    let [(idle_key, idle), (absolute_key, absolute)] = pair;
    if idle <= absolute || !section.sound(absolute_key) {
        return;
    }
    let key = if section.has(idle_key) { idle_key } else { absolute_key };
    let (idle, absolute) = (span::format(idle), span::format(absolute));
    let what = format!("a session may be idle for {idle}, but ends after {absolute}");
    section.error(key, what, format!("make {idle_key} the shorter of the two"));
}

/// In development a secret that nobody set is made and kept.
fn secret(section: &mut Section<'_>, context: Context<'_>) -> SessionSecret {
    let generated = SessionSecret::Generated(context.folder.join("certs/session.secret"));
    let named = secret::source(section, "secret", context);
    let Some(source) = named.or_else(|| usual_variable(section)) else { return generated };
    if matches!(&source, Source::Env(name) if name == SECRET_KEY && context.environment.get(name).is_none()) {
        if context.in_production() {
            let remedy =
                "set SECRET_KEY to what `foregate secret` prints, or write secret = { file = \"PATH\" }";
            section.error("secret", "is missing, and the variable SECRET_KEY is not set", remedy);
        }
        return generated;
    }
    let Some(secret) = secret::resolve(section, "secret", source, context) else { return generated };
    check_length(section, "secret", &secret);
    let usual = context.environment.get(SECRET_KEY);
    if usual.is_some_and(|usual| Secret::new(usual.trim_end_matches('\n').as_bytes().to_vec()) != secret) {
        section.warn_of_rival("secret", SECRET_KEY);
    }
    SessionSecret::Given(secret)
}

fn check_length(section: &Section<'_>, key: &str, secret: &Secret<Vec<u8>>) {
    let length = secret.expose().len();
    if length < MIN_SECRET_BYTES {
        let what = format!("has {length} bytes, fewer than {MIN_SECRET_BYTES}");
        section.error(key, what, "`foregate secret` makes a good one");
    }
}

fn previous_secrets(
    section: &mut Section<'_>,
    current: &SessionSecret,
    context: Context<'_>,
) -> Vec<Secret<Vec<u8>>> {
    let read = section.items("previous_secrets", |item| {
        let secret = secret::source(item, "", context)
            .and_then(|source| secret::resolve(item, "", source, context))?;
        check_length(item, "", &secret);
        if matches!(current, SessionSecret::Given(current) if *current == secret) {
            item.warn("", "is session.secret itself", "put a new one there: `foregate secret` makes it");
        }
        Some(secret)
    });
    secret::refuse_inline(section, "previous_secrets", context);
    read.into_iter().flatten().collect()
}

fn usual_variable(section: &Section<'_>) -> Option<Source> {
    (!section.has("secret")).then(|| Source::Env(SECRET_KEY.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::server;
    use super::super::testing::{development, lines, outcome, production};
    use super::*;

    const GOOD: &str = "0123456789abcdef0123456789abcdef";

    fn session(text: &str, context: Context<'_>) -> Result<Session, Vec<String>> {
        outcome(text, |root| {
            let server = root.table("server", |section| server::read(section, production(&[])));
            root.table("session", |section| read(section, &server, context))
        })
        .map(|(session, _)| session)
    }

    #[test]
    fn the_default_takes_its_secret_from_the_usual_variable() {
        let session = session("", production(&[("SECRET_KEY", GOOD)])).unwrap();
        assert!(matches!(session.secret, SessionSecret::Given(secret) if secret.expose() == GOOD.as_bytes()));
        assert_eq!((session.idle_timeout, session.absolute_timeout), (DAY, 7 * DAY));
        let remembered = (session.remember_idle_timeout, session.remember_absolute_timeout);
        assert_eq!(remembered, (30 * DAY, 90 * DAY));
    }

    #[test]
    fn a_missing_secret_is_made_in_development_and_an_error_in_production() {
        for text in ["", "session.secret = { env = \"SECRET_KEY\" }"] {
            let made = session(text, development(&[])).unwrap().secret;
            let path = Path::new("/etc/foregate/certs/session.secret");
            assert!(matches!(made, SessionSecret::Generated(made) if made == path), "{text}");
            let faults = session(text, production(&[])).unwrap_err();
            let missing = faults.iter().find(|fault| fault.contains("session.secret: is missing"));
            assert!(missing.unwrap().contains("`foregate secret`"), "{faults:?}");
        }
    }

    #[test]
    fn a_secret_that_was_asked_for_is_never_replaced_by_a_made_one() {
        let other = session("session.secret = { env = \"OTHER\" }", development(&[]));
        assert!(other.unwrap_err()[0].contains("the variable \"OTHER\" is not set"));
        let empty = session("", development(&[("SECRET_KEY", "")]));
        assert!(empty.unwrap_err()[0].contains("is set, but empty"));
    }

    #[test]
    fn a_short_secret_is_refused_whatever_newline_follows() {
        let short = format!("{}\n", &GOOD[1..]);
        let faults = session("", development(&[("SECRET_KEY", &short)])).unwrap_err();
        assert!(faults[0].contains("session.secret: has 31 bytes"), "{faults:?}");
        assert!(!faults[0].contains("123"));
    }

    #[test]
    fn previous_secrets_come_from_the_same_places_as_the_secret_itself() {
        let text = format!("session.previous_secrets = [\"{GOOD}\", {{ env = \"OLD\" }}]");
        let old = GOOD.replace('0', "x");
        let read = session(&text, development(&[("SECRET_KEY", &"n".repeat(32)), ("OLD", &old)])).unwrap();
        let secrets: Vec<&[u8]> = read.previous_secrets.iter().map(|secret| &secret.expose()[..]).collect();
        assert_eq!(secrets, [GOOD.as_bytes(), old.as_bytes()]);
        assert!(session("", development(&[])).unwrap().previous_secrets.is_empty());
    }

    #[test]
    fn a_previous_secret_is_held_to_the_rules_of_the_secret() {
        for (text, says) in [
            ("[\"short\"]", "session.previous_secrets[0]: has 5 bytes, fewer than 32"),
            ("[{ env = \"GOOD\" }, { env = \"NONE\" }]", "previous_secrets[1]: the variable \"NONE\" is not"),
            ("[{ envv = \"GOOD\" }]", "previous_secrets[0].envv: unknown key"),
            ("[5]", "previous_secrets[0]: a number stands where text is expected"),
            ("\"text\"", "previous_secrets: text stands where a list is expected"),
        ] {
            let text = format!("session.previous_secrets = {text}");
            let faults = session(&text, development(&[("GOOD", GOOD)])).unwrap_err();
            assert!(faults.concat().contains(says), "{text}: {faults:?}");
        }
        let inline = format!("session.previous_secrets = [\"{GOOD}\"]");
        let faults = session(&inline, production(&[("SECRET_KEY", &"n".repeat(32))])).unwrap_err();
        assert!(faults.concat().contains("which production refuses"), "{faults:?}");
        assert!(!faults.concat().contains(GOOD));
    }

    #[test]
    fn a_secret_that_never_changed_is_a_warning() {
        let text = "session.previous_secrets = [{ env = \"SECRET_KEY\" }]";
        let (_, warnings) = outcome(text, |root| {
            let server = root.table("server", |section| server::read(section, production(&[])));
            root.table("session", |section| read(section, &server, production(&[("SECRET_KEY", GOOD)])))
        })
        .unwrap();
        let warning = "warning: session.previous_secrets[0]: is session.secret itself";
        assert!(lines(&warnings).iter().any(|line| line.starts_with(warning)), "{warnings:?}");
    }

    #[test]
    fn idle_time_fits_into_a_sessions_life() {
        for (text, key) in [
            ("idle_timeout = \"8d\"", "idle_timeout"),
            ("absolute_timeout = \"1h\"", "absolute_timeout"),
            ("idle_timeout = \"0s\"", "idle_timeout"),
            ("absolute_timeout = \"x\"", "absolute_timeout"),
            ("remember_idle_timeout = \"91d\"", "remember_idle_timeout"),
            ("remember_absolute_timeout = \"29d\"", "remember_absolute_timeout"),
        ] {
            let faults = session(&format!("[session]\n{text}"), development(&[])).unwrap_err();
            assert!(faults[0].starts_with(&format!("error: session.{key}: ")), "{faults:?}");
            assert_eq!(faults.len(), 1, "{faults:?}");
        }
        assert!(session("[session]\nidle_timeout = \"7d\"", development(&[])).is_ok());
    }
}
