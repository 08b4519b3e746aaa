//! `Forwarded` (RFC 7239 §4 to §6), read strictly: a quote that stays open would hide what a proxy has added after it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Scheme;

/// What one proxy says of the hop before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// `for`; `None` where it is not told, or told by a name of the proxy's own (§6.3).
    pub(super) client: Option<IpAddr>,
    /// `proto`
    pub(super) scheme: Option<Scheme>,
}

/// `Forwarded` is not a list of what RFC 7239 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed Forwarded header")]
pub struct BadForwarded;

/// Hands on the elements of one line, one after the other.
pub(super) fn parse(line: &[u8], mut each: impl FnMut(Element)) -> Result<(), BadForwarded> {
    let mut rest = line;
    loop {
        each(element(&mut rest)?);
        match rest.split_first() {
            None => return Ok(()),
            Some((b',', after)) => rest = after,
            Some(_) => return Err(BadForwarded),
        }
    }
}

/// Pairs with semicolons between them, of what is asked for one each; stops at what follows.
fn element(rest: &mut &[u8]) -> Result<Element, BadForwarded> {
    let (mut client, mut scheme) = (None, None);
    loop {
        *rest = rest.trim_ascii_start();
        let name = token(rest).ok_or(BadForwarded)?;
        *rest = rest.strip_prefix(b"=").ok_or(BadForwarded)?;
        let value = value(rest).ok_or(BadForwarded)?;
        let is_said_twice = if name.eq_ignore_ascii_case(b"for") {
            client.replace(str::from_utf8(&value).ok().and_then(node)).is_some()
        } else if name.eq_ignore_ascii_case(b"proto") {
            scheme.replace(Scheme::parse(&value)).is_some()
        } else {
            false
        };
        if is_said_twice {
            return Err(BadForwarded);
        }
        *rest = rest.trim_ascii_start();
        match rest.strip_prefix(b";") {
            Some(after) => *rest = after,
            None => return Ok(Element { client: client.flatten(), scheme: scheme.flatten() }),
        }
    }
}

fn token<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| !is_token(*byte)).unwrap_or(rest.len());
    let (token, after) = rest.split_at(end);
    *rest = after;
    (!token.is_empty()).then_some(token)
}

/// A token or a quoted string, without its quotes.
fn value(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let Some(mut quoted) = rest.strip_prefix(b"\"") else { return token(rest).map(<[u8]>::to_vec) };
    let mut value = Vec::new();
    loop {
        let (byte, after) = quoted.split_first()?;
        quoted = after;
        match byte {
            b'"' => break,
            b'\\' => {
                let (escaped, after) = quoted.split_first()?;
                value.push(*escaped);
                quoted = after;
            }
            byte => value.push(*byte),
        }
    }
    *rest = quoted;
    Some(value)
}

/// RFC 9110 §5.6.2
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// An address, with or without a port; an IPv6 address may lack its brackets, as it does in `X-Forwarded-For`.
pub(super) fn node(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(address) => address.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().or_else(|| with_port(text)),
    };
    address.map(|address| address.to_canonical())
}

fn with_port(text: &str) -> Option<IpAddr> {
    if let Some((host, port)) = text.rsplit_once(':')
        && is_obfuscated_port(port)
    {
        return match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(host) => host.parse().ok().map(IpAddr::V6),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
    }
    text.parse().ok().map(|socket: SocketAddr| socket.ip())
}

/// A port may be a name of the proxy's own (§6.2).
fn is_obfuscated_port(port: &str) -> bool {
    port.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(line: &[u8]) -> Result<Vec<Element>, BadForwarded> {
        let mut elements = Vec::new();
        parse(line, |element| elements.push(element)).map(|()| elements)
    }

    #[test]
    fn an_address_has_many_spellings() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("192.0.2.1:_web", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]:_web", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(node(text), address.parse().ok(), "{text}");
        }
        for text in ["", "unknown", "_hidden", "a", "192.0.2", "192.0.2.1:", "192.0.2.1:x", "[192.0.2.1]"] {
            assert_eq!(node(text), None, "{text}");
        }
        for text in ["[::1", "::1]", "010.0.0.1", "localhost", "192.0.2.1 ", "0x7f.1"] {
            assert_eq!(node(text), None, "{text}");
        }
    }

    #[test]
    fn elements_are_read_as_the_standard_writes_them() {
        let line = b"for=\"_gazonk\", For=\"[2001:db8:cafe::17]:4711\" ; proto=HTTPS;by=203.0.113.43";
        let second = Element { client: "2001:db8:cafe::17".parse().ok(), scheme: Some(Scheme::Https) };
        assert_eq!(elements(line).unwrap(), [Element::default(), second]);
        assert_eq!(elements(b"for=\"192.0.2.\\1\"").unwrap()[0].client, "192.0.2.1".parse().ok());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let lines = "|,|for|for=|=a|for=a;|for=a,|for=\"a|for=\"a\\|for=a b|for = a|for=\"a\"b|for=a;for=b\
                     |for=a;FOR=b|for=[::1]|for=1:2|for=a;;proto=http|for=\"a, for=\"192.0.2.1\"";
        for line in lines.split('|') {
            assert_eq!(elements(line.as_bytes()), Err(BadForwarded), "{line}");
        }
    }
}
