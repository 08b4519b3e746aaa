//! Whether the way to the site is safe: http, HSTS, versions of TLS.

use url::Url;

use super::super::check::Check;
use super::client::{Answer, Client};
use super::findings::{fail, pass, skip, warn};
use super::hello::{self, Old};

/// What browsers' preload lists ask for.
const YEAR: u64 = 31_536_000;
/// Beneath that nobody takes HSTS for meant.
const HALF_YEAR: u64 = 180 * 86_400;

/// What `Strict-Transport-Security` says (RFC 6797 §6.1).
#[derive(Debug, Default, PartialEq, Eq)]
struct Hsts {
    max_age: Option<u64>,
    subdomains: bool,
    preload: bool,
}

/// Whether http leads to https at once, and whether it sets cookies.
pub(super) async fn plain(client: &mut Client, site: &Url, http: Option<&Url>) -> Vec<Check> {
    let address = match (http, site.port()) {
        (Some(http), _) => http.clone(),
        (None, None) => on_port_80(site),
        (None, Some(_)) => {
            let why = "the site is on a port of its own: say --http URL";
            return vec![skip("http.redirect", why), skip("http.cookie", why)];
        }
    };
    match client.plain(&address).await {
        Ok(answer) => vec![redirect(client, &answer), plain_cookie(&answer)],
        Err(trouble) => {
            let why = format!("nobody answers by http: {trouble}");
            vec![skip("http.redirect", why.clone()), skip("http.cookie", why)]
        }
    }
}

fn on_port_80(site: &Url) -> Url {
    let mut address = site.clone();
    address.set_scheme("http").expect("https may become http");
    address
}

fn redirect(client: &Client, answer: &Answer) -> Check {
    const ID: &str = "http.redirect";
    const FIX: &str = "answer every http request by a 301 or 308 to the same address by https";
    let status = answer.status;
    match answer.redirect() {
        Some(to) if client.is_own(&to) => pass(ID, format!("{status} to {to}")),
        Some(to) if to.scheme() == "https" => warn(ID, format!("{status} to another host, {to}"), FIX),
        Some(to) => fail(ID, format!("{status} to {to}"), FIX),
        None if status.is_client_error() => pass(ID, format!("http is refused: {status}")),
        None => fail(ID, format!("{} answers {status} by http", answer.url), FIX),
    }
}

fn plain_cookie(answer: &Answer) -> Check {
    const ID: &str = "http.cookie";
    match answer.header("set-cookie") {
        None => pass(ID, "no cookie is set by http"),
        Some(_) => fail(ID, "a cookie is set by http", "set cookies by https alone, with Secure"),
    }
}

/// Whether browsers will come by https from now on.
pub(super) fn hsts(answer: &Answer) -> Vec<Check> {
    const FIX: &str = "Strict-Transport-Security: max-age=31536000; includeSubDomains";
    let Some(value) = answer.header("strict-transport-security") else {
        let why = "there is no Strict-Transport-Security";
        return vec![fail("hsts", why, FIX), skip("hsts.preload", why)];
    };
    let said = Hsts::read(&value);
    let main = match said.max_age {
        None => fail("hsts", format!("no max-age: {value}"), FIX),
        Some(0) => fail("hsts", format!("switched off: {value}"), FIX),
        Some(age) if age < HALF_YEAR => fail("hsts", format!("less than half a year: {value}"), FIX),
        Some(_) => pass("hsts", value.clone()),
    };
    let is_ready = said.max_age >= Some(YEAR) && said.subdomains && said.preload;
    let preload = if is_ready {
        pass("hsts.preload", "ready for browsers' lists")
    } else {
        skip("hsts.preload", "not asked for: max-age of a year, includeSubDomains and preload are")
    };
    vec![main, preload]
}

impl Hsts {
    /// Of several policies browsers read the first.
    fn read(value: &str) -> Self {
        let mut said = Self::default();
        for directive in value.split(',').next().unwrap_or_default().split(';') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "max-age" => said.max_age = value.trim().trim_matches('"').parse().ok(),
                "includesubdomains" => said.subdomains = true,
                "preload" => said.preload = true,
                _ => {}
            }
        }
        said
    }
}

/// Whether old versions of TLS are refused. That the site speaks a new one is known by then.
pub(super) async fn versions(client: &Client, site: &Url) -> Check {
    let host = site.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let mut accepted = Vec::new();
    for version in Old::ALL {
        match client.connect(site).await {
            Ok(stream) => {
                if hello::is_accepted(stream, version, host).await {
                    accepted.push(version.name());
                }
            }
            Err(trouble) => return skip("tls.versions", trouble.to_string()),
        }
    }
    if accepted.is_empty() {
        return pass("tls.versions", "TLS 1.0 and 1.1 are refused");
    }
    let seen = format!("{} accepted", accepted.join(" and "));
    fail("tls.versions", seen, "allow TLS 1.2 and 1.3 alone (RFC 8996)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hsts_is_read_as_browsers_read_it() {
        let full = Hsts { max_age: Some(YEAR), subdomains: true, preload: true };
        assert_eq!(Hsts::read("Max-Age=\"31536000\" ; INCLUDESUBDOMAINS; preload; x=y"), full);
        assert_eq!(Hsts::read("max-age=5, max-age=31536000").max_age, Some(5));
        assert_eq!(Hsts::read("max-age=-1").max_age, None);
    }
}
