//! The PROXY protocol, versions 1 and 2: whom a proxy that does not read what it passes on (a load balancer of a
//! cloud, say) announces before the first byte of what it passes on.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How version 2 begins, as long as the shortest beginning that tells the versions apart.
const V2: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// How version 1 begins.
const V1: &[u8] = b"PROXY ";

/// The longest line of version 1, its end included.
const V1_BYTES: usize = 107;

/// What version 2 says after [`V2`]: version and command, family, and the length of the rest.
const V2_FIELDS: usize = 4;

/// Version 2, the command LOCAL.
const V2_LOCAL: u8 = 0x20;

/// As long as we take the rest of version 2. Addresses are short; what may follow them tells a certificate at most.
const V2_REST: usize = 4096;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// That of whoever has this address.
    Client(SocketAddr),
    /// The proxy's own: it speaks for itself, as for a health check.
    Itself,
    /// Somebody's whom the proxy does not name.
    Unnamed,
}

/// A connection that does not begin as it must.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAnnounced {
    /// It ended or broke off.
    #[error("it ended within the PROXY header")]
    Ended(#[from] io::Error),
    /// It begins with something else.
    #[error("it does not begin with a PROXY header")]
    Absent,
    /// Longer than anybody needs.
    #[error("its PROXY header is too long")]
    TooLong,
    /// Not by the rules.
    #[error("its PROXY header is malformed")]
    Malformed,
}

/// Reads the header and not one byte more.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Announced, NotAnnounced> {
    let mut header = V2.map(|_| 0).to_vec();
    stream.read_exact(&mut header).await?;
    if header == V2 {
        read_v2(stream, &mut header).await?;
    } else if header.starts_with(V1) {
        read_v1(stream, &mut header).await?;
    } else {
        return Err(NotAnnounced::Absent);
    }
    parse(&header)
}

/// Byte by byte: where the line ends is known when it has ended.
async fn read_v1(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), NotAnnounced> {
    while !header.ends_with(b"\n") {
        if header.len() == V1_BYTES {
            return Err(NotAnnounced::TooLong);
        }
        header.push(stream.read_u8().await?);
    }
    // The library would take a port with a sign.
    if header.contains(&b'+') { Err(NotAnnounced::Malformed) } else { Ok(()) }
}

async fn read_v2(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), NotAnnounced> {
    let mut fields = [0; V2_FIELDS];
    stream.read_exact(&mut fields).await?;
    let [_, _, high, low] = fields;
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > V2_REST {
        return Err(NotAnnounced::TooLong);
    }
    header.extend(fields);
    let read = header.len();
    header.resize(read + rest, 0);
    stream.read_exact(&mut header[read..]).await?;
    Ok(())
}

fn parse(header: &[u8]) -> Result<Announced, NotAnnounced> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let (parsed, length) = ProxyHeader::parse(header, config).map_err(|_| NotAnnounced::Malformed)?;
    if length != header.len() {
        return Err(NotAnnounced::Malformed);
    }
    let Some(proxied) = parsed.proxied_address() else {
        return Ok(if is_local(header) { Announced::Itself } else { Announced::Unnamed });
    };
    if proxied.protocol != Protocol::Stream {
        return Err(NotAnnounced::Malformed);
    }
    let client = SocketAddr::new(proxied.source.ip().to_canonical(), proxied.source.port());
    Ok(Announced::Client(client))
}

/// Whether a whole header of version 2 has the command LOCAL; version 1 has no word for it.
fn is_local(header: &[u8]) -> bool {
    header.starts_with(&V2) && header.get(V2.len()) == Some(&V2_LOCAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn announced(bytes: &[u8]) -> String {
        let mut stream = bytes;
        match read(&mut stream).await {
            Ok(Announced::Client(client)) => format!("{client}, then {:?}", String::from_utf8_lossy(stream)),
            Ok(Announced::Itself) => format!("itself, then {:?}", String::from_utf8_lossy(stream)),
            Ok(Announced::Unnamed) => format!("unnamed, then {:?}", String::from_utf8_lossy(stream)),
            Err(NotAnnounced::Ended(_)) => "ended".to_owned(),
            Err(NotAnnounced::Absent) => "absent".to_owned(),
            Err(NotAnnounced::TooLong) => "too long".to_owned(),
            Err(NotAnnounced::Malformed) => "malformed".to_owned(),
        }
    }

    /// The bytes that a line of the fixture writes with escapes.
    fn unescaped(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            let (byte, after) = match (byte, after) {
                (b'\\', [b'r', after @ ..]) => (b'\r', after),
                (b'\\', [b'n', after @ ..]) => (b'\n', after),
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digits = [*high, *low];
                    (u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap(), after)
                }
                (byte, after) => (*byte, after),
            };
            bytes.push(byte);
            rest = after;
        }
        bytes
    }

    #[tokio::test]
    async fn what_is_read_is_what_the_list_of_attacks_says() {
        let fixture = include_str!("../../tests/fixtures/proxy_protocol.txt");
        let mut lines = fixture.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        while let Some(case) = lines.next() {
            let expected = lines.next().unwrap().strip_prefix("  → ").unwrap();
            assert_eq!(announced(&unescaped(case)).await, expected, "{case}");
        }
    }

    #[tokio::test]
    async fn a_header_that_goes_on_and_on_is_refused_before_it_ends() {
        assert_eq!(announced(&[b"PROXY UNKNOWN ", [b'a'; 200].as_slice()].concat()).await, "too long");
        let long = [V2.as_slice(), b"\x21\x11\x10\x01", &[0; 5000]].concat();
        assert_eq!(announced(&long).await, "too long");
    }

    #[tokio::test]
    async fn a_header_cut_anywhere_is_never_taken() {
        let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.8 56324 443\r\n".as_slice();
        let v2 =
            [V2.as_slice(), b"\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x08\xdc\x04\x01\xbb"].concat();
        for header in [v1, &v2] {
            for cut in 0..header.len() {
                assert_eq!(announced(&header[..cut]).await, "ended", "{cut}");
            }
        }
    }
}
