//! The admin listener: whether the process lives, whether it can do its work, and what it counts.

use std::io::{Read, Write};

use crate::support::client::{Answer, Jar, parse};
use crate::support::command::{Running, foregate, run};
use crate::support::proxy::{ALICE, Proxy, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::upstream;

pub(crate) async fn ask(proxy: &Proxy, head: &str) -> Answer {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(proxy.admin).await.unwrap();
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    parse(&text)
}

pub(crate) async fn get(proxy: &Proxy, path: &str) -> Answer {
    ask(proxy, &format!("GET {path} HTTP/1.1\r\nHost: localhost")).await
}

#[tokio::test]
async fn readiness_follows_the_store_and_says_why_without_the_password() {
    let upstream = upstream().await;
    let mut redis = RedisServer::builder().password("not-to-be-told").start();
    let proxy = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let ready = get(&proxy, "/readyz").await;
    assert_eq!(ready.status, 200, "{ready:#?}");
    let json: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!(json["ready"], true);
    assert!(json["checks"].as_array().unwrap().iter().any(|check| check["name"] == "store"));

    redis.kill();
    let away = get(&proxy, "/readyz").await;
    assert_eq!(away.status, 503);
    let json: serde_json::Value = serde_json::from_str(&away.body).unwrap();
    let store = json["checks"].as_array().unwrap().iter().find(|check| check["name"] == "store").unwrap();
    assert_eq!((&json["ready"], &store["ok"]), (&false.into(), &false.into()));
    assert!(store["reason"].as_str().unwrap().contains("connection"), "{store}");
    assert!(!away.body.contains("not-to-be-told"));
    assert_eq!(get(&proxy, "/healthz").await.status, 200, "the process lives");

    redis.restart();
    while get(&proxy, "/readyz").await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_the_reason_and_is_not_told() {
    let upstream = upstream().await;
    let redis = RedisServer::builder().password("right").start();
    let wrong = redis.url().replace("right", "secretly-wrong");
    let proxy = proxy(&upstream).store(&format!("url = \"{wrong}\"")).start();
    let refused = get(&proxy, "/readyz").await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("denied") && !refused.body.contains("secretly-wrong"), "{}", refused.body);
    assert!(!proxy.access_log().contains("secretly-wrong"));
}

#[tokio::test]
async fn what_happens_is_counted_under_the_names_that_others_rely_on() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let mut jar = proxy.logged_in(ALICE).await;
    proxy.client().get("/", &jar).await;
    proxy.client().get("/", &Jar(vec![("__Host-session".to_owned(), "x".to_owned())])).await;
    proxy.client().log_out(&mut jar).await;
    let metrics = get(&proxy, "/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "foregate_requests_total{route=\"/\",method=\"GET\",status=\"200\"} 1",
        "foregate_sessions_created_total{provider=\"local\"} 1",
        "foregate_sessions_ended_total{reason=\"logout\"} 1",
        "foregate_cookie_verdicts_total{verdict=\"malformed\"} 1",
        "foregate_login_attempts_total{result=\"success\"} 1",
        "foregate_upstream_seconds_count{upstream=\"app\"} 1",
        "foregate_request_seconds_count ",
        "foregate_store_seconds_count{operation=\"create\"} 1",
        "foregate_connections{listener=\"127.0.0.1:",
        "foregate_certificate_expiry_seconds{name=\"app.test\"} ",
    ] {
        assert!(metrics.body.contains(line), "{line}: {}", metrics.body);
    }
}

#[tokio::test]
async fn nothing_of_it_is_answered_to_foreign_names_other_methods_or_where_users_come_in() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    for host in ["evil.test", "localhost.evil.test", "app.test", ""] {
        let refused = ask(&proxy, &format!("GET /metrics HTTP/1.1\r\nHost: {host}")).await;
        assert_eq!(refused.status, 403, "{host}");
    }
    assert_eq!(ask(&proxy, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8444").await.status, 200);
    assert_eq!(
        ask(&proxy, "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0").await.status,
        405
    );
    assert_eq!(get(&proxy, "/").await.status, 404);
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(proxy.client().get(path, &Jar::default()).await.status, 401, "{path}");
    }
}

#[test]
fn the_health_check_asks_the_running_proxy_over_its_socket() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "mode = \"development\"\n[server]\nhttps = [\"127.0.0.1:0\"]\nhttp = []\nadmin = \"off\"\n\
         [tls]\nself_signed = [\"localhost\"]\n[session.store]\nurl = \"{}\"\n\
         [upstream.app]\nservers = [\"http://127.0.0.1:9\"]\n[[route]]\nupstream = \"app\"\n",
        redis.url()
    );
    std::fs::write(folder.path().join("proxy.toml"), config).unwrap();
    let nobody = run(folder.path(), &["healthcheck"], "");
    assert!(nobody.code == 3 && nobody.stderr.contains("is it running"), "{nobody:?}");

    let mut proxy = Running::start(foregate(folder.path(), &["run"]));
    proxy.logged("serving https");
    let ready = run(folder.path(), &["healthcheck"], "");
    assert_eq!((ready.code, ready.stdout.as_str()), (0, "ready\n"), "{ready:?}");
    let socket = folder.path().join("foregate.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: anything.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    drop(redis);
    let unready = run(folder.path(), &["healthcheck"], "");
    assert!(unready.code == 1 && unready.stderr.starts_with("store: "), "{unready:?}");
    let json = run(folder.path(), &["healthcheck", "--json"], "");
    let outcome: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &outcome["ok"]), (1, &false.into()));
    assert_eq!(
        (&outcome["checks"][1]["id"], &outcome["checks"][1]["status"]),
        (&"store".into(), &"fail".into())
    );
    proxy.signal("TERM");
    assert_eq!(proxy.ended(), Some(0));
    assert!(!socket.exists(), "the socket goes with its owner");
}
