//! Whether a form of the proxy's own was sent from the proxy's own page (Fetch Metadata; RFC 6454 §7).

use http::{HeaderMap, HeaderValue, header};

use super::{Authority, Scheme};

/// Where a request was sent from, as the browser tells it.
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
    let site = judge(headers, "sec-fetch-site", |site| site == "same-origin");
    let origin = judge(headers, header::ORIGIN.as_str(), |origin| is_origin(origin, scheme, authority));
    match (site, origin) {
        (Provenance::Unknown, told) | (told, Provenance::Unknown) => told,
        (Provenance::SameOrigin, Provenance::SameOrigin) => Provenance::SameOrigin,
        _ => Provenance::Foreign,
    }
}

/// What the one header `name` tells; a second one makes it worthless.
fn judge(headers: &HeaderMap, name: &str, is_same: impl Fn(&HeaderValue) -> bool) -> Provenance {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Provenance::Unknown,
        (Some(line), None) if is_same(line) => Provenance::SameOrigin,
        _ => Provenance::Foreign,
    }
}

fn is_origin(origin: &HeaderValue, scheme: Scheme, authority: &Authority) -> bool {
    origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix(scheme.as_str())?.strip_prefix("://"))
        .and_then(|origin| Authority::parse(origin).ok())
        .is_some_and(|origin| origin.is_same(authority, scheme))
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
}
