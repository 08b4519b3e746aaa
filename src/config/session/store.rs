//! `[session.store]`: where sessions lie.

use std::path::PathBuf;
use std::time::Duration;

use super::super::context::Context;
use super::super::host;
use super::super::reader::{Complaint, Section, kind};
use super::super::secret;
use crate::base::secret::Secret;

const REDIS_PORT: u16 = 6379;

/// More connections than scripts can use; keeps a slip from exhausting descriptors.
const MAX_POOL: usize = 1024;

/// Kinds of stores that do not exist yet.
const LATER: [&str; 6] =
    ["rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster", "redis+unix"];

/// Where sessions lie, and how long the proxy waits for it.
#[derive(Clone, Debug)]
pub struct Store {
    /// Which store.
    pub url: StoreUrl,
    /// What keys begin with; ends with a colon.
    pub key_prefix: String,
    /// Connections to Redis for scripts.
    pub pool_size: usize,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a command; beyond it the look-up counts as failed.
    pub command_timeout: Duration,
}

/// A store's address.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// `memory:` is forgotten at the end of the process.
    Memory,
    /// `file:PATH` is an embedded database, for one process.
    File(PathBuf),
    /// `redis://…`
    Redis(RedisUrl),
}

/// `redis://[user]:[password]@host:port/database`
#[derive(Clone, Debug)]
pub struct RedisUrl {
    /// A name or an address (IPv6 without brackets).
    pub host: String,
    /// The port; 6379 where the URL has none.
    pub port: u16,
    /// The database's number.
    pub database: u16,
    /// The ACL user; `None`: Redis's default user.
    pub user: Option<String>,
    /// From the URL or from `session.store.password`.
    pub password: Option<Secret<String>>,
}

pub(in super::super) fn read(section: &mut Section<'_>, context: Context<'_>) -> Store {
    let default = StoreUrl::File(context.state("sessions.redb"));
    let mut url = section.value("url", kind::text_as(|text| url(text, context)), default);
    let password = password(section, context);
    place_password(section, &mut url, password, context);
    if matches!(url, StoreUrl::Memory) && context.in_production() && section.sound("url") {
        let remedy = "leave it out, or write \"file:PATH\" or \"redis://HOST:6379/0\"";
        section.warn("url", "is \"memory:\": sessions end with the process", remedy);
    }
    Store {
        url,
        key_prefix: section.value("key_prefix", kind::text_as(key_prefix), "session:".to_owned()),
        pool_size: section.value("pool_size", kind::number(1..=MAX_POOL), 16),
        connect_timeout: section.value("connect_timeout", kind::positive_duration, Duration::from_secs(1)),
        command_timeout: section.value(
            "command_timeout",
            kind::positive_duration,
            Duration::from_millis(250),
        ),
    }
}

fn password(section: &mut Section<'_>, context: Context<'_>) -> Option<Secret<String>> {
    let source = secret::source(section, "password", context)?;
    let bytes = secret::resolve(section, "password", source, context)?;
    let text = std::str::from_utf8(bytes.expose()).ok().map(|text| Secret::new(text.to_owned()));
    if text.is_none() {
        section.error("password", "is not UTF-8", "give Redis a password that is");
    }
    text
}

/// Brings the password of its own key to the URL; a Redis has one from there or from here.
fn place_password(
    section: &Section<'_>,
    url: &mut StoreUrl,
    password: Option<Secret<String>>,
    context: Context<'_>,
) {
    let StoreUrl::Redis(redis) = url else {
        if section.has("password") && section.sound("url") {
            section.warn(
                "password",
                "is not used: there is no Redis",
                "name one in url, or leave the key out",
            );
        }
        return;
    };
    match (&redis.password, section.has("password")) {
        (Some(_), true) => section.error("password", "is in url too", "keep one of the two"),
        (Some(_), false) if context.in_production() => {
            let remedy =
                "password = { file = \"PATH\" } or { env = \"NAME\" } keeps it out of the configuration";
            section.warn("url", "holds a password", remedy);
        }
        (None, false) if redis.user.is_some() => {
            section.error("url", "names a user without a password", "add password = { file = \"PATH\" }");
        }
        _ => redis.password = redis.password.take().or(password),
    }
}

fn url(text: &str, context: Context<'_>) -> Result<StoreUrl, Complaint> {
    if text == "memory:" {
        return Ok(StoreUrl::Memory);
    }
    if let Some(path) = text.strip_prefix("file:") {
        return file(path, context);
    }
    let Some(rest) = text.strip_prefix("redis://") else {
        // The rest of what looks like a URL may hold a password.
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let what = if LATER.contains(&scheme) {
            format!("\"{scheme}:\" is not supported yet")
        } else {
            "is not the address of a store".to_owned()
        };
        return Err(Complaint::new(what, "write \"file:PATH\", \"redis://HOST:6379/0\" or \"memory:\""));
    };
    redis(rest).map(StoreUrl::Redis).ok_or_else(|| {
        let remedy = "write redis://[USER]:[PASSWORD]@HOST:PORT/NUMBER, with anything but letters and digits in \
                      user and password percent-encoded";
        Complaint::new("is not the address of a Redis", remedy)
    })
}

/// `PATH`, or `///PATH` as other programs write it; two slashes would name a host.
fn file(path: &str, context: Context<'_>) -> Result<StoreUrl, Complaint> {
    let names_host = path.starts_with("//") && !path.starts_with("///");
    if path.is_empty() || path.ends_with('/') || names_host {
        return Err(Complaint::new(
            format!("{path:?} is not the path of a file"),
            "write \"file:sessions.redb\"",
        ));
    }
    Ok(StoreUrl::File(context.state(path)))
}

/// `[USER]:[PASSWORD]@HOST:PORT/NUMBER`, of which the host alone must be there.
fn redis(rest: &str) -> Option<RedisUrl> {
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, port) = host::with_port(address)?;
    Some(RedisUrl {
        host,
        port: port.unwrap_or(REDIS_PORT),
        database: database_number(database)?,
        user: Some(percent_decoded(user)?).filter(|user| !user.is_empty()),
        password: Some(percent_decoded(password)?).filter(|password| !password.is_empty()).map(Secret::new),
    })
}

fn database_number(digits: &str) -> Option<u16> {
    match digits {
        "" => Some(0),
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

/// Replaces each `%XX` by its byte; `None` where that is malformed or no UTF-8, or where a byte stands plainly
/// that a URL does not have.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => bytes.push(hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?),
            b'?' | b'#' => return None,
            _ if byte.is_ascii_graphic() => bytes.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Redis's SCAN takes patterns: a prefix with their signs in it would list foreign keys.
fn key_prefix(text: &str) -> Result<String, Complaint> {
    let special = |character: char| "*?[]\\".contains(character) || character.is_whitespace();
    if let Some(found) = text.chars().find(|character| special(*character) || character.is_control()) {
        return Err(Complaint::new(format!("{text:?} holds {found:?}"), "write one such as \"session:\""));
    }
    if !text.ends_with(':') {
        let remedy = format!("write {:?}", format!("{text}:"));
        return Err(Complaint::new(format!("{text:?} does not end with a colon"), remedy));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::reader::Fault;
    use super::super::super::testing::{development, lines, outcome, production};
    use super::*;

    fn store(text: &str, context: Context<'_>) -> Result<(Store, Vec<Fault>), Vec<String>> {
        outcome(text, |section| read(section, context))
    }

    fn redis_of(text: &str) -> RedisUrl {
        let context = development(&[("REDIS_PASSWORD", "from outside")]);
        match store(text, context).unwrap().0.url {
            StoreUrl::Redis(redis) => redis,
            _ => panic!("{text} is a Redis"),
        }
    }

    fn file_of(text: &str, pairs: &[(&str, &str)]) -> PathBuf {
        let (store, warnings) = store(text, production(pairs)).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let StoreUrl::File(path) = store.url else { panic!("{text:?} is a file") };
        path
    }

    #[test]
    fn the_default_is_a_file_that_outlives_the_process() {
        assert_eq!(file_of("", &[]), Path::new("/etc/foregate/sessions.redb"));
        let (store_read, _) = store("", development(&[])).unwrap();
        assert_eq!((store_read.key_prefix.as_str(), store_read.pool_size), ("session:", 16));
        assert_eq!(store_read.connect_timeout, Duration::from_secs(1));
        assert_eq!(store_read.command_timeout, Duration::from_millis(250));
    }

    #[test]
    fn a_file_lies_where_the_configuration_does_or_where_systemd_wants_it() {
        for (url, path) in [
            ("file:a/b.redb", "/etc/foregate/a/b.redb"),
            ("file:/srv/a.redb", "/srv/a.redb"),
            ("file:///srv/a.redb", "/srv/a.redb"),
        ] {
            assert_eq!(file_of(&format!("url = {url:?}"), &[]), Path::new(path));
            assert_eq!(file_of(&format!("url = {url:?}"), &[("STATE_DIRECTORY", "")]), Path::new(path));
        }
        let systemd = [("STATE_DIRECTORY", "/var/lib/foregate:/var/lib/other")];
        assert_eq!(file_of("", &systemd), Path::new("/var/lib/foregate/sessions.redb"));
        assert_eq!(file_of("url = \"file:/srv/a.redb\"", &systemd), Path::new("/srv/a.redb"));
    }

    #[test]
    fn a_store_that_forgets_is_asked_for_which_production_wonders_about() {
        let (store_read, warnings) = store("url = \"memory:\"", development(&[])).unwrap();
        assert!(matches!(store_read.url, StoreUrl::Memory) && warnings.is_empty());
        let (_, warnings) = store("url = \"memory:\"", production(&[])).unwrap();
        assert!(lines(&warnings)[0].starts_with("warning: url: is \"memory:\""));
    }

    #[test]
    fn a_redis_has_an_address_and_perhaps_a_login() {
        let redis = redis_of("url = \"redis://Cache\"");
        assert_eq!((redis.host.as_str(), redis.port, redis.database), ("cache", 6379, 0));
        assert!(redis.user.is_none() && redis.password.is_none());
        let redis = redis_of("url = \"redis://me:p%40ss%2f%C3%A9:x@[::1]:7000/15\"");
        assert_eq!((redis.host.as_str(), redis.port, redis.database), ("::1", 7000, 15));
        assert_eq!(redis.user.as_deref(), Some("me"));
        assert_eq!(redis.password.unwrap().expose(), "p@ss/é:x");
        assert!(redis_of("url = \"redis://:pw@cache/\"").user.is_none());
    }

    #[test]
    fn a_password_may_come_from_elsewhere() {
        let key = "password = { env = \"REDIS_PASSWORD\" }";
        let redis = redis_of(&format!("url = \"redis://me@cache\"\n{key}"));
        assert_eq!(redis.password.unwrap().expose(), "from outside");
        let both = format!("url = \"redis://:hunter2@cache\"\n{key}");
        let faults = store(&both, production(&[("REDIS_PASSWORD", "x")])).unwrap_err();
        assert!(faults[0].starts_with("error: password: is in url too"), "{faults:?}");
        let (_, warnings) = store(key, development(&[("REDIS_PASSWORD", "x")])).unwrap();
        assert!(lines(&warnings)[0].starts_with("warning: password: is not used"));
        let (_, warnings) = store("url = \"redis://:hunter2@cache\"", production(&[])).unwrap();
        assert!(lines(&warnings)[0].starts_with("warning: url: holds a password"));
    }

    #[test]
    fn what_is_no_store_is_refused_without_being_repeated() {
        for (url, says) in [
            ("file:", "is not the path of a file"),
            ("file:sessions/", "is not the path of a file"),
            ("file://host/sessions.redb", "is not the path of a file"),
            ("rediss://:hunter2@cache", "\"rediss:\" is not supported yet"),
            ("redis+sentinel://:hunter2@a,b/mymaster/0", "not supported yet"),
            ("redis+unix:///run/redis.sock", "not supported yet"),
            ("memory", "is not the address of a store"),
            ("hunter2://", "is not the address of a store"),
            ("redis://", "is not the address of a Redis"),
            ("redis://:hunter2/@cache", "is not the address of a Redis"),
            ("redis://:hunter2%4@cache", "is not the address of a Redis"),
            ("redis://:hunter2%ff@cache", "is not the address of a Redis"),
            ("redis://:hunter2 @cache", "is not the address of a Redis"),
            ("redis://cache/x", "is not the address of a Redis"),
            ("redis://cache/0/1", "is not the address of a Redis"),
            ("redis://cache/70000", "is not the address of a Redis"),
            ("redis://cache?db=1", "is not the address of a Redis"),
            ("redis://cache/0?a=b", "is not the address of a Redis"),
            ("redis://cache:x", "is not the address of a Redis"),
            ("redis://me@cache", "names a user without a password"),
        ] {
            let faults = store(&format!("url = \"{url}\""), production(&[])).unwrap_err();
            assert!(faults[0].contains(says), "{url}: {faults:?}");
            assert_eq!(faults.len(), 1, "{url}: {faults:?}");
            assert!(!faults[0].contains("hunter2"));
        }
    }

    #[test]
    fn a_key_prefix_is_no_pattern() {
        for prefix in ["session", "s*:", "s?:", "[s]:", "s\\:", "s :", "s\n:"] {
            assert!(store(&format!("key_prefix = {prefix:?}"), development(&[])).is_err(), "{prefix}");
        }
        assert!(store("key_prefix = \"app:session:\"", development(&[])).is_ok());
    }

    #[test]
    fn waits_and_pools_are_bounded() {
        let text = "pool_size = 0\nconnect_timeout = \"0s\"\ncommand_timeout = \"0s\"";
        assert_eq!(store(text, development(&[])).map(|_| ()).unwrap_err().len(), 3);
    }
}
