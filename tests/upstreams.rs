//! Servers that die, dawdle or are not there.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Jar, parse};
use crate::support::proxy::{ALICE, HOST, proxy};
use crate::support::upstream::{Upstream, answer, upstream};

const PUBLIC: &str = "access = \"public\"";

#[tokio::test]
async fn a_server_that_hangs_up_between_two_requests_costs_nobody_one_and_sees_none_twice() {
    let upstream = Upstream::talking(|_, mut line| async move {
        // It says nothing of closing the connection, and closes it all the same.
        line.send(answer("200 OK", &[], "once")).await;
    })
    .await;
    let proxy = proxy(&upstream).route("/", PUBLIC).start();
    for _ in 0..10 {
        assert_eq!(proxy.client().send("POST /", "").await.body, "once");
    }
    assert_eq!(upstream.received().len(), 10);
}

#[tokio::test]
async fn a_server_that_is_not_there_leaves_its_requests_to_the_others() {
    let upstream = upstream().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let both = format!(
        "[upstream.both]\nservers = [\"http://{nobody}\", \"http://{}\"]\n\
         [[route]]\npath = \"/both\"\nupstream = \"both\"\n{PUBLIC}",
        upstream.address()
    );
    let proxy = proxy(&upstream).section(&both).start();
    for _ in 0..6 {
        assert_eq!(proxy.client().send("POST /both", "body").await.status, 200);
    }
    assert_eq!(upstream.received().len(), 6);
}

#[tokio::test]
async fn the_server_with_the_fewest_requests_under_way_gets_the_next() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let busy =
        Upstream::answering_when(|_| answer("200 OK", &[], "busy"), std::sync::Arc::clone(&gate)).await;
    let free = Upstream::answering(|_| answer("200 OK", &[], "free")).await;
    let both = format!(
        "[upstream.both]\nservers = [\"http://{}\", \"http://{}\"]\n\
         [[route]]\npath = \"/both\"\nupstream = \"both\"\n{PUBLIC}",
        busy.address(),
        free.address()
    );
    let proxy = proxy(&free).section(&both).start();
    let client = proxy.client();
    let held = tokio::spawn(async move { client.send("GET /both", "").await.body });
    while busy.received().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        assert_eq!(proxy.client().send("GET /both", "").await.body, "free");
    }
    gate.add_permits(10);
    assert_eq!(held.await.unwrap(), "busy");
}

#[tokio::test]
async fn an_upload_that_goes_on_is_no_reason_to_give_an_upstream_up() {
    let upstream =
        Upstream::answering(|request| answer("200 OK", &[], &request.body.len().to_string())).await;
    let patient = format!(
        "[upstream.patient]\nservers = [\"http://{}\"]\nresponse_timeout = \"400ms\"\n\
         [[route]]\npath = \"/upload\"\nupstream = \"patient\"\n{PUBLIC}",
        upstream.address()
    );
    let proxy = proxy(&upstream).section(&patient).start();
    let mut stream = proxy.client().connect(b"http/1.1").await;
    let head =
        format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 8\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in ["ab", "cd", "ef", "gh"] {
        // Together longer than the server may take to answer, each alone not.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        stream.write_all(piece.as_bytes()).await.unwrap();
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap_or_default();
    assert_eq!((parse(&text).status, parse(&text).body.as_str()), (200, "8"));
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_what_is_under_way() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let upstream = Upstream::answering_when(|_| answer("200 OK", &[], ""), gate).await;
    let proxy = proxy(&upstream).route("/", PUBLIC).start();
    let client = proxy.client();
    let under_way =
        tokio::spawn(async move { client.raw(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await });
    while upstream.received().is_empty() {
        tokio::task::yield_now().await;
    }
    proxy.stop();
    tokio::task::yield_now().await;
    assert!(!under_way.is_finished());
    proxy.hurry();
    assert_eq!(under_way.await.unwrap(), "", "broken off");
    proxy.stopped().await;
}

#[tokio::test]
async fn after_the_signal_newcomers_are_let_in_while_load_balancers_notice() {
    let upstream = upstream().await;
    let delayed = proxy(&upstream).route("/", PUBLIC).server("shutdown_delay = \"1h\"").start();
    assert_eq!(crate::admin::get(&delayed, "/readyz").await.status, 200);
    delayed.stop();
    assert_eq!(crate::admin::get(&delayed, "/readyz").await.status, 503);
    assert_eq!(delayed.client().get("/", &Jar::default()).await.status, 200);
    delayed.hurry();
    delayed.stopped().await;
}

#[tokio::test]
async fn a_change_of_the_users_file_takes_effect_by_itself() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let mut jar = Jar::default();
    assert_eq!(proxy.client().log_in(&mut jar, ALICE, "").await.status, 303);
    let users = proxy.folder().join("users.toml");
    let text = std::fs::read_to_string(&users).unwrap();
    std::fs::write(&users, text.replace("[users.alice]", "[users.alice]\ndisabled = true")).unwrap();
    let watch = foregate::base::clock::Stopwatch::start();
    while proxy.client().log_in(&mut Jar::default(), ALICE, "").await.status != 401 {
        assert!(watch.elapsed().as_secs() < 10, "within ten seconds");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(proxy.events("user_changed").len(), 1);
}
