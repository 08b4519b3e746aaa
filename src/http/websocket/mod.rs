//! The opening handshake of a WebSocket (RFC 6455 §4), the only upgrade that passes.

mod frames;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, request};
use sha1::{Digest, Sha1};

pub use frames::Frames;

/// What a server adds to the key before it hashes it (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client's wish to open a WebSocket.
#[derive(Clone, Debug)]
pub struct Handshake {
    key: HeaderValue,
}

impl Handshake {
    /// The wish in a request; `None` where it is none, or not put as the standard says: such a request is one
    /// like any other. Content would stand where the tunnel's bytes are to begin, so there may be none.
    pub fn of(parts: &request::Parts) -> Option<Self> {
        let headers = &parts.headers;
        let is_asked = parts.method == Method::GET
            // Over HTTP/2 these headers are ours: no client could send them (RFC 9113 §8.2.2).
            && matches!(parts.version, Version::HTTP_11 | Version::HTTP_2)
            && names(headers, &CONNECTION, b"upgrade")
            && only(headers, &UPGRADE).is_some_and(is_websocket)
            && only(headers, &SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
            && !headers.contains_key(TRANSFER_ENCODING)
            && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
        let key = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key))?;
        is_asked.then(|| Self { key: key.clone() })
    }

    /// Writes the wish into a head that is cleansed of what belongs to a connection.
    pub fn ask(&self, headers: &mut HeaderMap) {
        switch(headers);
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, self.key.clone());
    }

    /// Whether the head of a 101 grants this very wish.
    pub fn is_granted_by(&self, headers: &HeaderMap) -> bool {
        names(headers, &CONNECTION, b"upgrade")
            && only(headers, &UPGRADE).is_some_and(is_websocket)
            && only(headers, &SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| *accept == self.accept())
    }

    fn accept(&self) -> String {
        STANDARD.encode(Sha1::new().chain_update(&self.key).chain_update(GUID).finalize())
    }
}

/// Asks in the head of a request, with a key of ours.
pub fn ask(headers: &mut HeaderMap, key: [u8; 16]) {
    switch(headers);
    let key = HeaderValue::from_str(&STANDARD.encode(key)).expect("base64 is ASCII");
    headers.insert(SEC_WEBSOCKET_KEY, key);
}

/// Takes out of the head of an answer what only HTTP/1.1 says in it.
pub fn unsay(headers: &mut HeaderMap) {
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        headers.remove(name);
    }
}

/// Says in a head, of a request or of an answer, that the connection becomes a WebSocket.
pub fn switch(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

fn is_websocket(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// 16 bytes in base64.
fn is_key(key: &HeaderValue) -> bool {
    STANDARD.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16)
}

/// The value of a header that comes once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a list of tokens has this one.
fn names(headers: &HeaderMap, list: &HeaderName, token: &[u8]) -> bool {
    let mut lines = headers.get_all(list).iter();
    lines.any(|line| {
        line.as_bytes().split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn request(headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_handshake_is_known_and_put_anew() {
        let handshake = Handshake::of(&request(&GOOD)).unwrap();
        let mut headers = HeaderMap::new();
        handshake.ask(&mut headers);
        let said = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!([said("connection"), said("upgrade")], ["Upgrade", "websocket"]);
        assert_eq!(said("sec-websocket-key"), "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn what_is_not_put_as_the_standard_says_is_an_ordinary_request() {
        for (name, value) in [
            ("connection", "keep-alive"),
            ("connection", "upgraded"),
            ("upgrade", "h2c"),
            ("upgrade", "foo"),
            ("upgrade", "websocket, h2c"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-version", "13, 8"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"),
            ("sec-websocket-key", "c2hvcnQ="),
            ("sec-websocket-key", ""),
        ] {
            let mut parts = request(&GOOD);
            parts.headers.insert(name, HeaderValue::from_static(value));
            assert!(Handshake::of(&parts).is_none(), "{name}: {value}");
            parts.headers.remove(name);
            assert!(Handshake::of(&parts).is_none(), "no {name}");
        }
        for (name, value) in [
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("content-length", "1"),
            ("transfer-encoding", "chunked"),
        ] {
            let mut parts = request(&GOOD);
            parts.headers.append(name, HeaderValue::from_static(value));
            assert!(Handshake::of(&parts).is_none(), "one more {name}");
        }
        for (method, version) in [(Method::POST, Version::HTTP_11), (Method::GET, Version::HTTP_10)] {
            let mut parts = request(&GOOD);
            (parts.method, parts.version) = (method, version);
            assert!(Handshake::of(&parts).is_none());
        }
    }

    /// The key and its answer are those of RFC 6455 §1.3.
    #[test]
    fn only_the_answer_to_this_very_key_grants_the_wish() {
        let handshake = Handshake::of(&request(&GOOD)).unwrap();
        let granted = |lines: [(&'static str, &'static str); 3]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, HeaderValue::from_static(value));
            }
            handshake.is_granted_by(&headers)
        };
        let accept = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let (connection, upgrade) = (("connection", "upgrade"), ("upgrade", "WebSocket"));
        assert!(granted([connection, upgrade, accept]));
        assert!(!granted([connection, upgrade, ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=")]));
        assert!(!granted([connection, ("upgrade", "h2c"), accept]));
        assert!(!granted([("connection", "close"), upgrade, accept]));
        assert!(!granted([accept, upgrade, accept]));
    }
}
