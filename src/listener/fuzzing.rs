//! What holds of every beginning of a connection from a proxy. See [`crate::fuzzing`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::proxy_protocol::{Announced, NotAnnounced, read};

/// Whoever is announced stands in the header, nothing after the header is read, and no header is taken before its end.
pub fn proxy_header(data: &[u8]) {
    let mut rest = data;
    let Ok(announced) = read_at_once(&mut rest) else { return };
    let header = &data[..data.len() - rest.len()];
    for cut in 0..header.len() {
        let is_taken = !matches!(read_at_once(&mut &header[..cut]), Err(NotAnnounced::Ended(_)));
        assert!(!is_taken, "{cut} bytes are taken for the whole");
    }
    let said = if header.starts_with(b"PROXY") { said_by_v1(header) } else { said_by_v2(header) };
    assert_eq!(announced, said);
}

/// Bytes in memory never keep anybody waiting.
fn read_at_once(bytes: &mut &[u8]) -> Result<Announced, NotAnnounced> {
    match pin!(read(bytes)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("a slice is always ready"),
    }
}

fn said_by_v1(header: &[u8]) -> Announced {
    // What follows is not read.
    if header.starts_with(b"PROXY UNKNOWN") {
        return Announced::Unnamed;
    }
    let line = str::from_utf8(header).expect("a line of version 1 is ASCII").strip_suffix("\r\n");
    let fields: Vec<&str> = line.expect("a line of version 1 has an end").split(' ').collect();
    let [_, _, source, _, port, _] = fields[..] else { panic!("a line of version 1 has six fields") };
    let address: IpAddr = source.parse().expect("an address");
    Announced::Client(SocketAddr::new(address.to_canonical(), port.parse().expect("a port")))
}

/// Version and command, family, length, and then the source, the destination and their ports (§2.2 of the protocol).
fn said_by_v2(header: &[u8]) -> Announced {
    let (fields, addresses) = header[12..].split_at(4);
    assert_eq!(addresses.len(), usize::from(fields[2]) << 8 | usize::from(fields[3]));
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    match (fields[0], fields[1]) {
        (0x21, 0x11) => {
            let source: [u8; 4] = addresses[..4].try_into().expect("four bytes");
            Announced::Client(SocketAddr::new(Ipv4Addr::from(source).into(), port(8)))
        }
        (0x21, 0x21) => {
            let source: [u8; 16] = addresses[..16].try_into().expect("sixteen bytes");
            let address = IpAddr::from(Ipv6Addr::from(source)).to_canonical();
            Announced::Client(SocketAddr::new(address, port(32)))
        }
        (0x20, _) => Announced::Itself,
        _ => Announced::Unnamed,
    }
}
