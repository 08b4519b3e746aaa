//! The checklist, key by key: a good configuration passes every line, each row changes one thing, and only the line
//! that is named says so. A line that no row names is no line.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;
use crate::config::{Environment, load};

const GOOD: &str = r#"
mode = "production"
[server]
https = ["[::]:8443"]
http = ["[::]:8080"]
admin = "127.0.0.1:8444"
plain = []
trusted_proxies = ["10.0.0.0/24"]
[server.limits]
handshake_timeout = "10s"
header_timeout = "10s"
[[tls.certificate]]
cert = "good.crt"
key = "private.key"
[hsts]
enabled = true
max_age = "365d"
include_subdomains = true
[session]
secret = { env = "SECRET" }
previous_secrets = []
idle_timeout = "8h"
absolute_timeout = "7d"
remember_idle_timeout = "30d"
remember_absolute_timeout = "90d"
rotate_every = "1h"
rotate_grace = "30s"
[session.cookie]
name = "auto"
http_only = true
same_site = "lax"
persistent = false
[session.cache]
max_age = "10s"
[session.store]
url = "rediss://foregate@redis.example.com"
password = { env = "PASSWORD" }
on_outage = "serve-cached"
outage_grace = "60s"
[login]
attempts_per_client = "20/m"
attempts_per_user = "5/m"
[auth.local]
users = "private.toml"
[identity.headers]
name = "X-Forwarded-Name"
[upstream.app]
servers = ["https://app.example.com"]
lenient = false
[[route]]
host = "app.example.com"
path = "/"
upstream = "app"
[cookies]
mode = "enforce"
secure = true
http_only = true
script_readable = ["csrftoken"]
same_site = "lax"
drop_domain = true
exempt = []
[csrf]
mode = "enforce"
trusted_origins = ["https://partner.example.com"]
[headers]
x_content_type_options = "nosniff"
x_frame_options = "SAMEORIGIN"
referrer_policy = "same-origin"
content_security_policy = "object-src 'none'"
cross_origin_opener_policy = "same-origin"
remove = ["Server", "X-Powered-By"]
[log]
level = "info"
access = true
"#;

/// What stands in [`GOOD`], what takes its place, and the line that says so.
const ROWS: &str = r#"
mode = "production" => mode = "development" => fail mode
https = ["[::]:8443"] => https = [] => warn server.https
http = ["[::]:8080"] => http = [] => warn server.http
admin = "127.0.0.1:8444" => admin = "0.0.0.0:8444" => fail server.admin
plain = [] => plain = ["[::]:8081"] => warn server.plain
trusted_proxies = ["10.0.0.0/24"] => trusted_proxies = ["::/0"] => fail server.trusted_proxies
handshake_timeout = "10s" => handshake_timeout = "5m" => warn server.limits.handshake_timeout
header_timeout = "10s" => header_timeout = "5m" => warn server.limits.header_timeout
cert = "good.crt" => cert = "ended.crt" => fail tls.certificate.cert
cert = "good.crt" => cert = "soon.crt" => warn tls.certificate.cert
cert = "good.crt" => cert = "early.crt" => fail tls.certificate.cert
cert = "good.crt" => cert = "self.crt" => fail tls.certificate.cert
key = "private.key" => key = "open.key" => fail tls.certificate.key
key = "private.key" => key = "shared.key" => warn tls.certificate.key
host = "app.example.com" => host = "other.example.com" => fail tls.certificate
enabled = true => enabled = false => fail hsts.enabled
max_age = "365d" => max_age = "180d" => warn hsts.max_age
include_subdomains = true => include_subdomains = false => warn hsts.include_subdomains
secret = { env = "SECRET" } => secret = { env = "WORDS" } => fail session.secret
secret = { env = "SECRET" } => secret = { file = "open.secret" } => warn session.secret
previous_secrets = [] => previous_secrets = [{ env = "OLD" }] => warn session.previous_secrets
idle_timeout = "8h" => idle_timeout = "2d" => warn session.idle_timeout
absolute_timeout = "7d" => absolute_timeout = "31d" => warn session.absolute_timeout
remember_idle_timeout = "30d" => remember_idle_timeout = "31d" => warn session.remember_idle_timeout
remember_absolute_timeout = "90d" => remember_absolute_timeout = "91d" => warn session.remember_absolute_timeout
rotate_every = "1h" => rotate_every = "2d" => warn session.rotate_every
rotate_grace = "30s" => rotate_grace = "1h" => warn session.rotate_grace
max_age = "10s" => max_age = "2m" => warn session.cache.max_age
name = "auto" => name = "sid" => fail session.cookie.name
http_only = true => http_only = false => fail session.cookie.http_only
same_site = "lax" => same_site = "none" => fail session.cookie.same_site
name = "auto" => domain = "example.com" => warn session.cookie.domain
persistent = false => persistent = true => warn session.cookie.persistent
rediss://foregate@redis.example.com => redis://foregate@redis.example.com => fail session.store.url
rediss://foregate@redis.example.com => redis+sentinel://foregate@one,two/main => fail session.store.url
rediss://foregate@redis.example.com => redis+cluster://foregate@127.0.0.1,two => fail session.store.url
password = { env = "PASSWORD" } => password = { file = "open.secret" } => warn session.store.password
rediss://foregate@redis.example.com => rediss://redis.example.com => warn session.store.user
outage_grace = "60s" => outage_grace = "1h" => warn session.store.outage_grace
attempts_per_client = "20/m" => attempts_per_client = "off" => fail login.attempts_per_client
attempts_per_client = "20/m" => attempts_per_client = "20/s" => warn login.attempts_per_client
attempts_per_user = "5/m" => attempts_per_user = "off" => fail login.attempts_per_user
attempts_per_user = "5/m" => attempts_per_user = "5/s" => warn login.attempts_per_user
users = "private.toml" => users = "open.toml" => fail auth.local.users
name = "X-Forwarded-Name" => strip = ["Remote-User"] => warn identity.headers.strip
servers = ["https://app.example.com"] => servers = ["http://app.example.com"] => warn upstream.app.servers
lenient = false => lenient = true => warn upstream.app.lenient
host = "app.example.com" => host = "*" => warn route.host
path = "/" => access = "public" => warn route.access
path = "/" => preflight = "pass" => warn route.preflight
path = "/" => encoded_slashes = "pass" => warn route.encoded_slashes
path = "/" => underscore_headers = "pass" => warn route.underscore_headers
path = "/" => csrf = "report" => warn route.csrf
[cookies]/mode = "enforce" => mode = "report" => warn cookies.mode
[cookies]/mode = "enforce" => mode = "off" => fail cookies.mode
secure = true => secure = false => fail cookies.secure
[cookies]/http_only = true => http_only = false => fail cookies.http_only
script_readable = ["csrftoken"] => script_readable = ["*"] => fail cookies.script_readable
[cookies]/same_site = "lax" => same_site = "none" => warn cookies.same_site
drop_domain = true => drop_domain = false => warn cookies.drop_domain
exempt = [] => exempt = ["legacy"] => warn cookies.exempt
[csrf] => [[cookies.rule]]\nname = "a"\nhttp_only = false\n[csrf] => warn cookies.rule
[csrf]/mode = "enforce" => mode = "report" => warn csrf.mode
[csrf]/mode = "enforce" => mode = "off" => fail csrf.mode
https://partner.example.com => http://partner.example.com => fail csrf.trusted_origins
x_content_type_options = "nosniff" => x_content_type_options = "" => fail headers.x_content_type_options
x_frame_options = "SAMEORIGIN" => x_frame_options = "" => fail headers.x_frame_options
referrer_policy = "same-origin" => referrer_policy = "unsafe-url" => warn headers.referrer_policy
content_security_policy = "object-src 'none'" => content_security_policy = "" => warn headers.content_security_policy
cross_origin_opener_policy = "same-origin" => cross_origin_opener_policy = "" => warn headers.cross_origin_opener_policy
remove = ["Server", "X-Powered-By"] => remove = [] => warn headers.remove
level = "info" => level = "debug" => warn log.level
access = true => access = false => warn log.access
"#;

/// Changes after which another line has to say something, too.
const SEVERAL: &str = r#"
url = "rediss://foregate@redis.example.com"\npassword = { env = "PASSWORD" } => url = "memory:" => fail session.store.url
url = "rediss://foregate@redis.example.com"\npassword = { env = "PASSWORD" } => url = "file:s.redb" => warn session.store.url
rediss://foregate@redis.example.com"\npassword = { env = "PASSWORD" } => rediss://redis.example.com" => fail session.store.password, warn session.store.user
"#;

/// 2026-06-01, when the certificates but for those with another name are good.
const NOW: Timestamp = Timestamp::from_seconds(1_780_272_000);

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn environment() -> Environment {
    Environment::from_pairs([
        ("SECRET", SECRET),
        ("OLD", "fedcba9876543210fedcba9876543210"),
        ("WORDS", "secretsecretsecretsecretsecretsecret"),
        ("PASSWORD", "from outside"),
    ])
}

/// A folder with all that the rows name.
fn stage() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (authority, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name.push(DnType::CommonName, "A test's authority");
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(issuer, authority);
    let valid = |from: i32, until: (i32, u8)| {
        let mut params = CertificateParams::new(["app.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until.0, until.1, 10);
        params
    };
    for (name, from, until) in [
        ("good.crt", 2026, (2027, 1)),
        ("soon.crt", 2026, (2026, 6)),
        ("ended.crt", 2025, (2026, 5)),
        ("early.crt", 2027, (2028, 1)),
    ] {
        put(name, &pem("CERTIFICATE", valid(from, until).signed_by(&key, &issuer).unwrap().der()), 0o644);
    }
    put("self.crt", &pem("CERTIFICATE", valid(2026, (2027, 1)).self_signed(&key).unwrap().der()), 0o644);
    for (name, mode) in [("private.key", 0o640), ("open.key", 0o644), ("shared.key", 0o660)] {
        put(name, &pem("PRIVATE KEY", &key.serialize_der()), mode);
    }
    put("private.toml", "", 0o600);
    put("open.toml", "", 0o644);
    put("open.secret", SECRET, 0o644);
    folder
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn lines_of(folder: &Path, text: &str) -> Vec<Check> {
    let path = folder.join("proxy.toml");
    fs::write(&path, text).unwrap();
    let loaded = load(&path, &environment()).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    checklist(&loaded, NOW)
}

/// The lines that do not pass.
fn told(folder: &Path, text: &str) -> String {
    let lines = lines_of(folder, text).into_iter().filter(|line| line.status != Status::Pass);
    let told = lines.map(|line| {
        assert!(!line.fix.is_empty() && !line.seen.is_empty(), "{line:?}");
        let status = if line.status == Status::Fail { "fail" } else { "warn" };
        format!("{status} {}", line.id)
    });
    told.collect::<Vec<_>>().join(", ")
}

/// [`GOOD`] with the change: the first place counts, from a `[section]/` on where one is named.
fn changed(place: &str, with: &str) -> String {
    let (section, place) = place.split_once("]/").unwrap_or(("", place));
    let from = GOOD.find(section).unwrap_or_else(|| panic!("{section}"));
    let (before, after) = GOOD.split_at(from);
    let place = format!("\n{place}").replace("\\n", "\n");
    let with = format!("\n{with}").replace("\\n", "\n");
    let (place, with) = if after.contains(&place) { (&*place, &*with) } else { (&place[1..], &with[1..]) };
    assert!(after.contains(place), "{place}");
    format!("{before}{}", after.replacen(place, with, 1))
}

fn rows(text: &'static str) -> impl Iterator<Item = [&'static str; 3]> {
    text.lines().filter(|line| !line.is_empty()).map(|line| {
        let fields: Vec<&str> = line.split(" => ").collect();
        fields.try_into().unwrap_or_else(|fields| panic!("{fields:?}"))
    })
}

#[test]
fn a_good_configuration_passes_every_line_and_each_change_is_told_by_its_own() {
    let folder = stage();
    assert_eq!(told(folder.path(), GOOD), "");
    let mut dead: BTreeSet<String> = lines_of(folder.path(), GOOD).into_iter().map(|line| line.id).collect();
    assert!(dead.len() > 50, "{dead:?}");
    for [place, with, expected] in rows(ROWS).chain(rows(SEVERAL)) {
        assert_eq!(told(folder.path(), &changed(place, with)), expected, "{place} => {with}");
        for id in expected.split(", ").filter_map(|told| told.split(' ').nth(1)) {
            dead.remove(id);
        }
    }
    assert_eq!(dead, BTreeSet::new(), "lines that no row shows to be alive");
}

#[test]
fn a_certificate_is_looked_at_with_the_time_that_it_is() {
    let folder = stage();
    fs::write(folder.path().join("proxy.toml"), GOOD).unwrap();
    let loaded = load(&folder.path().join("proxy.toml"), &environment()).unwrap();
    let later = NOW.plus(Duration::from_secs(400 * 86_400));
    let ended = checklist(&loaded, later).into_iter().find(|line| line.id == "tls.certificate.cert").unwrap();
    assert!(ended.status == Status::Fail && ended.seen.contains("2027-01-10"), "{ended:?}");
}

#[test]
fn what_needs_no_remedy_on_this_machine_passes_there() {
    let folder = stage();
    for (place, with) in [
        ("rediss://foregate@redis.example.com", "redis://foregate@127.0.0.1"),
        ("rediss://foregate@redis.example.com", "redis+unix://foregate@/run/redis.sock"),
        ("rediss://foregate@redis.example.com", "redis+sentinel://foregate@localhost,[::1]/main"),
        ("rediss://foregate@redis.example.com", "rediss+cluster://foregate@one,two"),
        (
            "servers = [\"https://app.example.com\"]",
            "servers = [\"unix:/run/app.sock\", \"http://[::1]:9000\"]",
        ),
        ("admin = \"127.0.0.1:8444\"", "admin = \"off\""),
        ("name = \"auto\"", "name = \"__Host-sid\""),
        (
            "x_frame_options = \"SAMEORIGIN\"\nreferrer_policy = \"same-origin\"\ncontent_security_policy = \"object-src 'none'\"",
            "x_frame_options = \"\"\nreferrer_policy = \"same-origin\"\ncontent_security_policy = \"frame-ancestors 'self'\"",
        ),
    ] {
        assert_eq!(told(folder.path(), &changed(place, with)), "", "{place} => {with}");
    }
}

#[test]
fn the_manual_has_a_row_for_each_line() {
    let folder = stage();
    let manual = include_str!("../../../docs/production.md");
    for line in lines_of(folder.path(), GOOD) {
        let id = line.id.replace("upstream.app.", "upstream.NAME.");
        assert!(manual.contains(&format!("| `{id}` |")), "docs/production.md does not tell of {id}");
    }
}
