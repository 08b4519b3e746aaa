//! Where a request comes from, as far as trusted proxies say (RFC 7239, and the headers from before it).

use std::collections::VecDeque;
use std::net::IpAddr;

use http::{HeaderMap, header};

use super::forwarded::{self, BadForwarded, Element};
use super::forwarding::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use super::{Scheme, TrustedProxies};

/// So many hops are told upstream at most; nobody has more proxies than that.
const MAX_HOPS: usize = 32;

/// Where a request comes from, as far as is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it: the right-most hop that is no trusted proxy, or the last that is known.
    pub client: IpAddr,
    /// What the client sent it by.
    pub scheme: Scheme,
    /// What upstreams are told of the way: each hop's address, the one that connected to us last.
    pub hops: Vec<IpAddr>,
}

/// Why what a trusted proxy says is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadForwarding {
    /// `Forwarded` is not what RFC 7239 says it is.
    #[error("{0} (have it remove the header, or write it anew)")]
    Syntax(#[from] BadForwarded),
    /// Its headers name different clients or schemes: the proxy sets one of them, and the other is a client's.
    #[error("its forwarding headers disagree (have it remove those that it does not set itself)")]
    Disagreeing,
}

impl Arrival {
    /// From `peer` itself.
    pub fn direct(peer: IpAddr, scheme: Scheme) -> Self {
        Self { client: peer, scheme, hops: vec![peer] }
    }

    /// From `peer`, by `scheme`; or, where it is trusted, from wherever its headers say.
    ///
    /// # Errors
    /// Where a trusted proxy's word can be read in two ways.
    pub fn of(
        headers: &HeaderMap,
        peer: IpAddr,
        scheme: Scheme,
        trusted: &TrustedProxies,
    ) -> Result<Self, BadForwarding> {
        if !trusted.trust(peer) {
            return Ok(Self::direct(peer, scheme));
        }
        let proto = x_forwarded_proto(headers)?;
        let old = Claim::of_x_forwarded_for(headers).map(|claim| claim.judged(peer, trusted));
        let new = Claim::of_forwarded(headers)?.map(|claim| claim.judged(peer, trusted));
        if let (Some(old), Some(new)) = (&old, &new)
            && old.client != new.client
        {
            return Err(BadForwarding::Disagreeing);
        }
        let said = match (new.as_ref().and_then(|new| new.scheme), proto) {
            (Some(new), Some(old)) if new != old => return Err(BadForwarding::Disagreeing),
            (new, old) => new.or(old),
        };
        let scheme = said.unwrap_or(scheme);
        Ok(match old.or(new) {
            Some(Verdict { client, hops, .. }) => Self { client, scheme, hops },
            None => Self::direct(peer, scheme),
        })
    }
}

/// What one family of headers says.
#[derive(Default)]
struct Claim {
    /// From the first hop to the last, as many as are told upstream; without an address where that is not told or cannot
    /// be read.
    hops: VecDeque<Element>,
}

/// What is believed of it.
struct Verdict {
    client: IpAddr,
    scheme: Option<Scheme>,
    hops: Vec<IpAddr>,
}

impl Claim {
    /// `None` where there is no such header.
    fn of_x_forwarded_for(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(X_FORWARDED_FOR) {
            return None;
        }
        let lines = headers.get_all(X_FORWARDED_FOR).iter();
        let items = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let mut claim = Self::default();
        for item in items {
            let client = str::from_utf8(item.trim_ascii()).ok().and_then(forwarded::node);
            claim.add(Element { client, scheme: None });
        }
        Some(claim)
    }

    /// `None` where there is no such header.
    fn of_forwarded(headers: &HeaderMap) -> Result<Option<Self>, BadForwarded> {
        if !headers.contains_key(header::FORWARDED) {
            return Ok(None);
        }
        let mut claim = Self::default();
        for line in headers.get_all(header::FORWARDED) {
            forwarded::parse(line.as_bytes(), |element| claim.add(element))?;
        }
        Ok(Some(claim))
    }

    /// The hop after those so far; of too many the first is forgotten.
    fn add(&mut self, hop: Element) {
        if self.hops.len() == MAX_HOPS - 1 {
            self.hops.pop_front();
        }
        self.hops.push_back(hop);
    }

    /// Walks from the right past trusted proxies. What a hop says of the one before it counts only while every hop so
    /// far is trusted; what cannot be read ends the walk at the last hop that is known.
    fn judged(self, peer: IpAddr, trusted: &TrustedProxies) -> Verdict {
        let mut verdict = Verdict { client: peer, scheme: None, hops: vec![peer] };
        let mut walking = true;
        for Element { client, scheme } in self.hops.into_iter().rev() {
            if walking {
                verdict.scheme = scheme;
            }
            let Some(client) = client else { break };
            if walking {
                verdict.client = client;
                walking = trusted.trust(client);
            }
            verdict.hops.push(client);
        }
        verdict.hops.reverse();
        verdict
    }
}

/// Whether anybody, believed or not, says that a request came by https.
pub fn is_said_to_be_secure(headers: &HeaderMap) -> bool {
    let says = |name, word: &[u8]| {
        let has_word = |line: &[u8]| line.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
        headers.get_all(name).iter().any(|line| has_word(line.as_bytes()))
    };
    says(X_FORWARDED_PROTO, b"https") || says(header::FORWARDED, b"proto=https")
}

/// One scheme, however often it is said; of several nobody knows which is whose.
fn x_forwarded_proto(headers: &HeaderMap) -> Result<Option<Scheme>, BadForwarding> {
    let lines = headers.get_all(X_FORWARDED_PROTO).iter();
    let mut said = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(scheme_said);
    let first = said.next().flatten();
    if said.all(|other| other == first) { Ok(first) } else { Err(BadForwarding::Disagreeing) }
}

/// Some proxies name the scheme that a WebSocket's page would.
fn scheme_said(word: &[u8]) -> Option<Scheme> {
    match word.trim_ascii() {
        b"wss" => Some(Scheme::Https),
        b"ws" => Some(Scheme::Http),
        word => Scheme::parse(word),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// What is believed of a line of the fixture.
    fn judged(trusted: &TrustedProxies, lines: &str) -> String {
        let mut headers = HeaderMap::new();
        let mut peer = "10.0.0.1".parse().unwrap();
        for line in lines.split(" | ") {
            let (name, value) = line.split_once(": ").unwrap();
            if name == "peer" {
                peer = value.parse().unwrap();
            } else {
                let name: HeaderName = name.parse().unwrap();
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
        }
        match Arrival::of(&headers, peer, Scheme::Http, trusted) {
            Err(_) => "400".to_owned(),
            Ok(arrival) => {
                let hops: Vec<String> = arrival.hops.iter().map(ToString::to_string).collect();
                format!("{} {} {}", arrival.client, arrival.scheme.as_str(), hops.join(","))
            }
        }
    }

    #[test]
    fn what_is_believed_is_what_the_list_of_attacks_says() {
        let networks = ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().unwrap());
        let trusted = TrustedProxies::new(networks.to_vec());
        let fixture = include_str!("../../tests/fixtures/forwarding.txt");
        let mut lines = fixture.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        while let Some(case) = lines.next() {
            let expected = lines.next().unwrap().strip_prefix("  → ").unwrap();
            assert_eq!(judged(&trusted, case), expected, "{case}");
        }
    }

    #[test]
    fn the_longest_chain_is_cut() {
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        for (name, hop) in [(X_FORWARDED_FOR, "10.0.0.2"), (header::FORWARDED, "for=10.0.0.2")] {
            let chain = [hop; 1000].join(",");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_str(&chain).unwrap())]);
            let arrival = Arrival::of(&headers, "10.0.0.1".parse().unwrap(), Scheme::Http, &trusted).unwrap();
            assert_eq!(arrival.hops.len(), MAX_HOPS);
        }
    }

    #[test]
    fn no_more_of_a_chain_is_kept_than_is_told() {
        let mut claim = Claim::default();
        for last in 0..=u8::MAX {
            claim.add(Element { client: Some([192, 0, 2, last].into()), scheme: None });
        }
        assert_eq!(claim.hops.len(), MAX_HOPS - 1);
        assert_eq!(claim.hops.back().and_then(|hop| hop.client), "192.0.2.255".parse().ok());
    }
}
