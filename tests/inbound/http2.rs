//! Requests over HTTP/2 that must not become requests over HTTP/1 (security.md 1.4), frame by frame: a client's library
//! would not send them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{PATIENCE, unescaped};
use crate::support::client::{Client, Jar};
use crate::support::proxy::{HOST, proxy};
use crate::support::upstream::upstream;

const REQUESTS: &str = include_str!("../fixtures/http2_requests.txt");

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// RFC 9113 §4.1
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field as a literal that is not indexed (RFC 7541 §6.2.2).
pub(super) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| vec![u8::try_from(text.len()).unwrap()];
    [vec![0], length(name), name.to_vec(), length(value), value.to_vec()].concat()
}

/// How a connection begins (§3.4).
pub(crate) fn opening() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, b"")].concat()
}

/// The frames of a line of the fixture.
pub(crate) fn request(line: &str) -> Vec<u8> {
    let mut parts = line.split(" > ");
    let fields: Vec<&str> = parts.next().unwrap().split(" | ").collect();
    let (body, trailers) = (parts.next().unwrap_or_default(), parts.next());
    let usual = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/x")];
    let kept = usual.iter().filter(|(name, _)| !fields.contains(&format!("-{name}").as_str()));
    let mut block: Vec<u8> =
        kept.flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect();
    block.extend(fields.iter().filter(|field| !field.starts_with('-')).flat_map(|field| written(field)));
    let ends = |is_last| if is_last { END_STREAM } else { 0 };
    let mut frames = frame(HEADERS, END_HEADERS | ends(body.is_empty() && trailers.is_none()), 1, &block);
    if !body.is_empty() {
        frames.extend(frame(DATA, ends(trailers.is_none()), 1, body.as_bytes()));
    }
    if let Some(trailers) = trailers {
        let block: Vec<u8> = trailers.split(" | ").flat_map(written).collect();
        frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    }
    frames
}

/// A field as the fixture writes it.
fn written(text: &str) -> Vec<u8> {
    let (name, value) = text.split_once(": ").or_else(|| text.rsplit_once(':')).unwrap();
    field(&unescaped(name), &unescaped(value))
}

/// The first byte of the answer's fields, which says the status by its index where the table has it (RFC 7541 §6.1);
/// `None` where the stream or the connection is broken off.
async fn answered(client: &Client, line: &str) -> Option<u8> {
    let mut stream = client.connect(b"h2").await;
    let _ = stream.write_all(&[opening(), request(line)].concat()).await;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let [_, high, low, kind, ..] = head;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        stream.read_exact(&mut payload).await.ok()?;
        match kind {
            RST_STREAM | GOAWAY => return None,
            HEADERS => return payload.first().copied(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn nothing_goes_upstream_that_http_1_would_read_otherwise() {
    /// `:status: 200` in the static table.
    const OK: u8 = 0x88;
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").route("/private", "").start();
    let client = proxy.client();
    for line in REQUESTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let answer = tokio::time::timeout(PATIENCE, answered(&client, line)).await;
        assert_ne!(answer.unwrap_or_else(|_| panic!("no answer: {line}")), Some(OK), "{line}");
        assert!(upstream.received().is_empty(), "{line}: {:#?}", upstream.received());
    }
    assert_eq!(answered(&client, "x: a > hello").await, Some(OK), "an ordinary one passes");
    assert_eq!(answered(&client, "content-length: 5 > hello > x: y").await, Some(OK), "with trailers, too");
    let received = upstream.last();
    assert_eq!((received.body.as_slice(), received.trailers.len()), (b"hello".as_slice(), 0));
    assert_eq!(received.header("content-length").as_deref(), Some("5"));
    assert_eq!(proxy.client().get("/private", &Jar::default()).await.status, 401);
    assert_eq!(upstream.received().len(), 2);
}
