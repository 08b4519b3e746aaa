//! What answers tell browsers to forbid: applications' where these say nothing, and our own.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config;

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// What an answer of ours says that says nothing else. A page has a policy of its own, by what stands in it.
const LIFELESS: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The headers of `[headers]`.
#[derive(Clone, Debug)]
pub struct ResponseHeaders {
    set: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
    /// The one of them that is for our own answers, too: they have better ones of the others.
    permissions: Option<HeaderValue>,
}

impl ResponseHeaders {
    /// As configured.
    pub fn new(config: &config::Headers) -> Self {
        let mut set = config.set.iter();
        let permissions = set.find(|(name, _)| *name == PERMISSIONS_POLICY).map(|(_, value)| value.clone());
        Self { set: config.set.clone(), remove: config.remove.clone(), permissions }
    }

    /// Takes from an application's answer what nobody needs to know, and adds what it leaves unsaid. What it says stays
    /// as it is: it knows its pages.
    pub fn harden(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            add(headers, name, value);
        }
    }

    /// Adds to an answer of ours what it leaves unsaid. Nothing that is configured makes it weaker.
    pub fn dress(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(CONTENT_SECURITY_POLICY) {
            headers.insert(CONTENT_SECURITY_POLICY, LIFELESS);
            headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        for (name, value) in [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "same-origin"),
            (OPENER_POLICY, "same-origin"),
            (CACHE_CONTROL, "no-store"),
        ] {
            add(headers, &name, &HeaderValue::from_static(value));
        }
        if let Some(permissions) = &self.permissions {
            add(headers, &PERMISSIONS_POLICY, permissions);
        }
    }
}

/// Sets a header where there is none that says anything.
fn add(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if headers.get_all(name).iter().all(HeaderValue::is_empty) {
        headers.insert(name.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> ResponseHeaders {
        let set = [
            (X_FRAME_OPTIONS, "SAMEORIGIN"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (CONTENT_SECURITY_POLICY, "default-src *"),
            (PERMISSIONS_POLICY, "camera=()"),
        ];
        ResponseHeaders::new(&config::Headers {
            set: set.map(|(name, value)| (name, HeaderValue::from_static(value))).into(),
            remove: vec![http::header::SERVER, X_FRAME_OPTIONS],
        })
    }

    fn lines(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    fn said(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_an_application_says_stays_in_all_its_lines() {
        let (first, second) = ("default-src 'self'", "img-src *");
        let mut headers = said(&[(CONTENT_SECURITY_POLICY, first), (CONTENT_SECURITY_POLICY, second)]);
        policy().harden(&mut headers);
        assert_eq!(lines(&headers, &CONTENT_SECURITY_POLICY), [first, second]);
        assert_eq!(lines(&headers, &X_CONTENT_TYPE_OPTIONS), ["nosniff"]);
    }

    #[test]
    fn lines_that_say_nothing_are_none() {
        let mut headers = said(&[(X_CONTENT_TYPE_OPTIONS, ""), (X_CONTENT_TYPE_OPTIONS, "")]);
        policy().harden(&mut headers);
        assert_eq!(lines(&headers, &X_CONTENT_TYPE_OPTIONS), ["nosniff"]);
    }

    #[test]
    fn what_is_removed_goes_with_all_its_lines_and_may_be_said_anew() {
        let server = http::header::SERVER;
        let mut headers =
            said(&[(server.clone(), "a"), (server.clone(), "b"), (X_FRAME_OPTIONS, "ALLOWALL")]);
        policy().harden(&mut headers);
        assert!(lines(&headers, &server).is_empty());
        assert_eq!(lines(&headers, &X_FRAME_OPTIONS), ["SAMEORIGIN"]);
    }

    #[test]
    fn our_own_answers_are_never_made_weaker() {
        let mut bare = HeaderMap::new();
        policy().dress(&mut bare);
        assert_eq!(bare[X_FRAME_OPTIONS], "DENY");
        assert_eq!(bare[CONTENT_SECURITY_POLICY], LIFELESS);
        assert_eq!(bare[PERMISSIONS_POLICY], "camera=()");
        assert_eq!(bare[REFERRER_POLICY], "same-origin");
        assert_eq!(bare[CACHE_CONTROL], "no-store");

        let mut framed = said(&[(CONTENT_SECURITY_POLICY, "default-src 'none'")]);
        policy().dress(&mut framed);
        assert_eq!(lines(&framed, &CONTENT_SECURITY_POLICY), ["default-src 'none'"]);
        assert!(lines(&framed, &X_FRAME_OPTIONS).is_empty(), "a page knows whether it may stand in a frame");
    }
}
