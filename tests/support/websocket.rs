//! A WebSocket's beginning and its ends, byte for byte.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client::Jar;
use super::proxy::{HOST, Proxy};
use super::upstream::{Line, Received};

/// The key of RFC 6455 §1.3, and what it is answered.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const PATIENCE: Duration = Duration::from_secs(10);

/// A handshake's request.
pub(crate) fn asking(path: &str, jar: &Jar) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Protocol: chat\r\n\r\n",
        jar.header()
    )
}

/// Its answer.
pub(crate) fn granting() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

/// The answer to a handshake with a key of its own.
pub(crate) fn granting_to(request: &Received) -> String {
    let key = request.header("sec-websocket-key").expect("a key");
    assert_eq!(STANDARD.decode(&key).unwrap().len(), 16);
    let accept =
        Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    granting().replace(ACCEPT, &STANDARD.encode(accept))
}

/// Answers as long as it is asked.
pub(crate) async fn echo(_: Received, line: Line) {
    echo_after(granting(), line).await;
}

/// The same, whatever the key.
pub(crate) async fn echoing(request: Received, line: Line) {
    echo_after(granting_to(&request), line).await;
}

async fn echo_after(head: String, mut line: Line) {
    line.send(head).await;
    let (mut reader, mut writer) = line.stream.split();
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

/// The head of an answer.
pub(crate) async fn read_head(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("a head in time");
        head.push(byte.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&head))));
    }
    String::from_utf8(head).unwrap()
}

/// What still comes until the end, clean or not.
pub(crate) async fn read_all(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("an end in time");
    all
}

/// A tunnel that is open.
pub(crate) async fn opened(proxy: &Proxy, path: &str, jar: &Jar) -> TlsStream<TcpStream> {
    let mut stream = proxy.client().connect(b"http/1.1").await;
    stream.write_all(asking(path, jar).as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}
