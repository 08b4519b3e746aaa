//! A Cluster of three masters with a replica each, all real.

use std::collections::BTreeSet;
use std::time::Duration;

use foregate::config::{ClientTls, RedisAddress, RedisCluster, RedisEndpoint, RedisUrl};

use super::redis::{Builder, RedisServer, free_port};
use super::sentinels::wait_until;

/// A node that has been silent for longer is taken for dead by the others.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_millis(1000);

const SLOTS: usize = 16_384;
const MASTERS: usize = 3;

/// Six processes; all end with the value. The first three are masters, of a third of the slots each.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::of(RedisServer::builder)
    }

    /// Of nodes that are made as is said.
    pub(crate) fn of(builder: impl Fn() -> Builder) -> Self {
        let node = |_| {
            let timeout = NODE_TIMEOUT.as_millis().to_string();
            let node =
                builder().directive("cluster-enabled", "yes").directive("cluster-node-timeout", &timeout);
            node.directive("cluster-port", &free_port().to_string())
                .directive("repl-diskless-sync-delay", "0")
                .start()
        };
        let cluster = Self { nodes: (0..2 * MASTERS).map(node).collect() };
        cluster.introduce();
        cluster.share_out();
        cluster
    }

    /// Everybody meets everybody: gossip would take longer.
    fn introduce(&self) {
        let buses: Vec<_> =
            self.nodes.iter().map(|node| node.cli(&["CONFIG", "GET", "cluster-port"])).collect();
        for (n, node) in self.nodes.iter().enumerate() {
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
            for (other, bus) in self.nodes.iter().zip(&buses).skip(n + 1) {
                let bus = bus.lines().nth(1).expect("it has a bus");
                node.cli(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), bus]);
            }
        }
        for (n, node) in self.nodes[..MASTERS].iter().enumerate() {
            let (first, end) = (SLOTS * n / MASTERS, SLOTS * (n + 1) / MASTERS);
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()]);
        }
        self.wait_until_all_say("everybody is met", "cluster_known_nodes:6");
    }

    fn share_out(&self) {
        for (master, replica) in self.nodes.iter().zip(&self.nodes[MASTERS..]) {
            let id = master.cli(&["CLUSTER", "MYID"]);
            wait_until("the replica is one", || replica.cli(&["CLUSTER", "REPLICATE", &id]) == "OK");
        }
        self.wait_until_all_say("all slots are served", "cluster_state:ok");
        wait_until("every master has a replica", || {
            self.nodes[..MASTERS]
                .iter()
                .all(|node| node.cli(&["INFO", "replication"]).contains("state=online"))
        });
    }

    fn wait_until_all_say(&self, what: &str, line: &str) {
        wait_until(what, || self.nodes.iter().all(|node| node.cli(&["CLUSTER", "INFO"]).contains(line)));
    }

    /// By way of its first and its last node.
    pub(crate) fn url(&self) -> RedisUrl {
        url(&[self.nodes[0].port(), self.nodes[5].port()], None)
    }

    /// The same as lines of `[session.store]`.
    pub(crate) fn store_keys(&self) -> String {
        let (first, last) = (self.nodes[0].port(), self.nodes[5].port());
        format!("url = \"redis+cluster://127.0.0.1:{first},127.0.0.1:{last}\"")
    }

    /// The slot of a key.
    pub(crate) fn slot_of(&self, key: &str) -> u16 {
        self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).parse().expect("a slot has a number")
    }

    /// Moves a slot with all its keys, as an administrator does it while everybody goes on working.
    pub(crate) fn migrate(&self, slot: u16, from: usize, to: usize) {
        self.begin_to_migrate(slot, from, to);
        self.end_migrating(slot, from, to);
    }

    /// What is not there yet belongs to the new owner.
    pub(crate) fn begin_to_migrate(&self, slot: u16, from: usize, to: usize) {
        let (source, target, slot) = (&self.nodes[from], &self.nodes[to], slot.to_string());
        let (source_id, target_id) = (source.cli(&["CLUSTER", "MYID"]), target.cli(&["CLUSTER", "MYID"]));
        assert_eq!(target.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]), "OK");
        assert_eq!(source.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]), "OK");
    }

    pub(crate) fn end_migrating(&self, slot: u16, from: usize, to: usize) {
        let (source, target, slot) = (&self.nodes[from], &self.nodes[to], slot.to_string());
        loop {
            let keys = source.cli(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            if keys.is_empty() {
                break;
            }
            for key in keys.lines() {
                source.cli(&["MIGRATE", "127.0.0.1", &target.port().to_string(), key, "0", "5000"]);
            }
        }
        let target_id = target.cli(&["CLUSTER", "MYID"]);
        for node in [target, source] {
            assert_eq!(node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]), "OK");
        }
    }

    /// The slots that hold anything.
    pub(crate) fn slots_in_use(&self) -> BTreeSet<u16> {
        let keys = self.nodes[..MASTERS].iter().map(|node| node.cli(&["KEYS", "*"]));
        keys.flat_map(|keys| keys.lines().map(|key| self.slot_of(key)).collect::<Vec<_>>()).collect()
    }

    /// Waits until every replica has what its master has.
    pub(crate) fn wait_for_replicas(&self) {
        let size = |node: &RedisServer| node.cli(&["DBSIZE"]);
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        wait_until("the replicas have everything", || {
            masters.iter().zip(replicas).all(|(master, replica)| size(master) == size(replica))
        });
    }

    /// Whether everybody who is left says that all slots are served, and none by this node.
    pub(crate) fn is_whole_without(&self, dead: usize) -> bool {
        let address = format!(":{}@", self.nodes[dead].port());
        let mut alive = self.nodes.iter().enumerate().filter(|(n, _)| *n != dead).map(|(_, node)| node);
        alive.all(|node| {
            let nodes = node.cli(&["CLUSTER", "NODES"]);
            let line = nodes.lines().find(|line| line.contains(&address)).expect("the dead are remembered");
            // The slots of a node follow its eight properties.
            line.split(' ').count() == 8 && node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
        })
    }
}

/// The master that a slot is given to in the beginning.
pub(crate) fn first_owner_of(slot: u16) -> usize {
    (0..MASTERS).rfind(|n| SLOTS * n / MASTERS <= usize::from(slot)).expect("slots begin at 0")
}

/// A Cluster by way of these nodes.
pub(crate) fn url(ports: &[u16], tls: Option<ClientTls>) -> RedisUrl {
    let at = |port: &u16| RedisEndpoint { host: "127.0.0.1".to_owned(), port: *port };
    let known = RedisCluster { nodes: ports.iter().map(at).collect(), tls };
    RedisUrl { address: RedisAddress::Cluster(known), database: 0, user: None, password: None }
}
