//! What answers say to browsers and caches.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config;

/// Caches that are told separately (RFC 9213 and its forerunner) would not hear what [`keep_private`] says.
const TARGETED: [HeaderName; 2] =
    [HeaderName::from_static("cdn-cache-control"), HeaderName::from_static("surrogate-control")];

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// HTTP Strict Transport Security (RFC 6797).
#[derive(Clone, Debug)]
pub struct StrictTransport(Option<HeaderValue>);

impl StrictTransport {
    /// As configured.
    pub fn new(config: &config::Hsts) -> Self {
        if !config.enabled {
            return Self(None);
        }
        let mut value = format!("max-age={}", config.max_age.as_secs());
        if config.include_subdomains {
            value.push_str("; includeSubDomains");
        }
        if config.preload {
            value.push_str("; preload");
        }
        Self(Some(HeaderValue::from_str(&value).expect("digits and words")))
    }

    /// Sets the header on an answer over TLS, in place of whatever is there. Never called for plain http
    /// (RFC 6797 §7.2).
    pub fn apply(&self, headers: &mut HeaderMap) {
        match &self.0 {
            Some(value) => headers.insert(STRICT_TRANSPORT_SECURITY, value.clone()),
            None => None,
        };
    }
}

/// What a browser is to forget of this host at logout (W3C Clear Site Data).
#[derive(Clone, Debug)]
pub struct ClearSiteData(Option<HeaderValue>);

impl ClearSiteData {
    /// As configured.
    pub fn new(kinds: &[config::SiteData]) -> Self {
        let quoted: Vec<String> = kinds.iter().map(|kind| format!("\"{}\"", kind.as_str())).collect();
        let value = HeaderValue::from_str(&quoted.join(", ")).expect("words in quotes");
        Self((!kinds.is_empty()).then_some(value))
    }

    /// Sets the header on the answer to a logout.
    pub fn apply(&self, headers: &mut HeaderMap) {
        if let Some(value) = &self.0 {
            headers.insert(CLEAR_SITE_DATA, value.clone());
        }
    }
}

/// Tells caches that the answer depends on who asks.
pub fn vary_by_cookie(headers: &mut HeaderMap) {
    let told = headers.get_all(VARY).iter().any(|line| {
        let names = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.into_iter().any(|name| name == b"*" || name.eq_ignore_ascii_case(b"cookie"))
    });
    if !told {
        headers.append(VARY, HeaderValue::from_static("Cookie"));
    }
}

/// Sees to it that no shared cache stores the answer to a request that carried a session. An answer that says
/// nothing of caches is `private`, a page even `no-store`: the back button shows nothing after logout.
pub fn keep_private(headers: &mut HeaderMap) {
    for name in &TARGETED {
        headers.remove(name);
    }
    let said: Vec<String> =
        headers.get_all(CACHE_CONTROL).iter().flat_map(|value| directives(value.as_bytes())).collect();
    let value = if said.is_empty() { unsaid(headers) } else { reduced(&said) };
    headers.insert(CACHE_CONTROL, value);
}

fn unsaid(headers: &HeaderMap) -> HeaderValue {
    let is_page = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().trim_ascii().starts_with(b"text/html"));
    HeaderValue::from_static(if is_page { "private, no-store" } else { "private" })
}

fn reduced(said: &[String]) -> HeaderValue {
    let name = |directive: &str| directive.split('=').next().unwrap_or("").trim().to_ascii_lowercase();
    let shared = |directive: &str| matches!(&*name(directive), "public" | "s-maxage" | "private");
    let no_store = said.iter().any(|directive| name(directive) == "no-store");
    let mut kept: Vec<&str> =
        said.iter().map(String::as_str).filter(|directive| !shared(directive)).collect();
    // `private="field"` lets a shared cache keep the rest, so only the bare word counts.
    if !no_store || said.iter().any(|directive| directive.eq_ignore_ascii_case("private")) {
        kept.insert(0, "private");
    }
    HeaderValue::from_str(&kept.join(", ")).unwrap_or(HeaderValue::from_static("private, no-store"))
}

/// The comma-separated directives of a Cache-Control value; commas in quoted strings separate nothing.
fn directives(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    let mut quoted = false;
    text.split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(|directive| directive.trim().to_owned())
    .filter(|directive| !directive.is_empty())
    .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(headers: &[(&'static str, &'static str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        keep_private(&mut map);
        assert_eq!(map.get_all(CACHE_CONTROL).iter().count(), 1);
        map[CACHE_CONTROL].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_answer_that_says_nothing_becomes_private_and_a_page_is_not_stored() {
        assert_eq!(after(&[]), "private");
        assert_eq!(after(&[("content-type", "image/png")]), "private");
        assert_eq!(after(&[("content-type", "Text/HTML; charset=utf-8")]), "private, no-store");
        assert_eq!(after(&[("cache-control", ""), ("content-type", "text/html")]), "private, no-store");
    }

    #[test]
    fn what_would_let_shared_caches_store_is_taken_away() {
        for (said, kept) in [
            ("public, max-age=600", "private, max-age=600"),
            ("Public", "private"),
            ("s-maxage=600, max-age=5", "private, max-age=5"),
            ("max-age=600", "private, max-age=600"),
            ("no-store", "no-store"),
            ("no-cache", "private, no-cache"),
            ("private, max-age=60", "private, max-age=60"),
            ("private=\"x, y\", max-age=60", "private, max-age=60"),
        ] {
            assert_eq!(after(&[("cache-control", said)]), kept, "{said}");
        }
        let several = [("cache-control", "max-age=1"), ("cache-control", "public")];
        assert_eq!(after(&several), "private, max-age=1");
    }

    #[test]
    fn targeted_cache_headers_go() {
        let mut map = HeaderMap::new();
        map.insert("cdn-cache-control", HeaderValue::from_static("max-age=600"));
        map.insert("surrogate-control", HeaderValue::from_static("max-age=600"));
        keep_private(&mut map);
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn hsts_is_sent_once_and_replaces_an_applications_own() {
        let config = config::Hsts {
            enabled: true,
            max_age: Duration::from_secs(31_536_000),
            include_subdomains: true,
            preload: true,
        };
        let mut headers = HeaderMap::new();
        headers.append(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=0"));
        headers.append(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=1"));
        StrictTransport::new(&config).apply(&mut headers);
        let all: Vec<_> = headers.get_all(STRICT_TRANSPORT_SECURITY).iter().collect();
        assert_eq!(all, ["max-age=31536000; includeSubDomains; preload"]);
    }

    #[test]
    fn that_an_answer_depends_on_the_cookie_is_told_once() {
        for (said, told) in [
            ("", vec!["", "Cookie"]),
            ("Accept", vec!["Accept", "Cookie"]),
            ("Accept, cookie", vec!["Accept, cookie"]),
            ("X-Cookie", vec!["X-Cookie", "Cookie"]),
            ("*", vec!["*"]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(VARY, HeaderValue::from_static(said));
            vary_by_cookie(&mut headers);
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), told);
        }
    }

    #[test]
    fn what_is_to_be_forgotten_stands_in_quotes() {
        let mut headers = HeaderMap::new();
        ClearSiteData::new(&[]).apply(&mut headers);
        assert!(headers.is_empty());
        ClearSiteData::new(&[config::SiteData::Cache, config::SiteData::Storage]).apply(&mut headers);
        assert_eq!(headers[CLEAR_SITE_DATA], "\"cache\", \"storage\"");
    }
}
