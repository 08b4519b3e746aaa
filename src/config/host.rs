//! Hosts as the configuration writes them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A host name or an IP address in one spelling: lower case, IPv6 (taken with or without brackets) without them.
pub(super) fn parse(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<Ipv6Addr>() {
        return Some(address.to_string());
    }
    let name = text.to_ascii_lowercase();
    (is_name(&name) || name.parse::<Ipv4Addr>().is_ok()).then_some(name)
}

/// Splits `HOST` or `HOST:PORT`, an IPv6 address being in brackets.
pub(super) fn with_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rfind([':', ']']) {
        Some(at) if authority[at..].starts_with(':') => (&authority[..at], Some(&authority[at + 1..])),
        _ => (authority, None),
    };
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    Some((parse(host)?, port))
}

/// Whether `text` is a host name in lower case (RFC 1123, and the underscore that private names have), without a
/// trailing dot. What ends in a number is an address or nothing.
pub(super) fn is_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        for (text, host) in [
            ("App.Example.COM", "app.example.com"),
            ("localhost", "localhost"),
            ("legacy_app", "legacy_app"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(host), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "-a",
            "a-",
            "a:80",
            "a/b",
            "u@a",
            "*",
            "é",
            "1.2.3",
            "1.2.3.4.5",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"a".repeat(64)), None);
    }

    #[test]
    fn a_port_is_a_number_but_not_zero() {
        assert_eq!(with_port("app"), Some(("app".to_owned(), None)));
        assert_eq!(with_port("app:9000"), Some(("app".to_owned(), Some(9000))));
        assert_eq!(with_port("[::1]:9000"), Some(("::1".to_owned(), Some(9000))));
        assert_eq!(with_port("[::1]"), Some(("::1".to_owned(), None)));
        for text in ["app:", "app:0", "app:+1", "app:65536", "::1", ":80", "[::1", "[::1]80", "app:1:2", ""] {
            assert_eq!(with_port(text), None, "{text}");
        }
    }
}
