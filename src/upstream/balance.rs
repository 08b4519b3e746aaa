//! Which server gets a request, and which are next in line should that one not do.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use super::pool::Pool;
use crate::base::handle::Handle;
use crate::config::Balance;

/// Puts servers in an order, without a lock.
#[derive(Debug)]
pub(super) struct Balancer {
    balance: Balance,
    weights: Vec<u32>,
    /// Servers by their places in the list, each as often as it weighs, spread evenly.
    turns: Vec<usize>,
    turn: AtomicUsize,
}

/// Who a request is from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub(super) session: Option<Handle>,
    pub(super) client: IpAddr,
}

impl Balancer {
    pub(super) fn new(balance: Balance, weights: &[u32]) -> Self {
        Self { balance, weights: weights.to_vec(), turns: spread(weights), turn: AtomicUsize::new(0) }
    }

    /// The servers, the best one first.
    pub(super) fn order<'a>(&self, pools: &'a [Arc<Pool>], sender: Sender) -> Vec<&'a Arc<Pool>> {
        if pools.len() == 1 {
            return vec![&pools[0]];
        }
        let mut places = match self.balance {
            Balance::RoundRobin | Balance::LeastRequests => self.in_turn(pools.len()),
            Balance::ClientHash | Balance::SessionHash => (0..pools.len()).collect(),
        };
        match self.balance {
            Balance::RoundRobin => {}
            // The sort is stable: those alike stay in turn.
            Balance::LeastRequests => places.sort_by_key(|place| self.load(pools, *place)),
            Balance::ClientHash => self.sort_by_hash(&mut places, pools, &Sender { session: None, ..sender }),
            Balance::SessionHash => self.sort_by_hash(&mut places, pools, &sender),
        }
        places.into_iter().map(|place| &pools[place]).collect()
    }

    fn in_turn(&self, servers: usize) -> Vec<usize> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.turns.len();
        let first = self.turns[turn];
        (first..servers).chain(0..first).collect()
    }

    /// Requests under way for each unit of weight.
    fn load(&self, pools: &[Arc<Pool>], place: usize) -> u64 {
        let busy = u64::try_from(pools[place].busy()).unwrap_or(u64::from(u32::MAX));
        (busy << 32) / u64::from(self.weights[place])
    }

    /// By rendezvous hashing: every sender ranks the servers in a way of its own, which does not depend on which
    /// others there are. Where one goes, its senders alone move, each to its next best. All proxies agree.
    fn sort_by_hash(&self, places: &mut [usize], pools: &[Arc<Pool>], sender: &Sender) {
        let key = sender.key();
        places.sort_by_cached_key(|place| {
            Reverse(Rank(score(&pools[*place].server.label, &key, self.weights[*place])))
        });
    }
}

impl Sender {
    fn key(&self) -> Vec<u8> {
        match (self.session, self.client) {
            (Some(handle), _) => handle.as_bytes().to_vec(),
            (None, IpAddr::V4(address)) => address.octets().to_vec(),
            (None, IpAddr::V6(address)) => address.octets().to_vec(),
        }
    }
}

/// A server's rank with a sender; the highest wins, in proportion to the weights.
fn score(server: &str, key: &[u8], weight: u32) -> f64 {
    let digest = Sha256::new().chain_update(server).chain_update([0]).chain_update(key).finalize();
    let head = [digest[0], digest[1], digest[2], digest[3]];
    // Between 0 and 1, and neither.
    let hash = (f64::from(u32::from_be_bytes(head)) + 0.5) / 4_294_967_296.0;
    -f64::from(weight) / hash.ln()
}

/// Scores are never NaN, so that they can be sorted.
#[derive(PartialEq)]
struct Rank(f64);

impl Eq for Rank {}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Places in a list, each as often as it weighs: in every round, whoever is owed most is next.
fn spread(weights: &[u32]) -> Vec<usize> {
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(*weight)).collect();
    let total: i64 = weights.iter().sum();
    let mut owed = vec![0; weights.len()];
    let mut next = || {
        owed.iter_mut().zip(&weights).for_each(|(owed, weight)| *owed += weight);
        let most = (0..owed.len()).max_by_key(|place| (owed[*place], Reverse(*place))).unwrap_or(0);
        owed[most] -= total;
        most
    };
    (0..total).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_by_weight() {
        assert_eq!(spread(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(spread(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_server_that_goes_moves_none_but_its_own_senders() {
        let servers = ["http://a", "http://b", "http://c"];
        let best = |servers: &[&'static str], key: u32| {
            let scored = servers.iter().map(|server| (Rank(score(server, &key.to_be_bytes(), 1)), *server));
            scored.max_by(|one, other| one.0.cmp(&other.0)).unwrap().1
        };
        let mut counts = [0_u32; 3];
        for key in 0..3000 {
            let (before, after) = (best(&servers, key), best(&servers[..2], key));
            assert!(before == after || before == "http://c", "{key}: {before} {after}");
            counts[servers.iter().position(|server| *server == before).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_hash_minds_the_weights() {
        let heavy = (0..4000_u32).filter(|key| {
            let key = key.to_be_bytes();
            score("http://a", &key, 3) > score("http://b", &key, 1)
        });
        assert!((2900..3100).contains(&heavy.count()));
    }
}
