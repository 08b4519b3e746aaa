//! A hand-made offer of TLS 1.0 or 1.1 (RFC 4346 §7.4.1.2): rustls speaks neither.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::base::random::Random;

const PATIENCE: Duration = Duration::from_secs(5);

/// What servers of that time have: ECDHE and plain RSA with AES-CBC, 3DES.
const SUITES: [u16; 9] = [0xc009, 0xc00a, 0xc013, 0xc014, 0x0033, 0x0039, 0x002f, 0x0035, 0x000a];

/// A version that nobody should speak any more (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Old {
    Tls10,
    Tls11,
}

impl Old {
    pub(super) const ALL: [Self; 2] = [Self::Tls10, Self::Tls11];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
        }
    }

    fn bytes(self) -> [u8; 2] {
        match self {
            Self::Tls10 => [3, 1],
            Self::Tls11 => [3, 2],
        }
    }
}

/// Whether the server goes on with a handshake in that version. Silence and an end are refusals.
pub(super) async fn is_accepted(mut stream: TcpStream, version: Old, host: &str) -> bool {
    let offer = record(version, host, Random::system());
    let asking = async {
        stream.write_all(&offer).await?;
        let mut answer = [0; 11];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(PATIENCE, asking).await {
        Ok(Ok(answer)) => is_server_hello(&answer, version),
        _ => false,
    }
}

/// A handshake record with a `ServerHello` of that version.
fn is_server_hello(answer: &[u8; 11], version: Old) -> bool {
    answer[0] == 22 && answer[5] == 2 && answer[9..] == version.bytes()
}

/// The record with the `ClientHello`.
fn record(version: Old, host: &str, random: Random) -> Vec<u8> {
    let suites: Vec<u8> = SUITES.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let mut body = version.bytes().to_vec();
    body.extend(random.bytes::<32>());
    body.push(0);
    body.extend(counted(&suites));
    body.extend([1, 0]);
    body.extend(counted(&extensions(host)));
    let mut message = vec![1, 0];
    message.extend(counted(&body));
    let mut record = vec![22, 3, 1];
    record.extend(counted(&message));
    record
}

/// The server's name, three curves, uncompressed points.
fn extensions(host: &str) -> Vec<u8> {
    let mut all = Vec::new();
    if host.parse::<std::net::IpAddr>().is_err() {
        let name = [&[0][..], &counted(host.as_bytes())].concat();
        all.extend([0, 0]);
        all.extend(counted(&counted(&name)));
    }
    all.extend([0, 10]);
    all.extend(counted(&counted(&[0, 23, 0, 24, 0, 25])));
    all.extend([0, 11]);
    all.extend(counted(&[1, 0]));
    all
}

/// With its length in two bytes before it.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a host's name is no longer than 253 bytes");
    [&length.to_be_bytes(), bytes].concat()
}
