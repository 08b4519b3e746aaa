//! Who counts as one client.

use std::net::{IpAddr, Ipv6Addr};

/// What a client has to itself: an IPv4 address, or, of IPv6, the /64 that `address` lies in.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_64() {
        let is_one = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|address| network_of(address.parse().unwrap()));
            one == other
        };
        assert!(is_one("2001:db8:1:2::1", "2001:db8:1:2:ffff::2"));
        assert!(!is_one("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(is_one("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!is_one("192.0.2.1", "192.0.2.2"));
    }
}
