//! A master whom sentinels replace.

use std::time::Duration;

use super::{Load, Scene, judge};
use crate::support::sentinels::{MASTER, Sentinels};
use crate::support::settle::eventually;

/// Breaks something under load. Nobody may be let in, logged out or handed a cookie by it; everybody comes back.
async fn break_under_load(break_it: fn(&mut Sentinels), what: &str) {
    let mut sentinels = Sentinels::start();
    let scene = Scene::on(&sentinels.store_keys()).await;
    sentinels.wait_for_replicas();
    let before = sentinels.elected();

    let load = Load::start(&scene);
    tokio::time::sleep(Duration::from_millis(300)).await;
    break_it(&mut sentinels);
    eventually("another master is named", async || {
        scene.lets_nobody_in().await;
        sentinels.elected().is_some_and(|elected| Some(elected) != before)
    })
    .await;
    let named = load.elapsed();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    judge(&format!("{what}, and a majority that names another"), &load.end().await, named);
    scene.is_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_logs_nobody_out_and_lets_nobody_in() {
    break_under_load(|all| all.servers[0].kill(), "a killed master").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_is_hardly_noticed() {
    let step_down = |all: &mut Sentinels| {
        assert_eq!(all.sentinels[0].cli(&["SENTINEL", "FAILOVER", MASTER]), "OK");
    };
    break_under_load(step_down, "a planned failover").await;
}
