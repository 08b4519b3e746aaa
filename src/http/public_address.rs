//! Addresses in an application's answers that lead past the proxy (RFC 9110 §7.6, §10.2.2).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Authority, Origin, Scheme};

/// What an application calls itself, and what it is called outside.
#[derive(Clone, Copy, Debug)]
pub struct PublicAddress<'a> {
    /// Its servers.
    pub servers: &'a [Origin],
    /// What the client asked by.
    pub scheme: Scheme,
    /// The host that the client asked for.
    pub authority: &'a Authority,
    /// What was cut off the path: `/` for nothing, else without a slash at its end.
    pub mount: &'a str,
}

impl PublicAddress<'_> {
    /// Rewrites `Location`, `Content-Location` and `Refresh` where they lead to a server itself, or by http to the host
    /// that was asked for by https. All else stays as it is, above all what cannot be read for sure.
    pub fn publish(&self, headers: &mut HeaderMap) {
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            rewrite(headers, &name, |address| self.published(address));
        }
        rewrite(headers, &header::REFRESH, |line| {
            let (before, address, after) = refreshed(line)?;
            Some(format!("{before}{}{after}", self.published(address)?))
        });
    }

    /// The public form of an address; `None` where it is none of ours, or public already.
    fn published(&self, address: &str) -> Option<String> {
        let (scheme, rest) = if let Some(rest) = address.strip_prefix("//") {
            (self.scheme, rest)
        } else {
            let (scheme, rest) = address.split_once("://")?;
            (Scheme::parse(scheme.as_bytes())?, rest)
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let authority = Authority::parse(authority).ok()?;
        if authority.is_same(self.authority, self.scheme) && scheme == self.scheme {
            return None;
        }
        let mount = if self.servers.iter().any(|server| server.is(scheme, &authority)) {
            self.mount.trim_end_matches('/')
        } else if scheme == Scheme::Http && authority.host() == self.authority.host() {
            ""
        } else {
            return None;
        };
        let slash = if mount.is_empty() || path.starts_with('/') { "" } else { "/" };
        Some(format!("{}://{}{mount}{slash}{path}", self.scheme.as_str(), self.authority))
    }
}

fn rewrite(headers: &mut HeaderMap, name: &HeaderName, with: impl Fn(&str) -> Option<String>) {
    let header::Entry::Occupied(mut lines) = headers.entry(name) else { return };
    for line in lines.iter_mut() {
        let rewritten = line.to_str().ok().and_then(&with);
        if let Some(value) = rewritten.and_then(|text| HeaderValue::try_from(text).ok()) {
            *line = value;
        }
    }
}

/// The address in `5; url="ADDRESS"`, and what stands around it, as browsers read it (HTML, "shared declarative refresh
/// steps"). `None` where there is none.
fn refreshed(line: &str) -> Option<(&str, &str, &str)> {
    let delay = line.find(|c: char| !c.is_ascii_digit() && c != '.' && !c.is_ascii_whitespace())?;
    let rest = line[delay..].trim_start_matches([';', ',']).trim_ascii_start();
    let rest = unnamed(rest).unwrap_or(rest);
    let (address, after) = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let quoted = &rest[1..];
            quoted.split_at(quoted.find(quote).unwrap_or(quoted.len()))
        }
        _ => (rest, ""),
    };
    let before = line.len() - after.len() - address.len();
    Some((&line[..before], address, after))
}

/// What comes after `url=`.
fn unnamed(text: &str) -> Option<&str> {
    let name = text.get(..3).filter(|name| name.eq_ignore_ascii_case("url"))?;
    Some(text[name.len()..].trim_ascii_start().strip_prefix('=')?.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(name: &HeaderName, line: &'static str, (asked, mount): (&str, &str)) -> String {
        let servers = ["http://127.0.0.1:9000", "https://wiki.internal", "http://[::1]:9000"];
        let servers = servers.map(|server| Origin::parse(server).unwrap());
        let (scheme, authority) = asked.split_once("://").unwrap();
        let authority = Authority::parse(authority).unwrap();
        let scheme = Scheme::parse(scheme.as_bytes()).unwrap();
        let public = PublicAddress { servers: &servers, scheme, authority: &authority, mount };
        let mut headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(line))]);
        public.publish(&mut headers);
        headers[name].to_str().unwrap().to_owned()
    }

    const OUTSIDE: (&str, &str) = ("https://app.test:8443", "/");

    #[test]
    fn what_leads_past_the_proxy_leads_to_it() {
        for (line, public) in [
            ("http://127.0.0.1:9000/a?b#c", "https://app.test:8443/a?b#c"),
            ("HTTP://127.0.0.1:9000", "https://app.test:8443"),
            ("http://127.0.0.1:9000?b", "https://app.test:8443?b"),
            ("https://Wiki.Internal:443/", "https://app.test:8443/"),
            ("http://[0::1]:9000/", "https://app.test:8443/"),
            ("//wiki.internal/a", "https://app.test:8443/a"),
            ("http://app.test/a", "https://app.test:8443/a"),
            ("http://APP.test:80/a", "https://app.test:8443/a"),
            ("http://app.test:8443/a", "https://app.test:8443/a"),
            ("http://app.test:9000/http://evil.test", "https://app.test:8443/http://evil.test"),
        ] {
            for name in [header::LOCATION, header::CONTENT_LOCATION] {
                assert_eq!(published(&name, line, OUTSIDE), public, "{line}");
            }
        }
    }

    #[test]
    fn what_leads_elsewhere_or_cannot_be_read_stays() {
        for line in [
            "/a",
            "a",
            "?b",
            "",
            "https://app.test:8443/a",
            "https://app.test/a",
            "//app.test:8443/a",
            "http://evil.test/",
            "http://127.0.0.1:9001/",
            "https://127.0.0.1:9000/",
            "http://127.0.0.1:9000@evil.test/",
            "http://evil.test@127.0.0.1:9000/",
            "http://127.0.0.1:9000\\@evil.test/",
            "http:/127.0.0.1:9000/",
            "http:\\\\127.0.0.1:9000/",
            " http://127.0.0.1:9000/",
            "http://app.test.evil.test/",
            "ftp://app.test/",
            "javascript://app.test/%0aalert(1)",
        ] {
            assert_eq!(published(&header::LOCATION, line, OUTSIDE), line);
        }
    }

    #[test]
    fn a_refresh_leads_to_the_proxy_however_it_is_written() {
        for (line, public) in [
            ("5; url=http://127.0.0.1:9000/a", "5; url=https://app.test:8443/a"),
            ("0;URL='http://app.test/a' ", "0;URL='https://app.test:8443/a' "),
            ("1.5 , Url = \"http://app.test/a\"x", "1.5 , Url = \"https://app.test:8443/a\"x"),
            ("0; url=\"http://app.test/a", "0; url=\"https://app.test:8443/a"),
            ("0; url=/a", "0; url=/a"),
            ("0; url=http://evil.test/", "0; url=http://evil.test/"),
            ("5", "5"),
            ("0; http://app.test/", "0; https://app.test:8443/"),
            ("0 url = http://app.test/", "0 url = https://app.test:8443/"),
            ("0; url", "0; url"),
            ("0;", "0;"),
            ("", ""),
        ] {
            assert_eq!(published(&header::REFRESH, line, OUTSIDE), public, "{line}");
        }
    }

    #[test]
    fn what_was_cut_off_the_path_comes_back_before_a_servers_own() {
        for (line, public) in [
            ("http://127.0.0.1:9000/a", "https://app.test/wiki/a"),
            ("http://127.0.0.1:9000", "https://app.test/wiki/"),
            ("http://127.0.0.1:9000?b", "https://app.test/wiki/?b"),
            ("http://app.test/wiki/a", "https://app.test/wiki/a"),
        ] {
            assert_eq!(published(&header::LOCATION, line, ("https://app.test", "/wiki")), public, "{line}");
        }
    }

    #[test]
    fn on_a_plain_listener_the_public_address_is_plain() {
        let plain = ("http://127.0.0.1:8081", "/");
        for (line, public) in [
            ("http://127.0.0.1:9000/a", "http://127.0.0.1:8081/a"),
            ("http://127.0.0.1:8081/a", "http://127.0.0.1:8081/a"),
            ("https://127.0.0.1:8081/a", "https://127.0.0.1:8081/a"),
        ] {
            assert_eq!(published(&header::LOCATION, line, plain), public, "{line}");
        }
    }
}
