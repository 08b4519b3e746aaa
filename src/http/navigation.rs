//! Whether a person goes to a page or a script asks for data (W3C Fetch Metadata).

use http::{HeaderMap, Method, header};

/// What a request without a session is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Somebody goes to a page: the login is shown instead.
    Navigation,
    /// A page within a page: no place for a login.
    FrameNavigation,
    /// Anything else: it can read a status, not a login page.
    Script,
}

const SEC_FETCH: [&str; 4] = ["sec-fetch-mode", "sec-fetch-dest", "sec-fetch-site", "sec-fetch-user"];
const FRAMES: [&str; 5] = ["iframe", "frame", "fencedframe", "embed", "object"];

/// Believes the browser's Sec-Fetch headers; without any, a GET or HEAD that accepts HTML is a navigation.
pub fn kind(method: &Method, headers: &HeaderMap) -> RequestKind {
    let is_navigation = if SEC_FETCH.iter().any(|name| headers.contains_key(*name)) {
        says(headers, "sec-fetch-mode", &["navigate"])
    } else {
        matches!(*method, Method::GET | Method::HEAD) && accepts(headers, "text/html")
    };
    match is_navigation {
        true if says(headers, "sec-fetch-dest", &FRAMES) => RequestKind::FrameNavigation,
        true => RequestKind::Navigation,
        false => RequestKind::Script,
    }
}

/// Whether the browser says that another site caused the request.
pub fn is_cross_site(headers: &HeaderMap) -> bool {
    says(headers, "sec-fetch-site", &["cross-site"])
}

/// Whether there is a header `name` and all of its lines say one of `words`.
fn says(headers: &HeaderMap, name: &str, words: &[&str]) -> bool {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek().is_some() && lines.all(|line| words.iter().any(|word| line.as_bytes() == word.as_bytes()))
}

/// Whether `Accept` lists this very media type; a wildcard lists none.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers.get_all(header::ACCEPT).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).any(
        |range| {
            let listed = range.split(|byte| *byte == b';').next().unwrap_or_default();
            listed.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
        },
    )
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn asked(method: &Method, lines: &[(&'static str, &'static str)]) -> RequestKind {
        let headers = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        kind(method, &headers)
    }

    #[test]
    fn the_browser_says_what_it_is() {
        let navigate = ("sec-fetch-mode", "navigate");
        for method in [Method::GET, Method::POST] {
            assert_eq!(asked(&method, &[navigate]), RequestKind::Navigation);
            assert_eq!(asked(&method, &[navigate, ("sec-fetch-dest", "document")]), RequestKind::Navigation);
            for frame in FRAMES {
                let told = asked(&method, &[navigate, ("sec-fetch-dest", frame)]);
                assert_eq!(told, RequestKind::FrameNavigation, "{frame}");
            }
        }
        for mode in ["cors", "no-cors", "same-origin", "websocket", "Navigate", ""] {
            let told = asked(&Method::GET, &[("sec-fetch-mode", mode), ("accept", "text/html")]);
            assert_eq!(told, RequestKind::Script, "{mode}");
        }
        let without_mode = [("sec-fetch-site", "none"), ("accept", "text/html")];
        assert_eq!(asked(&Method::GET, &without_mode), RequestKind::Script);
        assert_eq!(asked(&Method::GET, &[navigate, ("sec-fetch-mode", "cors")]), RequestKind::Script);
    }

    #[test]
    fn others_are_judged_by_what_they_accept() {
        for accept in ["text/html", "application/xml, Text/HTML;q=0.9", "*/*,text/html ;level=1"] {
            assert_eq!(asked(&Method::GET, &[("accept", accept)]), RequestKind::Navigation, "{accept}");
        }
        for accept in ["*/*", "text/*", "application/json", "text/htmlx", "x;y=text/html"] {
            assert_eq!(asked(&Method::GET, &[("accept", accept)]), RequestKind::Script, "{accept}");
        }
        assert_eq!(asked(&Method::HEAD, &[("accept", "text/html")]), RequestKind::Navigation);
        assert_eq!(asked(&Method::POST, &[("accept", "text/html")]), RequestKind::Script);
        assert_eq!(asked(&Method::GET, &[]), RequestKind::Script);
    }
}
