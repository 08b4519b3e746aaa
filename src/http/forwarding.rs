//! What upstreams learn of the connection before the proxy (RFC 7239, and the headers from before it).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Authority, Scheme};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The way to the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// Who sent the request, and the proxies that it came by: the one that connected to us is the last.
    pub hops: &'a [IpAddr],
    /// What the client sent it by.
    pub scheme: Scheme,
    /// The host it is for.
    pub authority: &'a Authority,
}

/// Sets `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `Forwarded` to what is believed, whatever was there. Both
/// families say the same.
pub fn set(headers: &mut HeaderMap, way: &Way<'_>) {
    let port = way.authority.port_or_default(way.scheme);
    headers.insert(X_FORWARDED_FOR, value(joined(way.hops.iter().map(ToString::to_string))));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(way.scheme.as_str()));
    headers.insert(X_FORWARDED_HOST, value(way.authority.to_string()));
    headers.insert(X_FORWARDED_PORT, HeaderValue::from(port));
    headers.insert(header::FORWARDED, value(forwarded(way)));
}

/// An element for each hop (RFC 7239 §4), the last of which says the host and scheme; a value with a colon or brackets
/// is no token and is quoted (§6).
fn forwarded(way: &Way<'_>) -> String {
    let host = way.authority.to_string();
    let quote = if host.contains(':') { "\"" } else { "" };
    let elements = joined(way.hops.iter().map(|address| match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    }));
    format!("{elements};host={quote}{host}{quote};proto={}", way.scheme.as_str())
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("addresses and canonical hosts are printable ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(hops: &[&str], authority: &str) -> [String; 5] {
        let mut headers = HeaderMap::new();
        for spoof in
            [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT, header::FORWARDED]
        {
            headers.append(&spoof, HeaderValue::from_static("spoof"));
            headers.append(&spoof, HeaderValue::from_static("spoof"));
        }
        let authority = Authority::parse(authority).unwrap();
        let hops: Vec<IpAddr> = hops.iter().map(|hop| hop.parse().unwrap()).collect();
        set(&mut headers, &Way { hops: &hops, scheme: Scheme::Https, authority: &authority });
        assert_eq!(headers.len(), 5);
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded"]
            .map(|name| headers[name].to_str().unwrap().to_owned())
    }

    #[test]
    fn what_the_client_claimed_is_gone() {
        assert_eq!(
            told(&["192.0.2.1"], "app.test"),
            ["192.0.2.1", "https", "app.test", "443", "for=192.0.2.1;host=app.test;proto=https"]
        );
    }

    #[test]
    fn addresses_with_colons_and_ports_are_quoted() {
        assert_eq!(
            told(&["2001:db8::1"], "[2001:db8::2]:8443"),
            [
                "2001:db8::1",
                "https",
                "[2001:db8::2]:8443",
                "8443",
                "for=\"[2001:db8::1]\";host=\"[2001:db8::2]:8443\";proto=https"
            ]
        );
        assert_eq!(
            told(&["192.0.2.1"], "app.test:8443")[4],
            "for=192.0.2.1;host=\"app.test:8443\";proto=https"
        );
    }

    #[test]
    fn both_families_tell_every_hop() {
        let told = told(&["2001:db8::1", "10.0.0.2", "10.0.0.1"], "app.test");
        assert_eq!(told[0], "2001:db8::1, 10.0.0.2, 10.0.0.1");
        assert_eq!(told[4], "for=\"[2001:db8::1]\", for=10.0.0.2, for=10.0.0.1;host=app.test;proto=https");
    }
}
