//! A Cluster whose slots move, and one that loses a master.

use std::time::Duration;

use foregate::app::directory;
use foregate::config::{self, Environment};
use foregate::session::Directory;
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
    // Nothing here has to wait for anybody: what a busy machine takes longer for is no failure.
    let scene = Scene::on(&(cluster.store_keys() + "\ncommand_timeout = \"10s\"")).await;
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

/// The sessions of the scene, seen from above.
fn directory_of(scene: &Scene) -> Directory {
    let environment = Environment::from_pairs::<String, String>([]);
    let path = scene.proxy.folder().join("proxy.toml");
    let config = config::load(&path, &environment).unwrap_or_else(|faults| panic!("{faults}")).config;
    directory(&config, &silent_world()).unwrap()
}

/// Ten slots with sessions move from the master that may be looked at last to one that was looked at; and an empty one the
/// other way round, which gives the second another first slot.
fn move_about(cluster: &Cluster, (last, first): (usize, usize)) {
    let used = cluster.slots_in_use();
    let of_last = used.iter().copied().filter(|slot| first_owner_of(*slot) == last);
    of_last.take(10).for_each(|slot| cluster.migrate(slot, last, first));
    let empty = (0..16_384).find(|slot| first_owner_of(*slot) == first && !used.contains(slot)).unwrap();
    cluster.migrate(empty, first, 1);
    cluster.migrate(empty, 1, first);
    cluster.migrate(empty, first, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_escapes_by_moving_whoever_counts_or_ends_all() {
    let cluster = Cluster::start();
    let scene = Scene::on(&cluster.store_keys()).await;
    let directory = directory_of(&scene);
    let mut moved = false;
    let count = directory.count(|_| {
        if !std::mem::replace(&mut moved, true) {
            move_about(&cluster, (2, 0));
        }
    });
    assert_eq!(count.await.unwrap(), super::SESSIONS);
    let mut moved = false;
    let ended = directory.end_all("test", Facts::default(), |_| {
        if !std::mem::replace(&mut moved, true) {
            let slots = cluster.slots_in_use();
            let back = slots.into_iter().filter(|slot| first_owner_of(*slot) == 1).take(10);
            back.for_each(|slot| cluster.migrate(slot, 1, 0));
        }
    });
    assert_eq!(ended.await.unwrap(), super::SESSIONS);
    assert_eq!(directory.count(|_| {}).await.unwrap(), 0);
    for jar in &scene.browsers {
        assert_eq!(scene.proxy.client().get("/", jar).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_master_is_away_nobody_counts() {
    let mut cluster = Cluster::start();
    let scene = Scene::on(&cluster.store_keys()).await;
    let directory = directory_of(&scene);
    assert_eq!(directory.count(|_| {}).await.unwrap(), super::SESSIONS);
    cluster.nodes[1].kill();
    assert!(directory.count(|_| {}).await.is_err());
    assert!(directory.end_all("test", Facts::default(), |_| {}).await.is_err());
}
