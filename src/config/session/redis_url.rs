//! The addresses of Redis: one server, the master that sentinels name, or a Cluster.

use std::fmt;
use std::path::PathBuf;

use super::super::ClientTls;
use super::super::host;
use super::super::reader::Complaint;
use crate::base::secret::Secret;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// `redis://[user]:[password]@host:port/database`, and its kin.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisUrl {
    /// Where Redis listens, or who knows that.
    pub address: RedisAddress,
    /// The database's number.
    pub database: u16,
    /// The ACL user; `None`: Redis's default user.
    pub user: Option<String>,
    /// From the URL or from `session.store.password`.
    pub password: Option<Secret<String>>,
}

/// Where a Redis listens and what is spoken there, or who knows where it does. A host is a name or an address
/// (IPv6 without brackets).
#[derive(Clone, Debug, PartialEq)]
pub enum RedisAddress {
    /// `redis://`
    Tcp {
        /// The host.
        host: String,
        /// Its port; 6379 where the URL has none.
        port: u16,
    },
    /// `rediss://`
    Tls {
        /// The host, which the certificate has to name.
        host: String,
        /// Its port; 6379 where the URL has none.
        port: u16,
        /// Whom we trust, and who we say that we are.
        files: ClientTls,
    },
    /// `redis+unix://`: a socket in the file system.
    Unix(PathBuf),
    /// `redis+sentinel://`, `rediss+sentinel://`
    Sentinel(RedisSentinels),
    /// `redis+cluster://`, `rediss+cluster://`
    Cluster(RedisCluster),
}

/// Sentinels, and the name under which they know a master.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisSentinels {
    /// Those that the URL names: at least one, none twice; their port is 26379 where the URL has none.
    pub sentinels: Vec<RedisEndpoint>,
    /// The master's name.
    pub master: String,
    /// The sentinels' own password, `session.store.sentinel_password`.
    pub password: Option<Secret<String>>,
    /// TLS towards sentinels and servers; `None`: plain text.
    pub tls: Option<ClientTls>,
}

/// Some nodes of a Cluster, which know the others.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisCluster {
    /// At least one, none twice; their port is 6379 where the URL has none.
    pub nodes: Vec<RedisEndpoint>,
    /// TLS towards every node; `None`: plain text.
    pub tls: Option<ClientTls>,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RedisEndpoint {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for RedisEndpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(out, "[{host}]:{port}") } else { write!(out, "{host}:{port}") }
    }
}

impl RedisAddress {
    /// The files of TLS, where TLS is spoken.
    pub fn tls(&self) -> Option<&ClientTls> {
        match self {
            Self::Tls { files, .. } => Some(files),
            Self::Sentinel(sentinels) => sentinels.tls.as_ref(),
            Self::Cluster(cluster) => cluster.tls.as_ref(),
            Self::Tcp { .. } | Self::Unix(_) => None,
        }
    }

    /// The same, to be filled in.
    pub(super) fn tls_files(&mut self) -> Option<&mut ClientTls> {
        match self {
            Self::Tls { files, .. } => Some(files),
            Self::Sentinel(sentinels) => sentinels.tls.as_mut(),
            Self::Cluster(cluster) => cluster.tls.as_mut(),
            Self::Tcp { .. } | Self::Unix(_) => None,
        }
    }
}

/// What is wrong with a URL. Its text is not repeated: where a sign is misplaced, a password stands anywhere.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    Login,
    Host,
    Hosts,
    TwiceTheSame,
    MasterName,
    Database,
    DatabaseInCluster,
    Path,
}

type Read<T> = Result<T, Flaw>;

/// The URL that `text` is; `None` where its scheme is none of Redis's.
pub(super) fn read(text: &str) -> Option<Result<RedisUrl, Complaint>> {
    let (scheme, rest) = text.split_once("://")?;
    let (url, form) = match scheme {
        "redis" => (on_network(rest, tcp), "redis://[USER]:[PASSWORD]@HOST:PORT/NUMBER"),
        "rediss" => (on_network(rest, tls), "rediss://[USER]:[PASSWORD]@HOST:PORT/NUMBER"),
        "redis+unix" => (on_socket(rest), "redis+unix://[USER]:[PASSWORD]@/PATH?db=NUMBER"),
        "redis+sentinel" | "rediss+sentinel" => (
            sentinel(rest, files_of(scheme)),
            "redis+sentinel://[USER]:[PASSWORD]@HOST:PORT,HOST:PORT/MASTER/NUMBER",
        ),
        "redis+cluster" | "rediss+cluster" => {
            (cluster(rest, files_of(scheme)), "redis+cluster://[USER]:[PASSWORD]@HOST:PORT,HOST:PORT")
        }
        _ => return None,
    };
    Some(url.map_err(|flaw| {
        let remedy = format!(
            "write {form}, with anything but letters and digits in user and password percent-encoded"
        );
        Complaint::new(format!("is not the address of a Redis: {flaw}"), remedy)
    }))
}

fn tcp(host: String, port: u16) -> RedisAddress {
    RedisAddress::Tcp { host, port }
}

fn tls(host: String, port: u16) -> RedisAddress {
    RedisAddress::Tls { host, port, files: ClientTls::default() }
}

fn files_of(scheme: &str) -> Option<ClientTls> {
    scheme.starts_with("rediss").then(ClientTls::default)
}

/// `[USER]:[PASSWORD]@HOST:PORT/NUMBER`, of which the host alone must be there.
fn on_network(rest: &str, address_of: impl Fn(String, u16) -> RedisAddress) -> Read<RedisUrl> {
    let (login, address, database) = split(rest);
    let RedisEndpoint { host, port } = endpoint(address, REDIS_PORT)?;
    with_login(address_of(host, port), login, database_number(database)?)
}

/// `[USER]:[PASSWORD]@/PATH?db=NUMBER`, of which the path alone must be there.
fn on_socket(rest: &str) -> Read<RedisUrl> {
    let (authority, path) = rest.split_at(rest.find('/').ok_or(Flaw::Path)?);
    let login = if authority.is_empty() { "" } else { authority.strip_suffix('@').ok_or(Flaw::Login)? };
    let (path, query) = path.split_once('?').unwrap_or((path, "db="));
    let path = percent_decoded(path).filter(|path| !path.ends_with('/')).ok_or(Flaw::Path)?;
    let database = database_number(query.strip_prefix("db=").ok_or(Flaw::Database)?)?;
    with_login(RedisAddress::Unix(path.into()), login, database)
}

/// `[USER]:[PASSWORD]@HOST:PORT,HOST:PORT/MASTER/NUMBER`: hosts and the master's name must be there.
fn sentinel(rest: &str, tls: Option<ClientTls>) -> Read<RedisUrl> {
    let (login, hosts, path) = split(rest);
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    let sentinels = RedisSentinels {
        sentinels: endpoints(hosts, SENTINEL_PORT)?,
        master: master_name(master)?,
        password: None,
        tls,
    };
    with_login(RedisAddress::Sentinel(sentinels), login, database_number(database)?)
}

/// `[USER]:[PASSWORD]@HOST:PORT,HOST:PORT`, of which a host must be there. A Cluster has but one database.
fn cluster(rest: &str, tls: Option<ClientTls>) -> Read<RedisUrl> {
    let (login, hosts, database) = split(rest);
    let nodes = endpoints(hosts, REDIS_PORT)?;
    match database_number(database)? {
        0 => with_login(RedisAddress::Cluster(RedisCluster { nodes, tls }), login, 0),
        _ => Err(Flaw::DatabaseInCluster),
    }
}

/// Login, hosts, and what follows the slash.
fn split(rest: &str) -> (&str, &str, &str) {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    (login, hosts, path)
}

fn endpoints(hosts: &str, default_port: u16) -> Read<Vec<RedisEndpoint>> {
    let mut endpoints = Vec::new();
    for text in hosts.split(',') {
        let endpoint = endpoint(text, default_port).map_err(|_| Flaw::Hosts)?;
        if endpoints.contains(&endpoint) {
            return Err(Flaw::TwiceTheSame);
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn endpoint(text: &str, default_port: u16) -> Read<RedisEndpoint> {
    let (host, port) = host::with_port(text).ok_or(Flaw::Host)?;
    Ok(RedisEndpoint { host, port: port.unwrap_or(default_port) })
}

/// As Sentinel has it: letters, digits and three signs.
fn master_name(text: &str) -> Read<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if text.is_empty() || !text.bytes().all(fits) {
        return Err(Flaw::MasterName);
    }
    Ok(text.to_owned())
}

fn with_login(address: RedisAddress, login: &str, database: u16) -> Read<RedisUrl> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decoded = |text| percent_decoded(text).ok_or(Flaw::Login);
    Ok(RedisUrl {
        address,
        database,
        user: Some(decoded(user)?).filter(|user| !user.is_empty()),
        password: Some(decoded(password)?).filter(|password| !password.is_empty()).map(Secret::new),
    })
}

fn database_number(digits: &str) -> Read<u16> {
    match digits {
        "" => Ok(0),
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| Flaw::Database),
        _ => Err(Flaw::Database),
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

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Login => "user or password is not percent-encoded text",
            Self::Host => "HOST:PORT is no name or address with a port",
            Self::Hosts => "one of the hosts is no name or address with a port",
            Self::TwiceTheSame => "it names a host twice",
            Self::MasterName => "after the hosts comes /MASTER, the name that the sentinels know it by",
            Self::Database => "the database is no number",
            Self::DatabaseInCluster => "a Cluster has no database but 0",
            Self::Path => "the path does not name a socket",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_well(text: &str) -> RedisUrl {
        read(text).unwrap().unwrap_or_else(|complaint| panic!("{text}: {complaint:?}"))
    }

    fn endpoints_of(pairs: &[(&str, u16)]) -> Vec<RedisEndpoint> {
        pairs.iter().map(|(host, port)| RedisEndpoint { host: (*host).to_owned(), port: *port }).collect()
    }

    #[test]
    fn sentinels_know_a_master_by_its_name() {
        let url = read_well("redis+sentinel://me:p%40ss@S1,s2:7000,[::1]/my-master.1/3");
        let RedisAddress::Sentinel(known) = url.address else { panic!("it names sentinels") };
        assert_eq!(known.sentinels, endpoints_of(&[("s1", 26379), ("s2", 7000), ("::1", 26379)]));
        assert_eq!((known.master.as_str(), url.database, known.tls), ("my-master.1", 3, None));
        assert_eq!((url.user.as_deref(), url.password.unwrap().expose().as_str()), (Some("me"), "p@ss"));
        let RedisAddress::Sentinel(known) = read_well("rediss+sentinel://s1/m").address else {
            panic!("it names a sentinel")
        };
        assert!(known.tls.is_some() && known.password.is_none());
    }

    #[test]
    fn some_nodes_stand_for_a_cluster() {
        let url = read_well("redis+cluster://:pw@a,b:7000/0");
        let nodes = endpoints_of(&[("a", 6379), ("b", 7000)]);
        assert_eq!(url.address, RedisAddress::Cluster(RedisCluster { nodes, tls: None }));
        for text in ["rediss+cluster://a", "rediss+cluster://a/"] {
            let RedisAddress::Cluster(cluster) = read_well(text).address else { panic!("{text}") };
            assert!(cluster.tls.is_some());
        }
    }

    #[test]
    fn what_is_wrong_is_said_by_its_place_and_not_repeated() {
        for (url, says) in [
            ("redis://:hunter2/@cache", "HOST:PORT is no name"),
            ("redis://:hunter2%4@cache", "user or password"),
            ("redis://cache/hunter2", "the database"),
            ("redis+unix://:hunter2/run/redis.sock", "user or password"),
            ("redis+unix:///run/hunter2/", "the path"),
            ("redis+sentinel://s1,hunter2:x/m", "one of the hosts"),
            ("redis+sentinel://s1,/m", "one of the hosts"),
            ("redis+sentinel:///m", "one of the hosts"),
            ("redis+sentinel://:hunter2 @s1/m", "user or password"),
            ("redis+sentinel://s1,S1:26379/m", "names a host twice"),
            ("redis+sentinel://s1", "/MASTER"),
            ("redis+sentinel://s1/", "/MASTER"),
            ("redis+sentinel://s1/hunter2 m", "/MASTER"),
            ("redis+sentinel://s1/m?db=1", "/MASTER"),
            ("redis+sentinel://s1/m/hunter2", "the database"),
            ("rediss+sentinel://s1/m/70000", "the database"),
            ("redis+sentinel://s1/m/0/1", "the database"),
            ("redis+cluster://", "one of the hosts"),
            ("redis+cluster://a:hunter2", "one of the hosts"),
            ("redis+cluster://a,a", "names a host twice"),
            ("redis+cluster://a/1", "no database but 0"),
            ("rediss+cluster://a/hunter2", "the database"),
        ] {
            let complaint = read(url).unwrap().map(|_| ()).unwrap_err();
            let said = format!("{complaint:?}");
            assert!(said.contains(says), "{url}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
