//! Servers that go out and come back: by checks, and by what becomes of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Answer, parse};
use crate::support::proxy::{Proxy, proxy};
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, answer};

/// A server that answers with its name while it is well, else by what is no HTTP. Its checks get the truth too.
struct Patient {
    server: Upstream,
    is_well: Arc<AtomicBool>,
}

impl Patient {
    async fn new(name: &'static str) -> Self {
        let is_well = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&is_well);
        let script = move |request: &crate::support::upstream::Received| match (
            asked.load(Ordering::SeqCst),
            request.target(),
        ) {
            (true, _) => answer("200 OK", &[], name),
            (false, "/health") => answer("500 Internal Server Error", &[], ""),
            (false, _) => b"nonsense\r\n\r\n".to_vec(),
        };
        Self { server: Upstream::answering(script).await, is_well }
    }

    fn falls_ill(&self) {
        self.is_well.store(false, Ordering::SeqCst);
    }

    fn recovers(&self) {
        self.is_well.store(true, Ordering::SeqCst);
    }

    fn requests(&self) -> usize {
        self.server.received().iter().filter(|seen| seen.target() != "/health").count()
    }
}

fn proxy_to(servers: &[&Patient], health: &str) -> Proxy {
    let urls: Vec<String> =
        servers.iter().map(|patient| format!("\"http://{}\"", patient.server.address())).collect();
    let section = format!(
        "[upstream.many]\nservers = [{}]\nbalance = \"round-robin\"\n[upstream.many.health]\n{health}\n\
         [[route]]\npath = \"/many\"\nupstream = \"many\"\naccess = \"public\"",
        urls.join(", ")
    );
    proxy(&servers[0].server).section(&section).start()
}

async fn ask(proxy: &Proxy) -> Answer {
    proxy.client().send("GET /many", "").await
}

fn is_in(proxy: &Proxy, patient: &Patient) -> bool {
    let server = patient.server.address();
    let gauge = format!("foregate_upstream_server_in{{upstream=\"many\",server=\"http://{server}\"}}");
    proxy.count(&gauge) == 1
}

async fn readiness(proxy: &Proxy) -> Answer {
    let mut stream = TcpStream::connect(proxy.admin).await.unwrap();
    let head = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    parse(&text)
}

const CHECKED: &str = "path = \"/health\"\ninterval = \"20ms\"";

#[tokio::test]
async fn a_server_whose_checks_fail_gets_no_requests_until_they_succeed() {
    let (one, two) = (Patient::new("one").await, Patient::new("two").await);
    let proxy = proxy_to(&[&one, &two], CHECKED);
    assert!(is_in(&proxy, &one) && is_in(&proxy, &two));
    one.falls_ill();
    eventually("its checks turn it out", async || !is_in(&proxy, &one)).await;
    for _ in 0..6 {
        assert_eq!(ask(&proxy).await.body, "two");
    }
    assert_eq!(one.requests(), 0);
    one.recovers();
    eventually("its checks take it in", async || is_in(&proxy, &one)).await;
    eventually("it gets requests again", async || ask(&proxy).await.body == "one").await;
}

#[tokio::test]
async fn where_all_checks_fail_the_client_is_told_to_come_again_and_the_proxy_stays_ready() {
    let one = Patient::new("one").await;
    let proxy = proxy_to(&[&one], CHECKED);
    one.falls_ill();
    eventually("its checks turn it out", async || !is_in(&proxy, &one)).await;
    let refused = ask(&proxy).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert!(refused.body.contains("urn:foregate:problem:upstream-down"), "{refused:#?}");
    assert_eq!(one.requests(), 0);
    let ready = readiness(&proxy).await;
    assert_eq!(ready.status, 200);
    let detail: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!((&detail["ready"], &detail["upstreams_down"]), (&true.into(), &serde_json::json!(["many"])));
    one.recovers();
    eventually("it is back", async || ask(&proxy).await.status == 200).await;
}

#[tokio::test]
async fn a_server_that_fails_requests_in_a_row_is_ejected_and_tried_again_later() {
    let (one, two) = (Patient::new("one").await, Patient::new("two").await);
    let proxy = proxy_to(&[&one, &two], "eject_after = 3\neject_for = \"300ms\"");
    one.falls_ill();
    while is_in(&proxy, &one) {
        ask(&proxy).await;
    }
    assert_eq!(one.requests(), 3);
    for _ in 0..6 {
        assert_eq!(ask(&proxy).await.body, "two");
    }
    assert_eq!(one.requests(), 3, "it is left in peace");
    eventually("a trial fails", async || {
        ask(&proxy).await;
        one.requests() == 4
    })
    .await;
    assert!(!is_in(&proxy, &one));
    one.recovers();
    eventually("a trial succeeds", async || {
        ask(&proxy).await;
        is_in(&proxy, &one)
    })
    .await;
}

#[tokio::test]
async fn the_last_server_is_tried_although_requests_fail() {
    let one = Patient::new("one").await;
    let proxy = proxy_to(&[&one], "eject_after = 2\neject_for = \"1h\"");
    one.falls_ill();
    for _ in 0..4 {
        assert_eq!(ask(&proxy).await.status, 502);
    }
    assert_eq!(one.requests(), 4);
    assert!(!is_in(&proxy, &one));
    one.recovers();
    assert_eq!(ask(&proxy).await.status, 200);
    assert!(is_in(&proxy, &one));
}
