//! `[server]`, `[tls]`, `[hsts]`: what the network meets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::{Check, line, listed, must, should};
use crate::base::clock::Timestamp;
use crate::base::duration;
use crate::config::{CertificateFiles, Config, HostPattern, Server, TlsVersion};
use crate::listener::CertificateFacts;

const DAY: Duration = Duration::from_secs(86_400);

/// Who renews a certificate by hand needs so long.
const NOTICE: Duration = DAY.saturating_mul(14);

/// What browsers' preload lists and ASVS 3.4.1 ask for.
const YEAR: Duration = DAY.saturating_mul(365);

/// A client that takes longer for a head is an attack.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn lines(config: &Config, now: Timestamp) -> Vec<Check> {
    let server = &config.server;
    let mut lines = vec![https(config), http(server), plain(server), admin(server), trusted_proxies(server)];
    lines.extend(patience(server));
    for files in &config.tls.certificates {
        lines.extend(certificate(files, now));
        lines.push(key_file(&files.key));
    }
    lines.push(names(config));
    lines.extend(hsts(config));
    lines
}

fn https(config: &Config) -> Check {
    let versions = match config.tls.min_version {
        TlsVersion::Tls12 => "TLS 1.2 and 1.3",
        TlsVersion::Tls13 => "TLS 1.3",
    };
    let seen = match &*config.server.https {
        [] => "none: somebody else does TLS".to_owned(),
        places => format!("{}, {versions}", listed(places, "")),
    };
    let none = config.server.https.is_empty();
    line("server.https", seen, none.then(|| should("serve https here, so that no hop is in the clear")))
}

fn http(server: &Server) -> Check {
    let seen = listed(&server.http, "none: who types a name without https:// reaches nobody");
    let none = server.http.is_empty();
    line("server.http", seen, none.then(|| should("name an address, whose requests are sent on to https")))
}

fn plain(server: &Server) -> Check {
    let remedy = (!server.plain.is_empty())
        .then(|| should("let trusted proxies speak https, or see to it that nobody reads along on the way"));
    line("server.plain", listed(&server.plain, "none"), remedy)
}

fn admin(server: &Server) -> Check {
    let seen = server.admin.map_or_else(|| "off".to_owned(), |address| address.to_string());
    let open = server.admin.is_some_and(|address| !address.ip().is_loopback());
    let remedy = "write 127.0.0.1:PORT or \"off\": metrics tell everybody on the network about users";
    line("server.admin", seen, open.then(|| must(remedy)))
}

fn trusted_proxies(server: &Server) -> Check {
    let everybody = server.trusted_proxies.trusts_everybody();
    let seen = match (server.trusted_proxies.is_empty(), everybody) {
        (true, _) => "nobody",
        (false, false) => "some networks",
        (false, true) => "everybody: whoever reaches the proxy says which address they have",
    };
    line("server.trusted_proxies", seen, everybody.then(|| must("name the proxies' own networks")))
}

fn patience(server: &Server) -> [Check; 2] {
    let limits = &server.limits;
    [
        ("server.limits.handshake_timeout", limits.handshake_timeout),
        ("server.limits.header_timeout", limits.header_timeout),
    ]
    .map(|(key, time)| {
        let long = time > PATIENCE;
        let remedy = "make it 60s at most: slow clients hold connections for so long";
        line(key, duration::format(time), long.then(|| should(remedy)))
    })
}

/// Nothing where it cannot be read: `check` itself says so.
fn certificate(files: &CertificateFiles, now: Timestamp) -> Option<Check> {
    let facts = CertificateFacts::read(&files.cert).ok()?;
    let (path, ends_at) = (files.cert.display(), facts.ends_at.rfc3339());
    let renew = "put a renewed certificate there; the running proxy takes it by itself";
    let (seen, remedy) = if facts.ends_at <= now {
        (format!("{path} has ended at {ends_at}"), Some(must(renew)))
    } else if facts.begins_at > now {
        let begins_at = facts.begins_at.rfc3339();
        (format!("{path} is not good before {begins_at}"), Some(must("check the clock, or wait")))
    } else if facts.is_self_signed {
        let remedy = "take one of an authority that browsers know";
        (format!("{path} is vouched for by itself alone"), Some(must(remedy)))
    } else {
        let soon = facts.ends_at.since(now) < NOTICE;
        (format!("{path}, good until {ends_at}"), soon.then(|| should(renew)))
    };
    Some(line("tls.certificate.cert", seen, remedy))
}

fn key_file(path: &Path) -> Check {
    private_file("tls.certificate.key", path)
        .unwrap_or_else(|| line("tls.certificate.key", "not there", None))
}

/// Who may open a file that is nobody's but the proxy's; `None` where it is not there.
pub(super) fn private_file(key: &str, path: &Path) -> Option<Check> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let shown = path.display();
    let remedy = match mode {
        _ if mode & 0o007 != 0 => Some(must(format!("chmod 600 {shown}"))),
        _ if mode & 0o020 != 0 => Some(should(format!("chmod g-w {shown}"))),
        _ => None,
    };
    Some(line(key, format!("{shown}, mode {mode:o}"), remedy))
}

/// Each host by its name has a certificate.
fn names(config: &Config) -> Check {
    let read = |files: &CertificateFiles| CertificateFacts::read(&files.cert).ok();
    let certificates: Vec<_> = config.tls.certificates.iter().filter_map(read).collect();
    let exact = config.routes.iter().filter_map(|route| match &route.host {
        HostPattern::Exact(host) => Some(host.as_str()),
        HostPattern::Subdomains(_) | HostPattern::Any => None,
    });
    let is_bare = |host: &&str| !certificates.iter().any(|facts| facts.covers(host));
    let served = !config.server.https.is_empty();
    let bare: Vec<&str> = exact.filter(|host| served && is_bare(host)).collect();
    match &*bare {
        [] => line("tls.certificate", "every host that a route names has one", None),
        bare => {
            let seen = format!("none names {}", listed(bare, ""));
            line("tls.certificate", seen, Some(must("add [[tls.certificate]] for them")))
        }
    }
}

fn hsts(config: &Config) -> Vec<Check> {
    let hsts = &config.hsts;
    let age = duration::format(hsts.max_age);
    let subdomains = "set it true once every sub-domain speaks https: cookies of theirs reach this host";
    let enabled = must("set it true: without it a first request in the clear gives the session away");
    vec![
        line("hsts.enabled", hsts.enabled.to_string(), (!hsts.enabled).then_some(enabled)),
        line("hsts.max_age", age, (hsts.max_age < YEAR).then(|| should("write \"365d\" or more"))),
        line(
            "hsts.include_subdomains",
            hsts.include_subdomains.to_string(),
            (!hsts.include_subdomains).then(|| should(subdomains)),
        ),
    ]
}
