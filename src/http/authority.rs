//! The host a request is for (RFC 9110 §4.2 and §7.2, RFC 3986 §3.2).

use std::fmt;
use std::net::Ipv6Addr;

use http::{HeaderMap, Version, header, request};

/// What carries HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Within TLS.
    Https,
}

impl Scheme {
    /// The port that goes without saying.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// As it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// From its name, in any case.
    pub const fn parse(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"https") {
            Some(Self::Https)
        } else if name.eq_ignore_ascii_case(b"http") {
            Some(Self::Http)
        } else {
            None
        }
    }
}

/// A host in canonical form, and a port where one was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    host: String,
    port: Option<u16>,
}

/// Why the host of a request is not known for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthority {
    /// No Host header, and no other place that names a host.
    #[error("no Host header")]
    Missing,
    /// Several Host headers, alike or not.
    #[error("more than one Host header")]
    Duplicate,
    /// The Host header and the target name different hosts.
    #[error("the Host header disagrees with the request's target")]
    Disagreeing,
    /// Not a domain name, an IPv4 address, or an IPv6 address in brackets.
    #[error("not a host name or address")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("not a port")]
    Port,
}

/// The longest that is read: what the DNS can carry.
const MAX_LEN: usize = 255;

impl Authority {
    /// From `host` or `host:port`.
    ///
    /// # Errors
    /// Where it is anything else, user information included.
    pub fn parse(text: &str) -> Result<Self, BadAuthority> {
        if text.len() > MAX_LEN {
            return Err(BadAuthority::Host);
        }
        let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (address, port) = bracketed.split_once(']').ok_or(BadAuthority::Host)?;
            (ipv6(address)?, port)
        } else {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (name(host)?, port)
        };
        Ok(Self { host, port: parse_port(port)? })
    }

    /// The host that a request is for: its target's where that names one (absolute form, `:authority`), which
    /// the Host header may only repeat; else the Host header's.
    ///
    /// # Errors
    /// Where there is none, or more than one. Only HTTP/2 does without a Host header (RFC 9113 §8.3.1).
    pub fn of_request(parts: &request::Parts, scheme: Scheme) -> Result<Self, BadAuthority> {
        let host = host_header(&parts.headers)?;
        let Some(target) = parts.uri.authority() else { return host.ok_or(BadAuthority::Missing) };
        let target = Self::parse(target.as_str())?;
        match host {
            None if parts.version >= Version::HTTP_2 => Ok(target),
            None => Err(BadAuthority::Missing),
            Some(host) if host.is_same(&target, scheme) => Ok(target),
            Some(_) => Err(BadAuthority::Disagreeing),
        }
    }

    /// The host in lower case: a name without the root's dot, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one was given.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port that was given or goes without saying.
    pub fn port_or_default(&self, scheme: Scheme) -> u16 {
        self.port.unwrap_or(scheme.default_port())
    }

    /// The host as it stands in a URL: an IPv6 address in brackets.
    pub fn host_for_url(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// Whether both are one place; the scheme's own port may go without saying.
    pub fn is_same(&self, other: &Self, scheme: Scheme) -> bool {
        self.host == other.host && self.port_or_default(scheme) == other.port_or_default(scheme)
    }
}

/// As in a URL or a Host header.
impl fmt::Display for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.host_for_url())?;
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

fn host_header(headers: &HeaderMap) -> Result<Option<Authority>, BadAuthority> {
    let mut lines = headers.get_all(header::HOST).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(BadAuthority::Duplicate);
    }
    Authority::parse(line.to_str().map_err(|_| BadAuthority::Host)?).map(Some)
}

fn name(text: &str) -> Result<String, BadAuthority> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if text.split('.').all(is_label) { Ok(text.to_ascii_lowercase()) } else { Err(BadAuthority::Host) }
}

/// In the form of RFC 5952.
fn ipv6(text: &str) -> Result<String, BadAuthority> {
    text.parse::<Ipv6Addr>().map(|address| address.to_string()).map_err(|_| BadAuthority::Host)
}

/// Reads nothing, or a colon and digits.
fn parse_port(text: &str) -> Result<Option<u16>, BadAuthority> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix(':').ok_or(BadAuthority::Host)?;
    if digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadAuthority::Port);
    }
    match digits.parse() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(BadAuthority::Port),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_host_has_one_form() {
        for (text, host, port) in [
            ("App.Example.COM", "app.example.com", None),
            ("app.example.com.", "app.example.com", None),
            ("app_1.test:8443", "app_1.test", Some(8443)),
            ("app.test.:1", "app.test", Some(1)),
            ("192.0.2.1:65535", "192.0.2.1", Some(65535)),
            ("[2001:DB8:0:0::1]", "2001:db8::1", None),
            ("[::1]:443", "::1", Some(443)),
        ] {
            assert_eq!(Authority::parse(text), Ok(Authority { host: host.to_owned(), port }), "{text}");
        }
    }

    #[test]
    fn hosts_that_are_none_are_refused() {
        for text in include_str!("../../tests/fixtures/bad_hosts.txt").lines() {
            if !text.starts_with('#') {
                assert!(Authority::parse(text).is_err(), "{text:?}");
            }
        }
        assert!(Authority::parse("").is_err());
        assert!(Authority::parse("a\0").is_err());
        assert!(Authority::parse(&"a".repeat(256)).is_err());
    }

    #[test]
    fn an_authority_is_written_as_in_a_url() {
        for text in ["app.test", "app.test:8443", "[::1]", "[::1]:8443"] {
            assert_eq!(Authority::parse(text).unwrap().to_string(), text);
        }
    }

    fn asked(version: Version, target: &str, hosts: &[&str]) -> Result<String, BadAuthority> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Authority::of_request(&parts, Scheme::Https).map(|authority| authority.to_string())
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        let h1 = |target, hosts: &[&str]| asked(Version::HTTP_11, target, hosts);
        assert_eq!(h1("/", &["App.test"]), Ok("app.test".to_owned()));
        assert_eq!(h1("/", &[]), Err(BadAuthority::Missing));
        assert_eq!(h1("/", &["a", "a"]), Err(BadAuthority::Duplicate));
        assert_eq!(h1("/", &["a, b"]), Err(BadAuthority::Host));
        assert_eq!(h1("/", &[""]), Err(BadAuthority::Host));
        assert_eq!(asked(Version::HTTP_10, "/", &[]), Err(BadAuthority::Missing));
    }

    #[test]
    fn a_host_header_may_only_repeat_the_targets() {
        let h1 = |target, hosts: &[&str]| asked(Version::HTTP_11, target, hosts);
        assert_eq!(h1("https://App.test/", &["app.test."]), Ok("app.test".to_owned()));
        assert_eq!(h1("https://app.test/", &["app.test:443"]), Ok("app.test".to_owned()));
        assert_eq!(h1("https://app.test/", &["app.test:80"]), Err(BadAuthority::Disagreeing));
        assert_eq!(h1("https://app.test/", &["b.test"]), Err(BadAuthority::Disagreeing));
        assert_eq!(h1("https://u@app.test/", &["app.test"]), Err(BadAuthority::Host));
        assert_eq!(h1("https://app.test/", &[]), Err(BadAuthority::Missing));
        assert_eq!(asked(Version::HTTP_2, "https://app.test/", &[]), Ok("app.test".to_owned()));
        assert_eq!(asked(Version::HTTP_2, "https://app.test/", &["b"]), Err(BadAuthority::Disagreeing));
    }
}
