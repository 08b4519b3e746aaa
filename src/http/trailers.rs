//! What may stand after a body (RFC 9110 §6.5.1).

use http::HeaderMap;
use http::header::{self, HeaderName};

/// What a recipient has to know, or do, before it has the body. Here it would come too late to be judged: cookies
/// and addresses are looked at in the head alone.
const NEVER_LAST: [HeaderName; 12] = [
    header::AGE,
    header::CACHE_CONTROL,
    header::DATE,
    header::EXPIRES,
    header::HOST,
    header::LOCATION,
    header::REFRESH,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::VARY,
    header::WWW_AUTHENTICATE,
];

/// Removes what may not stand after an answer's body.
pub fn restrict(trailers: &mut HeaderMap) {
    super::hop_by_hop::remove(trailers);
    let unfit: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| NEVER_LAST.contains(name) || name.as_str().starts_with("content-"))
        .cloned()
        .collect();
    for name in unfit {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_trailer_tells_of_the_body_and_of_nothing_else() {
        let names = [
            "grpc-status",
            "server-timing",
            "etag",
            "set-cookie",
            "location",
            "content-length",
            "content-security-policy",
            "transfer-encoding",
            "connection",
        ];
        let value = HeaderValue::from_static("1");
        let mut trailers: HeaderMap =
            names.iter().map(|name| (HeaderName::from_static(name), value.clone())).collect();
        restrict(&mut trailers);
        let mut left: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["etag", "grpc-status", "server-timing"]);
    }
}
