//! Networks, as the configuration writes them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::reader::{Complaint, Value, kind};

const CIDR: &str = "write one such as \"10.0.0.0/8\", \"2001:db8::/32\" or \"192.0.2.7\"";

/// A network, or one address.
///
/// # Errors
/// Where it is neither, or an address within a network: nobody knows which of the two is meant.
pub(super) fn network(value: &Value<'_>) -> Result<IpNet, Complaint> {
    kind::text_as(|text| {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let network = address.ok().or_else(|| text.parse().ok());
        let network = network.ok_or_else(|| Complaint::new(format!("{text:?} is not a network"), CIDR))?;
        if network.trunc() != network {
            let remedy = format!("write \"{}\" or \"{}\"", network.trunc(), network.addr());
            return Err(Complaint::new(format!("{text:?} is an address within a network"), remedy));
        }
        match network.addr().to_canonical() {
            IpAddr::V4(address) if matches!(network, IpNet::V6(_)) => Err(Complaint::new(
                format!("{text:?} is IPv4 within IPv6"),
                format!("write it as IPv4, such as \"{address}\""),
            )),
            _ => Ok(network),
        }
    })(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::outcome;
    use super::*;

    fn networks(text: &str) -> Result<String, Vec<String>> {
        let read = outcome(&format!("key = {text:?}"), |root| root.optional("key", network));
        read.map(|(network, _)| network.unwrap().to_string())
    }

    #[test]
    fn a_network_is_an_address_and_a_length_or_one_address() {
        for (text, network) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("::1/128", "::1/128"),
            ("2001:DB8::", "2001:db8::/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(networks(text), Ok(network.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0",
            "localhost",
            "*",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1",
            "10.0.0.0/-1",
        ] {
            assert_eq!(networks(text).unwrap_err().len(), 1, "{text}");
        }
    }
}
