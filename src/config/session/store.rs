//! `[session.store]`: where sessions lie.

use std::path::PathBuf;
use std::time::Duration;

use super::super::ClientTls;
use super::super::client_tls;
use super::super::context::Context;
use super::super::host;
use super::super::reader::{Complaint, Section, kind};
use super::super::secret;
use crate::base::secret::Secret;

const REDIS_PORT: u16 = 6379;

/// More connections than scripts can use; keeps a slip from exhausting descriptors.
const MAX_POOL: usize = 1024;

/// Kinds of stores that do not exist yet.
const LATER: [&str; 4] = ["redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];

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
    /// What becomes of sessions while it is away.
    pub on_outage: OnOutage,
    /// How long they go on then.
    pub outage_grace: Duration,
}

/// What becomes of sessions that nobody can vouch for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOutage {
    /// They wait: 503.
    Refuse,
    /// Those that this process knew to be alive a moment ago go on for a while.
    ServeCached,
}

const ON_OUTAGE: [(&str, OnOutage); 2] =
    [("refuse", OnOutage::Refuse), ("serve-cached", OnOutage::ServeCached)];

/// A store's address.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// `memory:` is forgotten at the end of the process.
    Memory,
    /// `file:PATH` is an embedded database, for one process.
    File(PathBuf),
    /// `redis://…`, `rediss://…`, `redis+unix://…`
    Redis(RedisUrl),
}

/// `redis://[user]:[password]@host:port/database`, and its kin.
#[derive(Clone, Debug)]
pub struct RedisUrl {
    /// Where Redis listens.
    pub address: RedisAddress,
    /// The database's number.
    pub database: u16,
    /// The ACL user; `None`: Redis's default user.
    pub user: Option<String>,
    /// From the URL or from `session.store.password`.
    pub password: Option<Secret<String>>,
}

/// Where a Redis listens, and what is spoken there. A host is a name or an address (IPv6 without brackets); its
/// port is 6379 where the URL has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAddress {
    /// `redis://`
    Tcp {
        /// The host.
        host: String,
        /// Its port.
        port: u16,
    },
    /// `rediss://`
    Tls {
        /// The host, which the certificate has to name.
        host: String,
        /// Its port.
        port: u16,
        /// Whom we trust, and who we say that we are.
        files: ClientTls,
    },
    /// `redis+unix://`: a socket in the file system.
    Unix(PathBuf),
}

pub(in super::super) fn read(section: &mut Section<'_>, context: Context<'_>) -> Store {
    let default = StoreUrl::File(context.state("sessions.redb"));
    let mut url = section.value("url", kind::text_as(|text| url(text, context)), default);
    let password = password(section, context);
    place_password(section, &mut url, password, context);
    place_files(section, &mut url, context);
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
        on_outage: section.value("on_outage", kind::one_of(&ON_OUTAGE), OnOutage::Refuse),
        outage_grace: section.value("outage_grace", kind::positive_duration, Duration::from_secs(60)),
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

/// Brings the files of TLS to the URL.
fn place_files(section: &mut Section<'_>, url: &mut StoreUrl, context: Context<'_>) {
    let given = client_tls::ca_and_certificate(section, context);
    if let StoreUrl::Redis(RedisUrl { address: RedisAddress::Tls { files, .. }, .. }) = url {
        *files = given;
        return;
    }
    for key in ["ca", "client_cert", "client_key"] {
        if section.has(key) && section.sound("url") {
            section.warn(key, "is not used: there is no TLS", "write rediss:// in url, or leave the key out");
        }
    }
}

fn url(text: &str, context: Context<'_>) -> Result<StoreUrl, Complaint> {
    if text == "memory:" {
        return Ok(StoreUrl::Memory);
    }
    if let Some(path) = text.strip_prefix("file:") {
        return file(path, context);
    }
    let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
    let tcp = |host, port| RedisAddress::Tcp { host, port };
    let tls = |host, port| RedisAddress::Tls { host, port, files: ClientTls::default() };
    let (redis, form) = match scheme {
        "redis" => (on_network(rest, tcp), "redis://[USER]:[PASSWORD]@HOST:PORT/NUMBER"),
        "rediss" => (on_network(rest, tls), "rediss://[USER]:[PASSWORD]@HOST:PORT/NUMBER"),
        "redis+unix" => (on_socket(rest), "redis+unix://[USER]:[PASSWORD]@/PATH?db=NUMBER"),
        _ => return Err(no_store(text)),
    };
    redis.map(StoreUrl::Redis).ok_or_else(|| {
        let remedy = format!(
            "write {form}, with anything but letters and digits in user and password percent-encoded"
        );
        Complaint::new("is not the address of a Redis", remedy)
    })
}

/// The rest of what looks like a URL may hold a password, and is not repeated.
fn no_store(text: &str) -> Complaint {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let what = if LATER.contains(&scheme) {
        format!("\"{scheme}:\" is not supported yet")
    } else {
        "is not the address of a store".to_owned()
    };
    Complaint::new(what, "write \"file:PATH\", \"redis://HOST:6379/0\" or \"memory:\"")
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
fn on_network(rest: &str, address_of: impl Fn(String, u16) -> RedisAddress) -> Option<RedisUrl> {
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = host::with_port(address)?;
    login_at(address_of(host, port.unwrap_or(REDIS_PORT)), login, database_number(database)?)
}

/// `[USER]:[PASSWORD]@/PATH?db=NUMBER`, of which the path alone must be there.
fn on_socket(rest: &str) -> Option<RedisUrl> {
    let (authority, path) = rest.split_at(rest.find('/')?);
    let login = if authority.is_empty() { "" } else { authority.strip_suffix('@')? };
    let (path, query) = path.split_once('?').unwrap_or((path, "db="));
    let path = percent_decoded(path).filter(|path| !path.ends_with('/'))?;
    login_at(RedisAddress::Unix(path.into()), login, database_number(query.strip_prefix("db=")?)?)
}

fn login_at(address: RedisAddress, login: &str, database: u16) -> Option<RedisUrl> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    Some(RedisUrl {
        address,
        database,
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

    fn tcp(host: &str, port: u16) -> RedisAddress {
        RedisAddress::Tcp { host: host.to_owned(), port }
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
        assert_eq!((redis.address, redis.database), (tcp("cache", 6379), 0));
        assert!(redis.user.is_none() && redis.password.is_none());
        let redis = redis_of("url = \"redis://me:p%40ss%2f%C3%A9:x@[::1]:7000/15\"");
        assert_eq!((redis.address, redis.database), (tcp("::1", 7000), 15));
        assert_eq!(redis.user.as_deref(), Some("me"));
        assert_eq!(redis.password.unwrap().expose(), "p@ss/é:x");
        assert!(redis_of("url = \"redis://:pw@cache/\"").user.is_none());
    }

    #[test]
    fn a_redis_may_speak_tls_with_files_beside_the_configuration() {
        let keys = "ca = \"ca.pem\"\nclient_cert = \"/tls/a.crt\"\nclient_key = \"/tls/a.key\"";
        let RedisAddress::Tls { host, port, files } =
            redis_of(&format!("url = \"rediss://cache/1\"\n{keys}")).address
        else {
            panic!("rediss is TLS");
        };
        assert_eq!((host.as_str(), port), ("cache", 6379));
        assert_eq!(files.ca.as_deref(), Some(Path::new("/etc/foregate/ca.pem")));
        assert_eq!(files.certificate.unwrap().key, Path::new("/tls/a.key"));
        let RedisAddress::Tls { files, .. } = redis_of("url = \"rediss://cache\"").address else {
            panic!("rediss is TLS");
        };
        assert_eq!(files, ClientTls::default());
    }

    #[test]
    fn the_files_of_tls_make_sense_together_and_with_the_url() {
        for (key, says) in [
            ("client_cert = \"a.crt\"", "client_cert: has no key"),
            ("client_key = \"a.key\"", "client_key: has no certificate"),
            ("ca = \"\"", "ca: is empty"),
        ] {
            let faults = store(&format!("url = \"rediss://cache\"\n{key}"), production(&[])).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains(says), "{faults:?}");
        }
        let idle = "ca = \"ca.pem\"\nclient_cert = \"a.crt\"\nclient_key = \"a.key\"";
        for url in ["redis://cache", "redis+unix:///run/redis.sock", "file:a.redb"] {
            let (_, warnings) = store(&format!("url = {url:?}\n{idle}"), production(&[])).unwrap();
            assert_eq!(warnings.len(), 3, "{url}: {warnings:?}");
            assert!(lines(&warnings)[0].contains("is not used: there is no TLS"));
        }
    }

    #[test]
    fn a_redis_may_listen_on_a_socket_in_the_file_system() {
        let redis = redis_of("url = \"redis+unix:///run/redis/a%20b.sock?db=3\"");
        assert_eq!((redis.address, redis.database), (RedisAddress::Unix("/run/redis/a b.sock".into()), 3));
        assert!(redis.user.is_none() && redis.password.is_none());
        let redis = redis_of("url = \"redis+unix://me:p%2fw@/run/redis.sock\"");
        assert_eq!((redis.address, redis.database), (RedisAddress::Unix("/run/redis.sock".into()), 0));
        assert_eq!((redis.user.as_deref(), redis.password.unwrap().expose().as_str()), (Some("me"), "p/w"));
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
            ("redis+sentinel://:hunter2@a,b/mymaster/0", "not supported yet"),
            ("rediss+cluster://:hunter2@a,b", "\"rediss+cluster:\" is not supported yet"),
            ("rediss://", "is not the address of a Redis"),
            ("rediss://:hunter2@", "is not the address of a Redis"),
            ("rediss://cache#insecure", "is not the address of a Redis"),
            ("redis+unix://", "is not the address of a Redis"),
            ("redis+unix:///", "is not the address of a Redis"),
            ("redis+unix:///run/redis/", "is not the address of a Redis"),
            ("redis+unix://:hunter2/run/redis.sock", "is not the address of a Redis"),
            ("redis+unix:///run/redis.sock?db=x", "is not the address of a Redis"),
            ("redis+unix:///run/redis.sock?db=1&pass=hunter2", "is not the address of a Redis"),
            ("redis+unix:///run/redis.sock?pass=hunter2", "is not the address of a Redis"),
            ("redis+unix://me@/run/redis.sock", "names a user without a password"),
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
