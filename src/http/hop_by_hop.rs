//! Headers that end at this hop (RFC 9110 §7.6.1), of requests and of responses.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::folded;

/// What a connection may carry whether `Connection` names it or not.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("http2-settings"),
];

/// What says where a message goes and how long it is: no sender may have it taken out on the way.
const NEVER_HOP_BY_HOP: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::MAX_FORWARDS];

/// Removes them: `Connection`, all that it names, and what is known to belong to a connection.
pub fn remove(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers.get_all(header::CONNECTION).iter().flat_map(options).collect();
    for name in named.iter().filter(|name| !NEVER_HOP_BY_HOP.contains(name)) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Whether an upstream that takes `_` for `-` could take `name` for one of a message's framing or connection.
pub fn resembles(name: &HeaderName) -> bool {
    let folded = folded(name.as_str());
    HOP_BY_HOP.iter().chain(&NEVER_HOP_BY_HOP).any(|known| *known == folded.as_str())
}

/// Whether the sender of a request takes trailers (RFC 9110 §10.1.4), the one thing in `TE` that concerns more
/// than the next hop.
pub fn takes_trailers(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TE).iter();
    lines.any(|line| {
        let codings = line.as_bytes().split(|byte| *byte == b',');
        codings.map(<[u8]>::trim_ascii).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    })
}

/// The header names in a `Connection` header; what cannot be one names nothing.
fn options(line: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    line.as_bytes()
        .split(|byte| *byte == b',')
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(lines: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        remove(&mut headers);
        let mut left: Vec<String> = headers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn what_belongs_to_the_connection_goes() {
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "transfer-encoding",
            "upgrade",
            "proxy-authenticate",
            "proxy-authorization",
            "http2-settings",
        ] {
            assert_eq!(left(&[(name, "x"), ("accept", "*/*")]), ["accept"], "{name}");
        }
    }

    #[test]
    fn what_connection_names_goes_on_every_line_of_it() {
        assert!(
            left(&[
                ("connection", "close, X-One ,,\"x\", X-Absent"),
                ("connection", "\tx-two"),
                ("x-one", "1"),
                ("x-one", "1"),
                ("x-two", "2"),
            ])
            .is_empty()
        );
    }

    #[test]
    fn where_a_message_goes_and_how_long_it_is_stays() {
        let lines = [("connection", "Host, content-length"), ("host", "app.test"), ("content-length", "5")];
        assert_eq!(left(&lines), ["content-length", "host"]);
    }

    #[test]
    fn who_takes_trailers_says_so() {
        for (te, takes) in [("trailers", true), ("gzip;q=0.5, Trailers", true), ("gzip", false), ("", false)]
        {
            let headers = HeaderMap::from_iter([(header::TE, HeaderValue::from_static(te))]);
            assert_eq!(takes_trailers(&headers), takes, "{te}");
        }
    }
}
