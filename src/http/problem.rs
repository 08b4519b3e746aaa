//! What went wrong, for programs (RFC 9457).

use http::StatusCode;
use serde::Serialize;

use crate::base::request_id::RequestId;

/// Everything that a client may be told went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Problem {
    /// Nobody is signed in, and somebody has to be.
    LoginRequired,
    /// Somebody is, but not the right one.
    Forbidden,
    /// Sent from another site's page.
    CrossSite,
    /// A request that is not sound.
    BadRequest,
    /// Nothing is served at the path.
    NoRoute,
    /// The route does not take the method.
    MethodNotAllowed,
    /// More content than is taken.
    TooLarge,
    /// An address longer than is taken.
    UriTooLong,
    /// More headers than are taken.
    HeadersTooLarge,
    /// Content that did not come in time.
    RequestTimeout,
    /// Too often within too short a time.
    TooManyRequests,
    /// The application sends a signed-in user to the login again and again.
    LoginLoop,
    /// What is sent on to https comes by http again and again.
    HttpsLoop,
    /// A form that was kept, and is no more.
    FormGone,
    /// An expectation that nobody here can meet.
    ExpectationFailed,
    /// The host is none of ours.
    UnknownHost,
    /// The host is ours, and its connection was made for another with other rules.
    Misdirected,
    /// Nobody can say who is signed in.
    StoreUnavailable,
    /// Nobody can be signed out: the session is still alive.
    LogoutUnavailable,
    /// Sessions cannot be ended: some may still be alive.
    RevocationUnavailable,
    /// The application does not answer at all, or not in HTTP.
    UpstreamUnreachable,
    /// The application takes too long.
    UpstreamTimeout,
    /// The application has as much to do as it takes.
    UpstreamBusy,
    /// The application is known not to answer.
    UpstreamDown,
    /// Too much to do; another try may succeed.
    Busy,
    /// The proxy's own fault.
    InternalError,
}

impl Problem {
    /// The closed list.
    pub const ALL: [Self; 26] = [
        Self::LoginRequired,
        Self::Forbidden,
        Self::CrossSite,
        Self::BadRequest,
        Self::NoRoute,
        Self::MethodNotAllowed,
        Self::TooLarge,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::RequestTimeout,
        Self::TooManyRequests,
        Self::LoginLoop,
        Self::HttpsLoop,
        Self::FormGone,
        Self::ExpectationFailed,
        Self::UnknownHost,
        Self::Misdirected,
        Self::StoreUnavailable,
        Self::LogoutUnavailable,
        Self::RevocationUnavailable,
        Self::UpstreamUnreachable,
        Self::UpstreamTimeout,
        Self::UpstreamBusy,
        Self::UpstreamDown,
        Self::Busy,
        Self::InternalError,
    ];

    /// The answer's status.
    pub const fn status(self) -> StatusCode {
        self.parts().0
    }

    /// The problem's name within its type, `urn:foregate:problem:SLUG`.
    pub const fn slug(self) -> &'static str {
        self.parts().1
    }

    /// What happened, in a few words for people.
    pub const fn title(self) -> &'static str {
        self.parts().2
    }

    /// The body of an `application/problem+json` answer.
    pub fn json(self, request_id: RequestId) -> String {
        let members = Members {
            type_uri: format!("urn:foregate:problem:{}", self.slug()),
            title: self.title(),
            status: self.status().as_u16(),
            request_id: request_id.to_string(),
        };
        serde_json::to_string(&members).expect("strings and a number can be written as JSON")
    }

    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::LoginRequired => (StatusCode::UNAUTHORIZED, "login-required", "Sign in first"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Access is not allowed"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross-site", "Sent from another site"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request is malformed"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "no-route", "Nothing is here"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The content is too large"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri-too-long", "The address is too long"),
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "The headers are too large",
            ),
            Self::RequestTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request did not come in time")
            }
            Self::TooManyRequests => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests")
            }
            Self::LoginLoop => (
                StatusCode::LOOP_DETECTED,
                "login-loop",
                "The application and the login send the browser back and forth",
            ),
            Self::HttpsLoop => {
                (StatusCode::LOOP_DETECTED, "https-loop", "What is sent on to https comes by http again")
            }
            Self::FormGone => (StatusCode::GONE, "form-gone", "The form is kept no longer"),
            Self::ExpectationFailed => {
                (StatusCode::EXPECTATION_FAILED, "expectation-failed", "The expectation cannot be met")
            }
            Self::UnknownHost => {
                (StatusCode::MISDIRECTED_REQUEST, "unknown-host", "The host is not served here")
            }
            Self::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "misdirected", "The connection is for another host")
            }
            Self::StoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "Sessions cannot be checked at the moment",
            ),
            Self::LogoutUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "You are still signed in")
            }
            Self::RevocationUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "Sessions cannot be ended at the moment",
            ),
            Self::UpstreamUnreachable => {
                (StatusCode::BAD_GATEWAY, "upstream-unreachable", "The application cannot be reached")
            }
            Self::UpstreamTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, "upstream-timeout", "The application takes too long")
            }
            Self::UpstreamBusy => {
                (StatusCode::SERVICE_UNAVAILABLE, "upstream-busy", "The application has too much to do")
            }
            Self::UpstreamDown => {
                (StatusCode::SERVICE_UNAVAILABLE, "upstream-down", "The application is not available")
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too busy at the moment"),
            Self::InternalError => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "Something went wrong here")
            }
        }
    }
}

#[derive(Serialize)]
struct Members {
    #[serde(rename = "type")]
    type_uri: String,
    title: &'static str,
    status: u16,
    request_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn a_problem_says_what_and_which_request_and_nothing_else() {
        let id = RequestId::new(Random::system());
        assert_eq!(
            Problem::LoginRequired.json(id),
            format!(
                r#"{{"type":"urn:foregate:problem:login-required","title":"Sign in first","status":401,"request_id":"{id}"}}"#
            )
        );
    }
}
