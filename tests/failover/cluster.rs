//! A Cluster whose slots move, and one that loses a master.

use std::time::Duration;

use foregate::app::directory;
use foregate::config::{self, Environment};
use foregate::telemetry::Facts;

use super::{Load, Scene, judge};
use crate::support::cluster::{Cluster, first_owner_of};
use crate::support::settle::eventually;
use crate::support::{report, silent_world};

/// Of the slots with sessions so many move.
const MOVED: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_under_load_fail_nobody() {
    let cluster = Cluster::start();
    let scene = Scene::on(&cluster.store_keys()).await;
    let slots = cluster.slots_in_use();
    let load = Load::start(&scene);
    for slot in slots.into_iter().take(MOVED) {
        let owner = first_owner_of(slot);
        cluster.migrate(slot, owner, (owner + 1) % 3);
    }
    scene.lets_nobody_in().await;
    tokio::time::sleep(super::PAUSE).await;
    let met = load.end().await;
    report(&format!("{MOVED} slots moved: {} of {} requests failed", met.failures.len(), met.requests));
    assert!(met.failures.is_empty(), "{:?}", met.failures);
    assert!(met.requests > 2 * super::SESSIONS, "everybody asked meanwhile, not {} times", met.requests);
    assert_eq!(met.cookies_set, 0, "nobody's cookie is touched");
    scene.is_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_master_logs_nobody_out_and_lets_nobody_in() {
    let mut cluster = Cluster::start();
    let scene = Scene::on(&cluster.store_keys()).await;
    cluster.wait_for_replicas();
    let load = Load::start(&scene);
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.nodes[0].kill();
    eventually("its replica has its place", async || {
        scene.lets_nobody_in().await;
        cluster.is_whole_without(0)
    })
    .await;
    let promoted = load.elapsed();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let met = load.end().await;
    assert!(!met.failures.is_empty(), "a master that nobody misses is none");
    judge("a Cluster's lost master, and its replica in its place", &met, promoted);
    scene.is_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_escapes_its_end_by_moving() {
    let cluster = Cluster::start();
    let scene = Scene::on(&cluster.store_keys()).await;
    let environment = Environment::from_pairs::<String, String>([]);
    let path = scene.proxy.folder().join("proxy.toml");
    let config = config::load(&path, &environment).unwrap_or_else(|faults| panic!("{faults}")).config;
    let directory = directory(&config, &silent_world()).unwrap();
    // From the master that is looked at last to the one that was first.
    let mut moving: Vec<u16> =
        cluster.slots_in_use().into_iter().filter(|slot| first_owner_of(*slot) == 2).take(10).collect();
    assert_eq!(moving.len(), 10);
    let move_them = |_| moving.drain(..).for_each(|slot| cluster.migrate(slot, 2, 0));
    let ended = directory.end_all("test", Facts::default(), move_them).await.unwrap();
    assert_eq!(ended, super::SESSIONS);
    assert_eq!(directory.count(|_| {}).await.unwrap(), 0);
    for jar in &scene.browsers {
        assert_eq!(scene.proxy.client().get("/", jar).await.status, 401);
    }
}
