//! What a session is bound to.

use std::net::IpAddr;

use http::{HeaderMap, header};

use super::Session;
use crate::config::Bind;

/// So much of a client's name for itself is kept.
const USER_AGENT_CHARS: usize = 256;

/// What the client calls itself, as far as it is kept.
pub(super) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::USER_AGENT)?;
    let text = String::from_utf8_lossy(value.as_bytes());
    Some(text.chars().filter(|c| !c.is_control()).take(USER_AGENT_CHARS).collect())
}

/// Whether a request comes from where its session's login came from, in all that `bind` asks for.
pub(super) fn holds(bind: &[Bind], session: &Session, client: IpAddr, headers: &HeaderMap) -> bool {
    bind.iter().all(|bind| match bind {
        Bind::UserAgent => user_agent(headers) == session.user_agent,
        Bind::Network => session.address.parse().is_ok_and(|at_login| network(at_login) == network(client)),
    })
}

/// The address with all but its network zeroed: IPv4 /24, IPv6 /56.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & 0xffff_ff00).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !((1_u128 << 72) - 1)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_ipv4_24_or_an_ipv6_56() {
        let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
        assert!(same("192.0.2.1", "192.0.2.255") && !same("192.0.2.1", "192.0.3.1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.7"));
        assert!(same("2001:db8:1:200::1", "2001:db8:1:2ff:ffff::2"));
        assert!(!same("2001:db8:1:200::1", "2001:db8:1:300::1") && !same("::1", "127.0.0.1"));
    }
}
