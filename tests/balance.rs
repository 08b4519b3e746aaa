//! Several servers: which of them gets a request, and how many each gets at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::support::client::Answer;
use crate::support::proxy::{ALICE, Proxy, proxy};
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, answer};

/// A server that answers with its name.
async fn named(name: &'static str) -> Upstream {
    Upstream::answering(move |_| answer("200 OK", &[], name)).await
}

/// A proxy whose route `/many` leads to all of `servers`.
fn proxy_to(servers: &[&Upstream], keys: &str, route: &str) -> Proxy {
    let urls: Vec<String> = servers.iter().map(|server| format!("\"http://{}\"", server.address())).collect();
    let section = format!(
        "[upstream.many]\nservers = [{}]\n{keys}\n[[route]]\npath = \"/many\"\nupstream = \"many\"\n{route}",
        urls.join(", ")
    );
    proxy(servers[0]).section(&section).start()
}

const PUBLIC: &str = "access = \"public\"";

async fn ask(proxy: &Proxy) -> Answer {
    proxy.client().send("GET /many", "").await
}

#[tokio::test]
async fn servers_take_turns_by_their_weights() {
    let (one, two) = (named("one").await, named("two").await);
    for balance in ["round-robin", "least-requests"] {
        let before = (one.received().len(), two.received().len());
        let keys = format!("balance = \"{balance}\"\nweights = [3, 1]");
        let proxy = proxy_to(&[&one, &two], &keys, PUBLIC);
        for _ in 0..12 {
            assert_eq!(ask(&proxy).await.status, 200);
        }
        let got = (one.received().len() - before.0, two.received().len() - before.1);
        assert_eq!(got, (9, 3), "{balance}");
    }
}

#[tokio::test]
async fn a_clients_requests_all_go_to_one_server() {
    let (one, two, three) = (named("one").await, named("two").await, named("three").await);
    let proxy = proxy_to(&[&one, &two, &three], "balance = \"client-hash\"", PUBLIC);
    let first = ask(&proxy).await.body;
    for _ in 0..8 {
        assert_eq!(ask(&proxy).await.body, first);
    }
}

#[tokio::test]
async fn a_sessions_requests_all_go_to_one_server_and_to_the_same_other_one_when_it_is_gone() {
    let (one, two, three) = (named("one").await, named("two").await, named("three").await);
    let proxy = proxy_to(&[&one, &two, &three], "balance = \"session-hash\"", "");
    let mut homes = std::collections::BTreeSet::new();
    let mut sessions = Vec::new();
    for _ in 0..12 {
        let jar = proxy.logged_in(ALICE).await;
        let home = proxy.client().get("/many", &jar).await.body;
        assert_eq!(proxy.client().get("/many", &jar).await.body, home);
        homes.insert(home.clone());
        sessions.push((jar, home));
    }
    assert!(homes.len() > 1, "sessions are spread: {homes:?}");
    drop(three);
    for (jar, home) in sessions {
        let now = proxy.client().get("/many", &jar).await.body;
        if home == "three" {
            assert_ne!(now, home);
            assert_eq!(proxy.client().get("/many", &jar).await.body, now);
        } else {
            assert_eq!(now, home, "who was elsewhere does not move");
        }
    }
}

/// A server with one connection, on which a request is under way.
async fn occupied(waiting: usize) -> (Upstream, Proxy, Arc<Semaphore>, tokio::task::JoinHandle<Answer>) {
    let gate = Arc::new(Semaphore::new(0));
    let script = |request: &crate::support::upstream::Received| answer("200 OK", &[], request.target());
    let server = Upstream::answering_when(script, Arc::clone(&gate)).await;
    let proxy = proxy_to(&[&server], &format!("connections = 1\nwaiting = {waiting}"), PUBLIC);
    let first = asking(&proxy, "/many/0");
    eventually("the first is under way", async || server.received().len() == 1).await;
    (server, proxy, gate, first)
}

fn asking(proxy: &Proxy, path: &'static str) -> tokio::task::JoinHandle<Answer> {
    let client = proxy.client();
    tokio::spawn(async move { client.send(&format!("GET {path}"), "").await })
}

#[tokio::test]
async fn requests_wait_for_a_connection_in_the_order_in_which_they_came() {
    let (server, proxy, gate, first) = occupied(8).await;
    let mut waiting = Vec::new();
    for path in ["/many/1", "/many/2", "/many/3"] {
        waiting.push(asking(&proxy, path));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(server.received().len(), 1);
    gate.add_permits(4);
    assert_eq!(first.await.unwrap().status, 200);
    for asked in waiting {
        assert_eq!(asked.await.unwrap().status, 200);
    }
    let targets: Vec<String> = server.received().iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(targets, ["/many/0", "/many/1", "/many/2", "/many/3"]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn where_no_more_may_wait_the_next_is_told_so_at_once() {
    let (server, proxy, gate, first) = occupied(0).await;
    let refused = ask(&proxy).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert!(refused.body.contains("urn:foregate:problem:upstream-busy"), "{refused:#?}");
    assert_eq!(proxy.count("foregate_upstream_errors_total{upstream=\"many\",kind=\"full\"}"), 1);
    gate.add_permits(2);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(ask(&proxy).await.status, 200, "there is room again");
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn who_goes_away_leaves_the_queue() {
    let (server, proxy, gate, first) = occupied(1).await;
    let waits = async || tokio::time::timeout(Duration::from_millis(100), ask(&proxy)).await.is_err();
    let impatient = asking(&proxy, "/many/impatient");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waits().await, "the queue is full");
    impatient.abort();
    eventually("the queue has room for another", waits).await;
    gate.add_permits(8);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(proxy.client().send("GET /many/patient", "").await.status, 200);
    assert!(!server.received().iter().any(|seen| seen.target() == "/many/impatient"));
}

#[tokio::test]
async fn a_connection_is_not_used_beyond_its_age() {
    let server = named("one").await;
    let proxy = proxy_to(&[&server], "connection_age = \"1ms\"", PUBLIC);
    for made in 1..4 {
        assert_eq!(ask(&proxy).await.status, 200);
        assert_eq!(server.connections(), made);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
