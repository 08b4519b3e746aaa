//! `[session.store]`: where sessions lie.

use std::path::PathBuf;
use std::time::Duration;

use super::super::client_tls;
use super::super::context::Context;
use super::super::reader::{Complaint, Section, kind};
use super::super::secret;
use super::super::well_known;
use super::redis_url::{self, RedisAddress, RedisUrl};
use crate::base::secret::Secret;

/// More connections than scripts can use; keeps a slip from exhausting descriptors.
const MAX_POOL: usize = 1024;

/// Where sessions lie, and how long the proxy waits for it.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub enum StoreUrl {
    /// `memory:` is forgotten at the end of the process.
    Memory,
    /// `file:PATH` is an embedded database, for one process.
    File(PathBuf),
    /// `redis://…` and its kin.
    Redis(RedisUrl),
}

pub(in super::super) fn read(section: &mut Section<'_>, context: Context<'_>) -> Store {
    let default = StoreUrl::File(context.state("sessions.redb"));
    let mut url = section.value("url", kind::text_as(|text| url(text, context)), default);
    well_known::check_type(section, &url, context);
    let password = password(section, "password", context);
    place_password(section, &mut url, password);
    warn_of_written_password(section, context);
    let password = self::password(section, "sentinel_password", context);
    place_sentinel_password(section, &mut url, password);
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

fn password(section: &mut Section<'_>, key: &'static str, context: Context<'_>) -> Option<Secret<String>> {
    let source = secret::source(section, key, context)?;
    let bytes = secret::resolve(section, key, source, context)?;
    let text = std::str::from_utf8(bytes.expose()).ok().map(|text| Secret::new(text.to_owned()));
    if text.is_none() {
        section.error(key, "is not UTF-8", "give Redis a password that is");
    }
    text
}

/// Brings the password of its own key to the URL; a Redis has one from there or from here.
fn place_password(section: &Section<'_>, url: &mut StoreUrl, password: Option<Secret<String>>) {
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
        (None, false) if redis.user.is_some() => {
            section.error("url", "names a user without a password", "add password = { file = \"PATH\" }");
        }
        _ => redis.password = redis.password.take().or(password),
    }
}

/// Whoever reads the file reads that password, whatever a variable says instead.
fn warn_of_written_password(section: &Section<'_>, context: Context<'_>) {
    let holds_one =
        |text| matches!(url(text, context), Ok(StoreUrl::Redis(redis)) if redis.password.is_some());
    if context.in_production() && section.sound("password") && section.written("url").any(holds_one) {
        let remedy = "password = { file = \"PATH\" } or { env = \"NAME\" } keeps it out of the configuration";
        section.warn_in_file("url", "holds a password", remedy);
    }
}

fn place_sentinel_password(section: &Section<'_>, url: &mut StoreUrl, password: Option<Secret<String>>) {
    if let StoreUrl::Redis(RedisUrl { address: RedisAddress::Sentinel(sentinels), .. }) = url {
        sentinels.password = password;
    } else if section.has("sentinel_password") && section.sound("url") {
        let remedy = "write redis+sentinel:// in url, or leave the key out";
        section.warn("sentinel_password", "is not used: there is no Sentinel", remedy);
    }
}

/// Brings the files of TLS to the URL.
fn place_files(section: &mut Section<'_>, url: &mut StoreUrl, context: Context<'_>) {
    let given = client_tls::ca_and_certificate(section, context);
    if let StoreUrl::Redis(redis) = url
        && let Some(files) = redis.address.tls_files()
    {
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
    match redis_url::read(text) {
        Some(redis) => redis.map(StoreUrl::Redis),
        // What looks like a URL may hold a password, and is not repeated.
        None => Err(Complaint::new(
            "is not the address of a store",
            "write \"file:PATH\", \"redis://HOST:6379/0\" or \"memory:\"",
        )),
    }
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

    use super::super::super::ClientTls;
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
    fn sentinels_have_a_password_of_their_own() {
        let key = "sentinel_password = { env = \"REDIS_PASSWORD\" }";
        let redis = redis_of(&format!("url = \"redis+sentinel://s1/m\"\n{key}"));
        let RedisAddress::Sentinel(sentinels) = redis.address else { panic!("it names a sentinel") };
        assert_eq!(sentinels.password.unwrap().expose(), "from outside");
        assert!(redis.password.is_none());
        for url in ["redis://cache", "redis+cluster://cache", "file:a.redb"] {
            let text = format!("url = {url:?}\n{key}");
            let (_, warnings) = store(&text, production(&[("REDIS_PASSWORD", "x")])).unwrap();
            assert!(lines(&warnings)[0].starts_with("warning: sentinel_password: is not used"), "{url}");
        }
    }

    #[test]
    fn tls_goes_for_every_server_behind_a_url() {
        for url in ["rediss+sentinel://s1/m", "rediss+cluster://a,b"] {
            let redis = redis_of(&format!("url = {url:?}\nca = \"ca.pem\""));
            let files = redis.address.tls().unwrap();
            assert_eq!(files.ca.as_deref(), Some(Path::new("/etc/foregate/ca.pem")), "{url}");
        }
    }

    #[test]
    fn what_is_no_store_is_refused_without_being_repeated() {
        for (url, says) in [
            ("file:", "is not the path of a file"),
            ("file:sessions/", "is not the path of a file"),
            ("file://host/sessions.redb", "is not the path of a file"),
            ("redis+sentinel://:hunter2@a,b", "comes /MASTER"),
            ("rediss+cluster://:hunter2@a,b/1", "no database but 0"),
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
