//! What a request is for, as far as it matters whose page has a browser send it.

use http::{HeaderMap, Method, header, request};

use super::websocket::Handshake;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// It asks for something and changes nothing (RFC 9110 §9.2.1): `GET`, `HEAD`, `OPTIONS`. Applications have long
    /// known these.
    Read,
    /// A browser asks whether another site's page may send what it is about to (Fetch §3.3.2). It brings no
    /// credentials.
    Preflight,
    /// It may change something.
    Change,
    /// It opens a WebSocket, which no browser keeps pages of other sites from.
    WebSocket,
}

impl Intent {
    /// The intent of a request whose head is sound.
    pub fn of(parts: &request::Parts) -> Self {
        if Handshake::of(parts).is_some() {
            return Self::WebSocket;
        }
        match parts.method {
            Method::OPTIONS if is_preflight(&parts.headers) => Self::Preflight,
            Method::GET | Method::HEAD | Method::OPTIONS => Self::Read,
            _ => Self::Change,
        }
    }
}

fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const PREFLIGHT: [(&str, &str); 2] =
        [("origin", "https://a.test"), ("access-control-request-method", "PUT")];

    fn intent(method: &str, headers: &[(&str, &str)]) -> Intent {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Intent::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_methods_that_every_application_knows_as_safe_change_nothing() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(intent(method, &[]), Intent::Read, "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY", "get", "Options", "M-SEARCH"] {
            assert_eq!(intent(method, &PREFLIGHT), Intent::Change, "{method}");
        }
    }

    #[test]
    fn a_preflight_is_an_options_with_both_of_its_headers() {
        assert_eq!(intent("OPTIONS", &PREFLIGHT), Intent::Preflight);
        for headers in [&PREFLIGHT[..1], &PREFLIGHT[1..]] {
            assert_eq!(intent("OPTIONS", headers), Intent::Read);
        }
        assert_eq!(intent("GET", &PREFLIGHT), Intent::Read);
    }

    #[test]
    fn a_get_that_opens_a_websocket_is_no_read() {
        let handshake = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(intent("GET", &handshake), Intent::WebSocket);
        assert_eq!(intent("GET", &handshake[1..]), Intent::Read, "it never becomes one");
    }
}
