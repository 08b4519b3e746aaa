//! Clients that ask for nothing, or for too much at once (security.md, DS-3 to DS-5 and H10): their connection ends, and
//! nobody else notices.

use std::cell::Cell;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::PATIENCE;
use super::http2::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, field, frame};
use crate::support::client::{Client, Jar};
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::report;
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, answer, upstream};

const PRIORITY: u8 = 2;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 8;

/// More than any of these floods may be.
const FRAMES: usize = 200_000;

fn opening(settings: &[u8]) -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, settings)].concat()
}

/// The fields of a request but for its method, which is POST.
fn head(method: &str) -> Vec<u8> {
    let fields = [(":method", method), (":scheme", "https"), (":authority", HOST), (":path", "/")];
    fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

/// How many of `piece` are sent until the connection ends, whatever comes back meanwhile; all where it does not.
async fn withstood(client: &Client, before: &[u8], piece: &[u8]) -> usize {
    let (mut reader, mut writer) = split(client.connect(b"h2").await);
    let reading = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(1..) = reader.read(&mut buffer).await {}
    };
    let sent = Cell::new(0);
    let writing = async {
        writer.write_all(&[&opening(b""), before].concat()).await.unwrap();
        // In packets of some frames, so that a machine with other things to do gets through them.
        let packet = piece.repeat(50);
        while sent.get() < FRAMES && writer.write_all(&packet).await.is_ok() {
            sent.set(sent.get() + 50);
            tokio::task::yield_now().await;
        }
    };
    let both = async {
        tokio::select! {
            () = reading => {}
            () = writing => {}
        }
    };
    timeout(2 * PATIENCE, both).await.expect("a flood is taken in or cut off");
    sent.get()
}

async fn still_serves(proxy: &Proxy) {
    assert_eq!(proxy.client().get("/", &Jar::default()).await.status, 200, "others are served");
}

fn public(upstream: &Upstream, limits: &str) -> Proxy {
    proxy(upstream).route("/", "access = \"public\"").section(&format!("[server.limits]\n{limits}")).start()
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let upstream = upstream().await;
    let proxy = public(&upstream, "");
    let begun = frame(HEADERS, 0, 1, &head("GET"));
    for continued in [field(b"x", &[b'a'; 120]).repeat(8), field(b"x", b""), Vec::new()] {
        let sent = withstood(&proxy.client(), &begun, &frame(CONTINUATION, 0, 1, &continued)).await;
        assert!(sent < FRAMES, "{} bytes at a time", continued.len());
    }
    assert!(upstream.received().is_empty());
    still_serves(&proxy).await;
}

#[tokio::test]
async fn frames_that_ask_for_nothing_are_not_taken_for_ever() {
    let upstream = upstream().await;
    let proxy = public(&upstream, "");
    let upload = frame(HEADERS, END_HEADERS, 1, &head("POST"));
    for (name, before, piece) in [
        ("pings", Vec::new(), frame(PING, 0, 0, &[0; 8])),
        ("settings", Vec::new(), frame(SETTINGS, 0, 0, &[])),
        ("settings with something in them", Vec::new(), frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("priorities", Vec::new(), frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("windows", Vec::new(), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("what nobody knows", Vec::new(), frame(200, 0, 0, b"?")),
        ("empty data", upload.clone(), frame(DATA, 0, 1, b"")),
        ("padding", upload.clone(), frame(DATA, PADDED, 1, &[&[200], vec![0; 200].as_slice()].concat())),
    ] {
        let sent = withstood(&proxy.client(), &before, &piece).await;
        report(&format!("{name}: cut off after at most {sent} frames"));
        assert!(sent < FRAMES, "{name}");
        still_serves(&proxy).await;
    }
}

#[tokio::test]
async fn who_does_not_read_what_its_pings_bring_is_cut_off() {
    let upstream = upstream().await;
    let proxy = public(&upstream, "write_timeout = \"300ms\"");
    let mut stream = proxy.client().connect(b"h2").await;
    stream.write_all(&opening(b"")).await.unwrap();
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(50);
    let flood = async { while stream.write_all(&pings).await.is_ok() {} };
    timeout(PATIENCE, flood).await.expect("it is cut off");
    still_serves(&proxy).await;
}

/// An entry of four thousand bytes goes into the table (RFC 7541 §6.2.1) and is then named by one byte each time.
fn bomb(name: &[u8], times: usize) -> Vec<u8> {
    let value = [0x7f, 0xa1, 0x1e].iter().copied().chain(std::iter::repeat_n(b'a', 4_000));
    let entry: Vec<u8> =
        [0x40, u8::try_from(name.len()).unwrap()].into_iter().chain(name.iter().copied()).collect();
    [head("GET"), entry, value.collect(), vec![0xbe; times]].concat()
}

#[tokio::test]
async fn a_small_head_that_unpacks_to_a_large_one_is_refused() {
    let upstream = upstream().await;
    let proxy = public(&upstream, "");
    for name in [b"x".as_slice(), b"cookie"] {
        for times in [10, 200, 10_000] {
            let mut stream = proxy.client().connect(b"h2").await;
            let block = bomb(name, times);
            assert!(block.len() < 16 * 1024, "{}", block.len());
            let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
            stream.write_all(&[opening(b""), request].concat()).await.unwrap();
            let told = status(&mut stream).await;
            // What is far too large ends the connection instead.
            assert!(told.as_deref() == Some(b"431") || (told.is_none() && times > 10), "{times}: {told:?}");
        }
    }
    // Crumbs of a cookie count one by one (RFC 9113 §8.2.3).
    let mut stream = proxy.client().connect(b"h2").await;
    let crumbs = [head("GET"), field(b"cookie", b"a=b").repeat(101)].concat();
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &crumbs);
    stream.write_all(&[opening(b""), request].concat()).await.unwrap();
    assert_eq!(status(&mut stream).await, Some(b"431".to_vec()));
    assert!(upstream.received().is_empty());
    still_serves(&proxy).await;
}

/// The status of the answer, which 431 has as a literal; `None` where the stream or the connection ends without.
async fn status(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("an answer in time").ok()?;
        let [_, high, low, kind, ..] = head;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        stream.read_exact(&mut payload).await.ok()?;
        match kind {
            GOAWAY | RST_STREAM => return None,
            // A literal with the name of entry 8, ":status", and a value of three bytes in Huffman's code or without.
            HEADERS => return Some(unpacked(&payload)),
            _ => {}
        }
    }
}

fn unpacked(payload: &[u8]) -> Vec<u8> {
    assert_eq!(payload[0] & 0x0f, 0x08, "{payload:x?}");
    let length = usize::from(payload[1] & 0x7f);
    let text = &payload[2..2 + length];
    if payload[1] & 0x80 == 0 {
        return text.to_vec();
    }
    // The digits 4, 3 and 1 in Huffman's code (RFC 7541, appendix B): 011010, 011001, 00001.
    assert_eq!(text, [0b0110_1001, 0b1001_0000, 0b1111_1111].split_at(length).0, "{text:x?}");
    b"431".to_vec()
}

#[tokio::test]
async fn so_many_streams_are_open_at_once_and_none_is_held_for_ever() {
    let upstream = Upstream::answering(|_| answer("200 OK", &[], &"x".repeat(100_000))).await;
    let proxy = public(&upstream, "h2_streams = 20\nwrite_timeout = \"300ms\"\nidle_timeout = \"500ms\"");
    let mut stream = proxy.client().connect(b"h2").await;
    // INITIAL_WINDOW_SIZE = 0: no answer can be sent.
    let requests: Vec<u8> = (0..40)
        .flat_map(|number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head("GET")))
        .collect();
    stream.write_all(&[opening(&[0, 4, 0, 0, 0, 0]), requests].concat()).await.unwrap();
    let mut all = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection ends");
    assert_eq!(upstream.received().len(), 20, "the others are refused");
    eventually("all is given back", async || upstream.open() == 0).await;
    let mut limit = None;
    let mut at = 0;
    while let Some(head) = all.get(at..at + 9) {
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let payload = &all[at + 9..at + 9 + length];
        if head[3] == SETTINGS {
            let streams = payload.chunks(6).find(|setting| setting[..2] == [0, 3]);
            limit = limit.or(streams.map(|setting| setting[5]));
        }
        at += 9 + length;
    }
    assert_eq!(limit, Some(20), "and so much is said");
    still_serves(&proxy).await;
}

#[tokio::test]
async fn what_is_given_up_at_once_costs_nothing_where_something_was_given_up_before() {
    let (left, mut leaving) = mpsc::unbounded_channel();
    let upstream = Upstream::talking(move |_, mut line| {
        let left = left.clone();
        async move {
            line.ended().await;
            let _ = left.send(());
        }
    })
    .await;
    let proxy = public(&upstream, "");
    let mut stream = proxy.client().connect(b"h2").await;
    let asked = |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET"));
    let given_up = |stream: u32| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    stream.write_all(&[opening(b""), asked(1)].concat()).await.unwrap();
    eventually("it is under way", async || upstream.received().len() == 1).await;
    stream.write_all(&given_up(1)).await.unwrap();
    timeout(PATIENCE, leaving.recv()).await.expect("it is given up").unwrap();
    let together = (1..10).flat_map(|number| [asked(2 * number + 1), given_up(2 * number + 1)].concat());
    stream.write_all(&together.chain(asked(21)).collect::<Vec<u8>>()).await.unwrap();
    eventually("the last is under way", async || upstream.received().len() == 2).await;
    assert_eq!(upstream.connections(), 2, "nobody has connected for the others");
}

#[tokio::test]
async fn data_in_the_smallest_pieces_is_cut_off_and_holds_nobody_up() {
    let upstream = upstream().await;
    let proxy = public(&upstream, "");
    let upload = frame(HEADERS, END_HEADERS, 1, &head("POST"));
    let client = proxy.client();
    let piece = frame(DATA, 0, 1, b"a");
    let flood = withstood(&client, &upload, &piece);
    let others = async {
        for _ in 0..20 {
            still_serves(&proxy).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (sent, ()) = tokio::join!(flood, others);
    report(&format!("data of one byte: {sent} frames were taken"));
    assert!(sent < FRAMES, "it is cut off");
}
