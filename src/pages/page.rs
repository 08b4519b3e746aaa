//! A page on its way to a browser.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::http::Body;

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// A rendered page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The whole document.
    pub html: String,
    /// Whether it may stand in a frame.
    pub framing: Framing,
    /// Where its forms may lead.
    pub leads: Leads,
}

/// Where a page's forms may lead: browsers hold the redirects that answer them to it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// Its forms are the proxy's, whose answers stay on this host.
    Here,
    /// An application answers, and may send the browser on to anywhere.
    Anywhere,
}

/// Whether a page may stand in another's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A page with a form never does: somebody could be made to click it unseen.
    Refused,
    /// A page that answers a navigation within a frame has to, or the browser shows a fault of its own there. It
    /// has nothing but links.
    Allowed,
}

impl Page {
    /// The answer that carries it.
    pub fn into_response(self, status: StatusCode) -> Response<Body> {
        let policy = match (self.framing, self.leads) {
            (Framing::Refused, Leads::Here) => {
                "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                 frame-ancestors 'none'"
            }
            (Framing::Refused, Leads::Anywhere) => {
                "default-src 'none'; style-src 'self'; img-src 'self'; form-action *; base-uri 'none'; \
                 frame-ancestors 'none'"
            }
            (Framing::Allowed, _) => {
                "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'"
            }
        };
        let mut response = Response::new(Body::whole(self.html));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
            (CONTENT_SECURITY_POLICY, policy),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // With no-referrer the browser would send `Origin: null` with our own forms.
            (REFERRER_POLICY, "same-origin"),
            (OPENER_POLICY, "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.framing == Framing::Refused {
            headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(framing: Framing) -> Response<Body> {
        Page { html: String::new(), framing, leads: Leads::Here }.into_response(StatusCode::OK)
    }

    fn policy(response: &Response<Body>) -> Vec<&str> {
        response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().split("; ").collect()
    }

    #[test]
    fn every_page_forbids_what_it_does_not_need() {
        for framing in [Framing::Refused, Framing::Allowed] {
            let response = answer(framing);
            for directive in ["default-src 'none'", "style-src 'self'", "base-uri 'none'"] {
                assert!(policy(&response).contains(&directive), "{framing:?}: {directive}");
            }
            assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        }
    }

    #[test]
    fn a_page_with_a_form_stands_in_no_frame_and_one_in_a_frame_has_no_form() {
        let (refused, allowed) = (answer(Framing::Refused), answer(Framing::Allowed));
        assert!(policy(&refused).contains(&"frame-ancestors 'none'"));
        assert!(policy(&refused).contains(&"form-action 'self'"));
        assert_eq!(refused.headers()[X_FRAME_OPTIONS], "DENY");
        assert!(policy(&allowed).contains(&"form-action 'none'"));
        assert!(!allowed.headers().contains_key(X_FRAME_OPTIONS));
    }
}
