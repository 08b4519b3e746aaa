//! What holds when a Cluster changes.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use foregate::config::{CertificateFiles, ClientTls, RedisUrl, StoreUrl};
use foregate::store::Trouble;
use tokio::time::sleep;

use super::under_load::{Load, logged_in};
use super::{AMPLE, Sample, open, open_redis, record, shared, touch, with_password};
use crate::support::authority::{Authority, Pair};
use crate::support::cluster::{self, Cluster, first_owner_of};
use crate::support::redis::{RedisServer, documented_user_of, free_port};
use crate::support::report;

const PASSWORD: &str = "of-the-acl-user";
const COMMAND: Duration = Duration::from_millis(250);
const CONNECT: Duration = Duration::from_secs(1);

/// Nodes that want certificates, with a user who may do what docs/operating.md says that it has to.
pub(super) struct SecureCluster {
    authority: Authority,
    client: Pair,
    cluster: Cluster,
}

impl SecureCluster {
    pub(super) fn start() -> Self {
        let authority = Authority::new();
        let pair = authority.issue("127.0.0.1");
        let user = documented_user_of("redis+cluster", PASSWORD);
        let node = || RedisServer::builder().tls(&authority, &pair).user(&user);
        // Without it nodes tell each other, and thereby us, of no port but the one for plain text.
        let node = || node().directive("tls-cluster", "yes").directive("tls-replication", "yes");
        let cluster = Cluster::of(node);
        let client = authority.issue("client.test");
        Self { authority, client, cluster }
    }

    pub(super) fn url(&self) -> RedisUrl {
        let certificate = CertificateFiles { cert: self.client.cert.clone(), key: self.client.key.clone() };
        let tls = ClientTls { ca: Some(self.authority.bundle()), certificate: Some(certificate) };
        let url = cluster::url(&[self.cluster.nodes[4].tls_port()], Some(tls));
        RedisUrl { user: Some("foregate".to_owned()), ..with_password(url, PASSWORD) }
    }
}

fn healthy() -> Arc<Cluster> {
    static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    shared(&CLUSTER, Cluster::start)
}

fn key_of(sample: &Sample) -> String {
    format!("session:{}", sample.handle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_slots_move_nothing_fails() {
    let cluster = healthy();
    let store = open_redis(cluster.url());
    let samples = logged_in(&*store, 30).await;
    let load = Load::start(&store, 30);
    for sample in &samples[..10] {
        let slot = cluster.slot_of(&key_of(sample));
        let (from, to) = (first_owner_of(slot), (first_owner_of(slot) + 1) % 3);
        cluster.migrate(slot, from, to);
        assert_eq!(cluster.nodes[to].cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]), "1");
        cluster.migrate(slot, to, from);
    }
    let tally = load.end().await;
    report(&format!("20 slots moved: {} of {} requests failed", tally.failures.len(), tally.requests));
    assert!(tally.failures.is_empty(), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_in_a_slot_that_moves_is_made_used_and_ended() {
    let cluster = healthy();
    let store = open_redis(cluster.url());
    let sample = Sample::new(200).of("one who moves");
    let slot = cluster.slot_of(&key_of(&sample));
    let (from, to) = (first_owner_of(slot), (first_owner_of(slot) + 1) % 3);
    cluster.begin_to_migrate(slot, from, to);
    assert_eq!(store.load(&sample.handle).await.unwrap().record, None);
    store.create(&sample.session()).await.unwrap();
    assert!(store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap());
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(record(1_700_000_060, 200)));
    assert!(store.remove(&sample.handle, &sample.account).await.unwrap().existed);
    store.create(&sample.session()).await.unwrap();
    cluster.end_migrating(slot, from, to);
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record.clone()));
    store.remove(&sample.handle, &sample.account).await.unwrap();
    cluster.migrate(slot, to, from);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_master_is_missed_until_its_replica_has_its_place() {
    let mut cluster = Cluster::start();
    let store = open(StoreUrl::Redis(cluster.url()), COMMAND, CONNECT);
    let samples = logged_in(&*store, 30).await;
    sleep(Duration::from_millis(100)).await;
    let load = Load::start(&store, 30);
    load.for_another(Duration::from_millis(200)).await;
    cluster.nodes[0].kill();
    while !cluster.is_whole_without(0) {
        assert!(load.since.elapsed() < 3 * AMPLE, "nobody takes its place");
    }
    let whole = load.since.elapsed();
    load.for_another(Duration::from_millis(1500)).await;
    let tally = load.end().await;
    let late = tally.last_failure_after(whole);
    report(&format!(
        "a lost master: {} of {} requests failed, the last {late:?} after everybody knew the new one",
        tally.failures.len(),
        tally.requests
    ));
    assert!(!tally.failures.is_empty() && late < Duration::from_secs(1), "{late:?}");
    for sample in &samples {
        assert!(store.load(&sample.handle).await.unwrap().record.is_some());
    }
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_gone_is_not_needed_to_find_the_others() {
    let cluster = healthy();
    let store = open_redis(cluster::url(&[free_port(), cluster.nodes[1].port()], None));
    store.load(&Sample::new(1).handle).await.unwrap();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_look_up_is_one_command_on_the_one_node_that_knows() {
    let cluster = healthy();
    let store = open_redis(cluster.url());
    let sample = Sample::new(201);
    let owner = first_owner_of(cluster.slot_of(&key_of(&sample)));
    for _ in 0..2 {
        store.load(&sample.handle).await.unwrap();
    }
    let monitor = cluster.nodes[owner].monitor();
    store.load(&sample.handle).await.unwrap();
    let mine: Vec<_> =
        monitor.commands().into_iter().filter(|line| line.contains(&key_of(&sample))).collect();
    assert!(mine.len() == 1 && mine[0].contains("\"GET\""), "{mine:?}");
}

#[tokio::test]
async fn what_is_no_cluster_says_so() {
    let server = RedisServer::start();
    let store = open(StoreUrl::Redis(cluster::url(&[server.port()], None)), AMPLE, CONNECT);
    let trouble = store.load(&Sample::new(1).handle).await.unwrap_err();
    let said = trouble.source.unwrap().to_string();
    assert!(trouble.kind == Trouble::Protocol && said.contains("cluster support disabled"), "{said}");
}

#[tokio::test]
async fn without_any_node_every_call_is_unavailable_at_once() {
    let store = open(StoreUrl::Redis(cluster::url(&[free_port(), free_port()], None)), AMPLE, CONNECT);
    let sample = Sample::new(1);
    assert_eq!(store.load(&sample.handle).await.unwrap_err().kind, Trouble::Connection);
    assert_eq!(store.create(&sample.session()).await.unwrap_err().kind, Trouble::Connection);
    assert_eq!(store.ping().await.unwrap_err().kind, Trouble::Connection);
}
