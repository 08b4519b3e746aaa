//! What comes in: whose word on it is believed, and by which ways it may come.

mod client_auth;
mod decisions;
mod floods;
mod forwarding;
pub(crate) mod http2;
mod plain;
mod proxy_protocol;
mod smuggling;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Answer, parse};
use crate::support::proxy::{HOST, Proxy};

/// No answer of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What comes back until the connection is closed, in pieces as they were given and each sent by itself.
async fn exchange(address: SocketAddr, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        // A server that has seen enough may close while we still write.
        let _ = stream.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    all(&mut stream).await
}

/// What comes until the connection is closed, by whichever end.
async fn all(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text));
    let _ = read.await.expect("the connection is closed in time");
    String::from_utf8_lossy(&text).into_owned()
}

/// A GET in the clear; `headers` are whole lines.
async fn get(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{headers}\r\n");
    parse(&exchange(address, &[head.as_bytes()]).await)
}

/// The client of the last line in the access log.
fn last_client(proxy: &Proxy) -> String {
    let log = proxy.access_log();
    let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    line["client"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// The bytes that a line of a fixture writes with `\r`, `\n`, `\t` and `\xHH`, and `\*N(…)` for N times something.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend(before.as_bytes());
        let (piece, length) = match escape.as_bytes()[0] {
            b'r' => (vec![b'\r'], 1),
            b'n' => (vec![b'\n'], 1),
            b't' => (vec![b'\t'], 1),
            b'x' => (vec![u8::from_str_radix(&escape[1..3], 16).unwrap()], 3),
            b'*' => {
                let (times, piece) = escape[1..].split_once(')').unwrap().0.split_once('(').unwrap();
                (unescaped(piece).repeat(times.parse().unwrap()), 3 + times.len() + piece.len())
            }
            other => panic!("no such escape: {other}"),
        };
        bytes.extend(piece);
        rest = &escape[length..];
    }
    bytes.extend(rest.as_bytes());
    bytes
}
