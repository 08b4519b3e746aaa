//! What upstreams learn of the connection before the proxy (RFC 7239, and the headers from before it).

use std::fmt::Write as _;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Authority, Scheme};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The hop from the client to the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// Who sent the request.
    pub client: IpAddr,
    /// What it came by.
    pub scheme: Scheme,
    /// The host it is for.
    pub authority: &'a Authority,
}

/// Sets `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `Forwarded` to this hop alone, whatever was there.
pub fn set(headers: &mut HeaderMap, hop: &Hop<'_>) {
    let client = hop.client.to_canonical();
    let port = hop.authority.port_or_default(hop.scheme);
    headers.insert(X_FORWARDED_FOR, value(client.to_string()));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(hop.scheme.as_str()));
    headers.insert(X_FORWARDED_HOST, value(hop.authority.to_string()));
    headers.insert(X_FORWARDED_PORT, HeaderValue::from(port));
    headers.insert(header::FORWARDED, value(forwarded(client, hop)));
}

/// One element (RFC 7239 §4); a value with a colon or brackets is no token and is quoted (§6).
fn forwarded(client: IpAddr, hop: &Hop<'_>) -> String {
    let mut element = String::with_capacity(96);
    let host = hop.authority.to_string();
    let quote = if host.contains(':') { "\"" } else { "" };
    let scheme = hop.scheme.as_str();
    let written = match client {
        IpAddr::V4(client) => write!(element, "for={client}"),
        IpAddr::V6(client) => write!(element, "for=\"[{client}]\""),
    };
    written
        .and_then(|()| write!(element, ";host={quote}{host}{quote};proto={scheme}"))
        .expect("a string takes all that is written");
    element
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("addresses and canonical hosts are printable ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(client: &str, authority: &str) -> [String; 5] {
        let mut headers = HeaderMap::new();
        for spoof in
            [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT, header::FORWARDED]
        {
            headers.append(&spoof, HeaderValue::from_static("spoof"));
            headers.append(&spoof, HeaderValue::from_static("spoof"));
        }
        let authority = Authority::parse(authority).unwrap();
        set(
            &mut headers,
            &Hop { client: client.parse().unwrap(), scheme: Scheme::Https, authority: &authority },
        );
        assert_eq!(headers.len(), 5);
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded"]
            .map(|name| headers[name].to_str().unwrap().to_owned())
    }

    #[test]
    fn what_the_client_claimed_is_gone() {
        assert_eq!(
            told("192.0.2.1", "app.test"),
            ["192.0.2.1", "https", "app.test", "443", "for=192.0.2.1;host=app.test;proto=https"]
        );
    }

    #[test]
    fn addresses_with_colons_and_ports_are_quoted() {
        assert_eq!(
            told("2001:db8::1", "[2001:db8::2]:8443"),
            [
                "2001:db8::1",
                "https",
                "[2001:db8::2]:8443",
                "8443",
                "for=\"[2001:db8::1]\";host=\"[2001:db8::2]:8443\";proto=https"
            ]
        );
        assert_eq!(told("192.0.2.1", "app.test:8443")[4], "for=192.0.2.1;host=\"app.test:8443\";proto=https");
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
        assert_eq!(told("::ffff:192.0.2.1", "app.test")[0], "192.0.2.1");
    }
}
