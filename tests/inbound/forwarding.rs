//! Forwarding headers: a trusted proxy's count everywhere, and nobody else's anywhere.

use http::Request;

use super::{get, last_client};
use crate::support::captured_log;
use crate::support::client::Jar;
use crate::support::proxy::{ALICE, HOST, proxy};
use crate::support::upstream::{Received, upstream};

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";

/// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `Forwarded` as an application got them, each once.
fn told(request: &Received) -> [String; 5] {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded"]
        .map(|name| request.header(name).unwrap())
}

#[tokio::test]
async fn nobody_is_believed_who_is_not_trusted() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream)
        .route("/", "access = \"public\"")
        .server("trusted_proxies = [\"192.0.2.0/24\", \"::1\"]")
        .start();
    let claims = "X-Forwarded-For: 192.0.2.1, 127.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: evil.test\n\
                  X-Forwarded-Port: 1\nForwarded: for=192.0.2.1;host=evil.test;proto=http\n\
                  X_Forwarded_For: 192.0.2.1\nX-Real-IP: 192.0.2.1";
    assert_eq!(proxy.client().send(&format!("GET /\n{claims}"), "").await.status, 200);
    let received = upstream.only();
    let expected = ["127.0.0.1", "https", "app.test", "443", "for=127.0.0.1;host=app.test;proto=https"]
        .map(String::from);
    assert_eq!(told(&received), expected);
    assert_eq!((received.header("x-real-ip"), received.header("x_forwarded_for")), (None, None));
    assert_eq!(last_client(&proxy), "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxys_word_goes_to_the_application_the_log_and_the_session() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).server(TRUSTED).start();
    let client = proxy.client();
    let form = client.send("GET /_foregate/login\nX-Forwarded-For: 198.51.100.7", "").await;
    let mut jar = Jar::default();
    jar.take(&form);
    let body = format!("username=alice&password=correct+horse&csrf_token={}", form.field("csrf_token"));
    let head = format!(
        "POST /_foregate/login\nX-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.0.0.2\nCookie: {}\n\
         Origin: https://{HOST}",
        jar.header()
    );
    let begun = client.send(&head, &body).await;
    assert_eq!(begun.status, 303, "{begun:#?}");
    jar.take(&begun);
    assert_eq!(proxy.events("login")[0]["address"], "198.51.100.7");
    assert_eq!(last_client(&proxy), "198.51.100.7");

    let shown = client.get("/_foregate/session", &jar).await;
    assert!(shown.body.contains("198.51.100.7"), "{}", shown.body);

    let head = format!("GET /\nForwarded: for=198.51.100.7;proto=https\nCookie: {}", jar.header());
    assert_eq!(client.send(&head, "").await.status, 200);
    let expected = [
        "198.51.100.7, 127.0.0.1",
        "https",
        "app.test",
        "443",
        "for=198.51.100.7, for=127.0.0.1;host=app.test;proto=https",
    ];
    assert_eq!(told(&upstream.only()), expected.map(String::from));
}

#[tokio::test]
async fn a_session_bound_to_a_network_is_bound_to_the_clients() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).server(TRUSTED).session("bind = [\"network\"]").start();
    let jar = proxy.logged_in(ALICE).await;
    let from = |address: &'static str| {
        let head =
            format!("GET /\nAccept: application/json\nX-Forwarded-For: {address}\nCookie: {}", jar.header());
        let client = proxy.client();
        async move { client.send(&head, "").await.status }
    };
    assert_eq!(from("127.0.0.9").await, 200, "the network that logged in");
    assert_eq!(from("198.51.100.7").await, 401);
    assert_eq!(from("127.0.0.9, 198.51.100.7").await, 401, "what the client claims itself is not asked");
}

#[tokio::test]
async fn a_word_that_can_be_read_in_two_ways_is_refused() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").server(TRUSTED).start();
    for claims in [
        "X-Forwarded-For: 198.51.100.7\nForwarded: for=198.51.100.8",
        "X-Forwarded-Proto: https\nForwarded: for=198.51.100.8;proto=http",
        "Forwarded: for=\"198.51.100.8\nForwarded: for=198.51.100.7",
        "Forwarded: for=\"198.51.100.8, for=198.51.100.7",
    ] {
        let answer = proxy.client().send(&format!("GET /\n{claims}"), "").await;
        assert_eq!(answer.status, 400, "{claims}");
        assert_eq!(last_client(&proxy), "127.0.0.1", "{claims}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn why_a_word_is_refused_is_told_to_the_operator_now_and_then() {
    let (log, _logging) = captured_log();
    let upstream = upstream().await;
    for (claims, why) in [
        ("Forwarded: for=\"", "malformed Forwarded header (have it remove the header"),
        ("X-Forwarded-Proto: https, http", "disagree (have it remove those that it does not set"),
    ] {
        let proxy = proxy(&upstream).route("/", "access = \"public\"").server(TRUSTED).start();
        let before = log.text().len();
        for _ in 0..5 {
            assert_eq!(proxy.client().send(&format!("GET /\n{claims}"), "").await.status, 400);
        }
        let told = log.text().split_off(before);
        assert_eq!(told.matches("a trusted proxy's word is refused").count(), 1, "{told}");
        assert!(told.contains("WARN") && told.contains("proxy=127.0.0.1") && told.contains(why), "{told}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_not_read_for_where_it_comes_from() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").server(TRUSTED).start();
    // As many names as hyper lets in: each would be compared with all before it.
    let pairs: String = (0..10_000).map(|n| format!("{n:x}=1;")).collect();
    let watch = foregate::base::clock::Stopwatch::start();
    let answer = proxy.client().send(&format!("GET /\nForwarded: {pairs}for=198.51.100.7"), "").await;
    assert_eq!(answer.status, 431);
    assert_eq!(last_client(&proxy), "127.0.0.1");
    assert!(watch.elapsed().as_secs() < 2, "{:?}", watch.elapsed());
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_proxys_connections_are_those_of_many_clients() {
    let upstream = upstream().await;
    let limits = "[server.limits]\nconnections_per_client = 1";
    let proxy = proxy(&upstream).route("/", "access = \"public\"").server(TRUSTED).section(limits).start();
    let _held = proxy.client().connect(b"http/1.1").await;
    assert_eq!(proxy.client().send("GET /\nX-Forwarded-For: 198.51.100.7", "").await.status, 200);
}

#[tokio::test]
async fn what_a_client_sent_to_a_trusted_proxy_by_http_is_sent_on_to_https() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream)
        .route("/", "access = \"public\"")
        .server(&format!("{TRUSTED}\npublic_port = 443"))
        .start();
    let answer = proxy.client().send("GET /a?b\nX-Forwarded-Proto: http", "").await;
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://app.test/a?b")));
    assert_eq!(answer.header("strict-transport-security"), None, "never over plain http");
    let answer = get(proxy.http, "/a?b", "X-Forwarded-Proto: https\r\n").await;
    assert_eq!(answer.status, 308, "server.http never serves");
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn the_same_holds_over_http2() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").server(TRUSTED).start();
    let request = |claim: &str| {
        let request = Request::get(format!("https://{HOST}/")).header("x-forwarded-for", claim);
        request.body(()).unwrap()
    };
    let answer = proxy.client().send_h2(request("198.51.100.7, 10.0.0.2"), b"", None).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(told(&upstream.only())[0], "198.51.100.7, 10.0.0.2, 127.0.0.1");
    assert_eq!(last_client(&proxy), "198.51.100.7");
}
