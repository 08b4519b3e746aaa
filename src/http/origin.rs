//! Whose page had a browser send a request (Fetch Metadata; RFC 6454 §7; RFC 9110 §10.1.3).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Authority, Scheme};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A scheme, a host and a port: what browsers take for one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
}

impl Origin {
    /// From `https://HOST` or `http://HOST:PORT`; `None` where it is anything else: a path, user information, several
    /// origins, `null`. A browser takes `app.test.` for another place than `app.test`, so a dot at the end is none
    /// either.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let host = authority.split(':').next().unwrap_or_default();
        if host.ends_with('.') {
            return None;
        }
        Some(Self { scheme: Scheme::parse(scheme.as_bytes())?, authority: Authority::parse(authority).ok()? })
    }

    /// That of an address, whose path does not count.
    fn of_address(address: &str) -> Option<Self> {
        let start = address.find("://")? + 3;
        let end = address[start..].find(['/', '?', '#']).map_or(address.len(), |end| start + end);
        Self::parse(&address[..end])
    }

    /// Whether it is the place that a request is for; the scheme's own port may go without saying.
    pub fn is(&self, scheme: Scheme, authority: &Authority) -> bool {
        self.scheme == scheme && self.authority.is_same(authority, scheme)
    }

    /// Whether both are one place.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is(other.scheme, &other.authority)
    }
}

/// As in an `Origin` header.
impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", self.scheme.as_str(), self.authority)
    }
}

/// What the browser makes of the page that a request comes from (`Sec-Fetch-Site`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// It does not say: it is an old one, or none.
    Untold,
    /// A page of the very place that the request is for.
    SameOrigin,
    /// No page: the person's own doing.
    Nobody,
    /// A page of another place, or nobody can tell.
    Foreign,
}

impl Site {
    /// As `headers` tell it; a word that nobody knows and a second line make it foreign.
    pub fn of(headers: &HeaderMap) -> Self {
        match lines(headers, &SEC_FETCH_SITE) {
            Lines::None => Self::Untold,
            Lines::One(site) if site == "same-origin" => Self::SameOrigin,
            Lines::One(site) if site == "none" => Self::Nobody,
            Lines::One(_) | Lines::Several => Self::Foreign,
        }
    }
}

/// The page that a request comes from, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Nobody says.
    Untold,
    /// A page of this place.
    Origin(Origin),
    /// A page without a name (`null`): in a sandbox, or one that is kept secret.
    Nameless,
    /// It cannot be read, or in two ways.
    Unclear,
}

impl Sender {
    /// As `Origin` names it, alone.
    pub fn of_origin(headers: &HeaderMap) -> Self {
        match lines(headers, &header::ORIGIN) {
            Lines::None => Self::Untold,
            Lines::One(line) if line == "null" => Self::Nameless,
            Lines::One(line) => Self::read(line, Origin::parse),
            Lines::Several => Self::Unclear,
        }
    }

    /// As `Origin` names it, and where there is none, `Referer`.
    pub fn of(headers: &HeaderMap) -> Self {
        match (Self::of_origin(headers), lines(headers, &header::REFERER)) {
            (Self::Untold, Lines::None) => Self::Untold,
            (Self::Untold, Lines::One(line)) => Self::read(line, Origin::of_address),
            (Self::Untold, Lines::Several) => Self::Unclear,
            (told, _) => told,
        }
    }

    /// Its origin, where it has one.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Origin(origin) => Some(origin),
            Self::Untold | Self::Nameless | Self::Unclear => None,
        }
    }

    fn read(line: &HeaderValue, parse: impl Fn(&str) -> Option<Origin>) -> Self {
        line.to_str().ok().and_then(parse).map_or(Self::Unclear, Self::Origin)
    }
}

/// For logs: an origin, or a word. Nothing of what a client wrote stands in it but a host and a port.
impl fmt::Display for Sender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untold => out.write_str("untold"),
            Self::Origin(origin) => origin.fmt(out),
            Self::Nameless => out.write_str("null"),
            Self::Unclear => out.write_str("unclear"),
        }
    }
}

/// Where a form of the proxy's own was sent from, as the browser tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// From a page of the very host and scheme it is for.
    SameOrigin,
    /// From elsewhere, or so unclearly that it may be.
    Foreign,
    /// The client does not say: an old browser, or none.
    Unknown,
}

/// Reads `Sec-Fetch-Site` and `Origin`; where both are there both must say that it is the same origin.
pub fn provenance(headers: &HeaderMap, scheme: Scheme, authority: &Authority) -> Provenance {
    let site = match Site::of(headers) {
        Site::Untold => Provenance::Unknown,
        Site::SameOrigin => Provenance::SameOrigin,
        Site::Nobody | Site::Foreign => Provenance::Foreign,
    };
    let origin = match Sender::of_origin(headers) {
        Sender::Untold => Provenance::Unknown,
        Sender::Origin(origin) if origin.is(scheme, authority) => Provenance::SameOrigin,
        Sender::Origin(_) | Sender::Nameless | Sender::Unclear => Provenance::Foreign,
    };
    match (site, origin) {
        (Provenance::Unknown, told) | (told, Provenance::Unknown) => told,
        (Provenance::SameOrigin, Provenance::SameOrigin) => Provenance::SameOrigin,
        _ => Provenance::Foreign,
    }
}

/// The lines of one header.
enum Lines<'a> {
    None,
    One(&'a HeaderValue),
    Several,
}

fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Lines<'a> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Lines::None,
        (Some(line), None) => Lines::One(line),
        (Some(_), Some(_)) => Lines::Several,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn told(lines: &[(&'static str, &'static str)]) -> Provenance {
        let headers = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        provenance(&headers, Scheme::Https, &Authority::parse("app.test").unwrap())
    }

    #[test]
    fn the_same_origin_is_known_from_either_header() {
        assert_eq!(told(&[("sec-fetch-site", "same-origin")]), Provenance::SameOrigin);
        assert_eq!(told(&[("origin", "https://app.test")]), Provenance::SameOrigin);
        assert_eq!(told(&[("origin", "https://app.test:443")]), Provenance::SameOrigin);
        assert_eq!(
            told(&[("sec-fetch-site", "same-origin"), ("origin", "https://app.test")]),
            Provenance::SameOrigin
        );
        assert_eq!(told(&[]), Provenance::Unknown);
    }

    #[test]
    fn any_other_site_is_foreign() {
        for site in ["cross-site", "same-site", "none", "", "Same-Origin", "same-origin, same-origin"] {
            assert_eq!(told(&[("sec-fetch-site", site)]), Provenance::Foreign, "{site}");
        }
    }

    #[test]
    fn any_other_origin_is_foreign() {
        for origin in [
            "null",
            "",
            "http://app.test",
            "https://app.test:8443",
            "https://app.test/",
            "https://app.test.evil.test",
            "https://app.test.",
            "https://evil.test",
            "https://u@app.test",
            "https://app.test https://app.test",
            "https:app.test",
            "app.test",
        ] {
            assert_eq!(told(&[("origin", origin)]), Provenance::Foreign, "{origin}");
        }
    }

    #[test]
    fn headers_that_disagree_or_repeat_are_foreign() {
        let same = ("sec-fetch-site", "same-origin");
        assert_eq!(told(&[same, ("origin", "null")]), Provenance::Foreign);
        assert_eq!(told(&[same, same]), Provenance::Foreign);
        let here = ("origin", "https://app.test");
        assert_eq!(told(&[("sec-fetch-site", "cross-site"), here]), Provenance::Foreign);
        assert_eq!(told(&[here, here]), Provenance::Foreign);
    }

    #[test]
    fn an_origin_has_a_scheme_a_host_and_a_port_and_nothing_else() {
        for (text, origin) in [
            ("https://app.test", "https://app.test"),
            ("HTTPS://App.Test:8443", "https://app.test:8443"),
            ("http://[2001:DB8::1]:80", "http://[2001:db8::1]:80"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().to_string(), origin);
        }
        for text in [
            "",
            "null",
            "app.test",
            "//app.test",
            "ftp://app.test",
            "https://",
            "https://app.test/",
            "https://app.test:",
            "https://app.test:0",
            "https://app.test:65536",
            "https://app.test.",
            "https://app.test.:443",
            "https://*.app.test",
            "https://u@app.test",
            "https://app.test?",
            "https://[::1",
            "https://::1",
            "https://app.test https://b.test",
            "https://app.test, https://b.test",
            " https://app.test",
            "https:///app.test",
            "https://app.test\\@b.test",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_port_that_goes_without_saying_may_be_said() {
        let one = |text| Origin::parse(text).unwrap();
        assert!(one("https://a.test:443").is_same(&one("https://A.test")));
        assert!(one("http://[::1]").is_same(&one("http://[0::1]:80")));
        for other in ["http://a.test", "https://a.test:80", "https://b.test", "http://a.test:443"] {
            assert!(!one("https://a.test").is_same(&one(other)), "{other}");
        }
    }

    fn sender(lines: &[(&'static str, &'static str)]) -> String {
        let lines = lines.iter().map(|(name, value)| (*name, HeaderValue::from_static(value)));
        let headers = lines.map(|(name, value)| (HeaderName::from_static(name), value)).collect();
        Sender::of(&headers).to_string()
    }

    #[test]
    fn a_referer_speaks_where_no_origin_does() {
        for (referer, told) in [
            ("https://a.test/page?x=https://b.test#c", "https://a.test"),
            ("https://a.test:8443?x", "https://a.test:8443"),
            ("https://a.test", "https://a.test"),
            ("https://u:p@a.test/", "unclear"),
            ("https://a.test\\b.test/", "unclear"),
            ("about:blank", "unclear"),
            ("/page", "unclear"),
            ("", "unclear"),
        ] {
            assert_eq!(sender(&[("referer", referer)]), told, "{referer}");
            let origin = ("origin", "https://c.test");
            assert_eq!(sender(&[("referer", referer), origin]), "https://c.test", "{referer}");
            assert_eq!(sender(&[("referer", referer), ("origin", "null")]), "null", "{referer}");
        }
        assert_eq!(sender(&[]), "untold");
    }

    #[test]
    fn two_lines_name_nobody() {
        for name in ["origin", "referer"] {
            let line = (name, "https://a.test");
            assert_eq!(sender(&[line, line]), "unclear", "{name}");
        }
        let origin = ("origin", "https://a.test");
        assert_eq!(sender(&[origin, origin, ("referer", "https://a.test/")]), "unclear");
    }
}
