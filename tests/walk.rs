//! A request walks through: what every answer says, and who gets which.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Jar, parse};
use crate::support::proxy::{ALICE, BOB, HOST, proxy};
use crate::support::upstream::{Upstream, answer, upstream};

const HSTS: &str = "max-age=31536000";

#[tokio::test]
async fn http_is_sent_on_to_https_on_the_same_host_and_address() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let plain = |host: &'static str, target: &'static str| {
        let address = proxy.http;
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            parse(&text)
        }
    };
    let redirected = plain("APP.test:8080", "/a/../b?c=d").await;
    assert_eq!(redirected.status, 308);
    let location = format!("https://app.test:{}/b?c=d", proxy.https.port());
    assert_eq!(redirected.header("location"), Some(location.as_str()));
    assert_eq!(redirected.header("strict-transport-security"), None, "never over plain http");
    assert!(redirected.header("x-request-id").is_some());
    assert_eq!(plain("evil.test/path", "/").await.status, 400);
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn every_answer_over_tls_has_hsts_once_and_a_request_id() {
    let upstream = Upstream::answering(|request| match request.target() {
        "/public/own" => {
            answer("200 OK", &[("Strict-Transport-Security", "max-age=1"), ("X-Request-Id", "x")], "")
        }
        _ => answer("200 OK", &[], "hello"),
    })
    .await;
    let nobody = "[upstream.nobody]\nservers = [\"http://127.0.0.1:1\"]\n\
                  [[route]]\npath = \"/dead\"\nupstream = \"nobody\"\naccess = \"public\"";
    let proxy =
        proxy(&upstream).route("/app", "").route("/public", "access = \"public\"").section(nobody).start();
    let (client, jar) = (proxy.client(), Jar::default());
    for (path, status) in [
        ("/public", 200),
        ("/public/own", 200),
        ("/app", 401),
        ("/nowhere", 404),
        ("/dead", 502),
        ("/_foregate/login", 200),
        ("/_foregate/nothing", 404),
        ("/%zz", 400),
    ] {
        let answer = client.get(path, &jar).await;
        assert_eq!(answer.status, status, "{path}: {answer:#?}");
        assert_eq!(answer.header("strict-transport-security"), Some(HSTS), "{path}");
        assert_eq!(answer.header("x-request-id").unwrap().len(), 32, "{path}");
    }
    let redirected = client.visit("/app", &jar).await;
    assert_eq!((redirected.status, redirected.header("strict-transport-security")), (303, Some(HSTS)));
}

#[tokio::test]
async fn the_request_id_is_the_same_in_the_answer_upstream_and_in_the_log() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let answer = proxy.client().send("GET /path?secret=1\nX-Request-Id: forged", "").await;
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(upstream.only().header("x-request-id").as_deref(), Some(id));
    let log = proxy.access_log();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["request_id"], id);
    assert_eq!((&line["path"], &line["status"], &line["bytes"]), (&"/path".into(), &200.into(), &5.into()));
    assert!(!log.contains("secret"), "queries hold secrets: {log}");
}

#[tokio::test]
async fn a_script_without_a_session_gets_401_and_a_person_the_login() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (client, jar) = (proxy.client(), Jar::default());

    let script = client.get("/data?x=1", &jar).await;
    assert_eq!(script.status, 401);
    assert_eq!(script.header("www-authenticate"), Some("Foregate"));
    assert_eq!(script.header("content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_str(&script.body).unwrap();
    assert_eq!(problem["type"], "urn:foregate:problem:login-required");
    assert_eq!(problem["status"], 401);
    assert_eq!(problem["request_id"], script.header("x-request-id").unwrap());

    let person = client.visit("/data?x=1", &jar).await;
    assert_eq!(person.status, 303);
    assert_eq!(person.header("location"), Some("/_foregate/login?return_to=%2Fdata%3Fx%3D1"));
    assert_eq!(person.header("cache-control"), Some("no-store"));

    let frame = client.send("GET /data\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe", "").await;
    assert_eq!(frame.status, 401);
    assert!(frame.body.contains("target=\"_top\""), "{}", frame.body);

    let post = client.send("POST /data\nSec-Fetch-Mode: cors", "x").await;
    assert_eq!(post.status, 401);
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_route_may_say_what_its_visitors_get() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream)
        .route("/api", "unauthenticated = \"401\"")
        .route("/old", "unauthenticated = \"redirect\"")
        .start();
    let (client, jar) = (proxy.client(), Jar::default());
    assert_eq!(client.visit("/api/x", &jar).await.status, 401);
    assert_eq!(client.get("/old/x", &jar).await.status, 303);
}

#[tokio::test]
async fn unknown_hosts_paths_and_methods_are_told_apart() {
    let upstream = upstream().await;
    let route = "[[route]]\nhost = \"app.test\"\npath = \"/app\"\nupstream = \"app\"\naccess = \"public\"\n\
                 methods = [\"GET\", \"HEAD\"]";
    let proxy = proxy(&upstream).section(route).route("/only", "host = \"other.test\"").start();
    let client = proxy.client();
    let status = |line: &str, host: &str| {
        let (client, text) =
            (client.clone(), format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        async move { parse(&client.raw(text).await) }
    };
    assert_eq!(status("GET /app", "app.test").await.status, 200);
    assert_eq!(status("GET /app", "app.test:8443").await.status, 200);
    assert_eq!(status("GET /app", "evil.test").await.status, 421);
    assert_eq!(status("GET /_foregate/login", "evil.test").await.status, 421);
    assert_eq!(status("GET /", "app.test").await.status, 404);
    let refused = status("DELETE /app", "app.test").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(status("TRACE /app", "app.test").await.status, 405);
    assert_eq!(status("CONNECT app.test:443", "app.test:443").await.status, 405);
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn groups_and_users_decide_who_may_go_where() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream)
        .route("/", "")
        .route("/admin", "groups = [\"admins\"]")
        .route("/bobs", "users = [\"bob\"]")
        .start();
    let client = proxy.client();
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    assert_eq!(client.get("/admin/x", &alice).await.status, 200);
    assert_eq!(client.get("/bobs", &bob).await.status, 200);
    assert_eq!(client.get("/ADMIN/x", &bob).await.status, 403);
    assert_eq!(client.get("/%61dmin", &bob).await.status, 403);
    assert_eq!(client.get("/bobs", &alice).await.status, 403);
    let page = client.visit("/admin", &bob).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains(page.header("x-request-id").unwrap()), "the page names the request");
    assert_eq!(proxy.events("access_denied").len(), 4);
}

#[tokio::test]
async fn answers_to_somebody_are_kept_by_no_shared_cache() {
    let upstream = Upstream::answering(|request| match request.target() {
        "/page" => answer("200 OK", &[("Content-Type", "text/html")], "<p>"),
        "/public" | "/open" => answer("200 OK", &[("Cache-Control", "public, max-age=60")], ""),
        _ => answer("200 OK", &[], ""),
    })
    .await;
    let proxy = proxy(&upstream)
        .route("/", "")
        .route("/open", "access = \"public\"")
        .route("/maybe", "access = \"optional\"")
        .start();
    let (client, alice) = (proxy.client(), proxy.logged_in(ALICE).await);
    let said = |path: &'static str| {
        let (client, alice) = (client.clone(), alice.clone());
        async move { client.get(path, &alice).await }
    };
    assert_eq!(said("/page").await.header("cache-control"), Some("private, no-store"));
    assert_eq!(said("/data").await.header("cache-control"), Some("private"));
    assert_eq!(said("/public").await.header("cache-control"), Some("private, max-age=60"));
    assert_eq!(said("/open").await.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(said("/maybe").await.header("vary"), Some("Cookie"));
}

#[tokio::test]
async fn our_cookie_stays_here_and_an_application_cannot_set_it() {
    let upstream = Upstream::answering(|_| {
        let (planted, mine) =
            ("__Host-session=planted; Path=/; Secure", "mine=1; SameSite=Lax; Secure; HttpOnly");
        answer("200 OK", &[("Set-Cookie", planted), ("Set-Cookie", mine)], "")
    })
    .await;
    let proxy = proxy(&upstream).route("/", "").route("/public", "access = \"public\"").start();
    let mut alice = proxy.logged_in(ALICE).await;
    alice.0.insert(0, ("app".to_owned(), "a=\"b; c".to_owned()));
    for path in ["/", "/public"] {
        let answer = proxy.client().get(path, &alice).await;
        assert_eq!(answer.all("set-cookie"), ["mine=1; SameSite=Lax; Secure; HttpOnly"], "{path}");
        let cookie = upstream.last().header("cookie").unwrap();
        assert_eq!(cookie, "app=a=\"b; c", "{path}");
    }
    assert_eq!(
        proxy.count("foregate_policy_findings_total{policy=\"session-cookie\",application=\"app\"}"),
        2
    );
}

#[tokio::test]
async fn bodies_keep_their_length_and_connections_are_used_again() {
    let upstream = Upstream::answering(|request| {
        answer("200 OK", &[], &format!("{} {}", request.body.len(), request.connection))
    })
    .await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let client = proxy.client();
    let body = "x".repeat(100_000);
    for _ in 0..3 {
        assert_eq!(client.send("POST /", &body).await.body, "100000 0");
    }
    let received = upstream.last();
    assert_eq!(received.header("content-length").as_deref(), Some("100000"));
    assert_eq!(received.header("transfer-encoding"), None);
    assert!(received.headers.iter().any(|(name, _)| name == "X-Forwarded-For"), "names in Title-Case");

    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
    );
    assert_eq!(parse(&client.raw(chunked).await).body, "5 0");
    let received = upstream.last();
    assert_eq!(received.header("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!((received.body.as_slice(), received.trailers.len()), (b"abcde".as_slice(), 0));
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_nobody_a_request() {
    let upstream = Upstream::answering(|_| answer("200 OK", &[("Connection", "close")], "once")).await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    for _ in 0..5 {
        assert_eq!(proxy.client().send("POST /", "x").await.status, 200);
    }
    assert_eq!(upstream.received().len(), 5, "and none is sent twice");
}

#[tokio::test]
async fn an_upstream_that_answers_garbage_or_not_at_all_is_told_apart() {
    let upstream = Upstream::answering(|request| match request.target() {
        "/garbage" => b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(),
        "/two-lengths" => b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
              5\r\nhello\r\n0\r\n\r\n"
            .to_vec(),
        "/gzip" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_vec(),
        "/switch" => {
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_vec()
        }
        _ => Vec::new(),
    })
    .await;
    let slow = format!(
        "[upstream.slow]\nservers = [\"http://{}\"]\nresponse_timeout = \"200ms\"\n\
         [[route]]\npath = \"/slow\"\nupstream = \"slow\"\naccess = \"public\"",
        upstream.address()
    );
    let proxy = proxy(&upstream).route("/", "access = \"public\"").section(&slow).start();
    let (client, jar) = (proxy.client(), Jar::default());
    for (path, status, kind) in [
        ("/garbage", 502, "upstream-unreachable"),
        ("/switch", 502, "upstream-unreachable"),
        ("/two-lengths", 502, "upstream-unreachable"),
        ("/gzip", 502, "upstream-unreachable"),
        ("/slow", 504, "upstream-timeout"),
    ] {
        let answer = client.get(path, &jar).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(kind), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn http2_is_served_as_well() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let alice = proxy.logged_in(ALICE).await;
    // Cookies may come in crumbs.
    let request = http::Request::get(format!("https://{HOST}/x"))
        .header("cookie", "app=1")
        .header("cookie", format!("__Host-session={}", alice.session()))
        .header("cookie", "other=2")
        .body(())
        .unwrap();
    let answer = proxy.client().send_h2(request, b"", None).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    let received = upstream.only();
    assert_eq!(received.header("cookie").as_deref(), Some("app=1; other=2"));
    assert_eq!(received.header("host").as_deref(), Some(HOST));
    assert_eq!(received.header("x-forwarded-user").as_deref(), Some("alice"));
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_finish_and_takes_no_more() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let asked = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&asked);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let hold = Arc::clone(&gate);
    let upstream = Upstream::answering_when(
        move |_| {
            flag.store(true, Ordering::SeqCst);
            answer("200 OK", &[], "finished")
        },
        hold,
    )
    .await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let (client, address) = (proxy.client(), proxy.https);
    let under_way = tokio::spawn(async move { client.send("GET /", "").await });
    while !asked.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    proxy.stop();
    gate.add_permits(1);
    assert_eq!(under_way.await.unwrap().body, "finished");
    proxy.stopped().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_follows_a_request_that_can_be_read_in_two_ways_is_not_read_at_all() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    for head in [
        format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\n\r\n"),
        format!("GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
    ] {
        let canary = format!("GET /canary HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        let answers = proxy.client().raw(head.clone() + &canary).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{head}: {answers}");
        assert!(
            answers.starts_with("HTTP/1.1 400") && answers.contains("Connection: close"),
            "{head}: {answers}"
        );
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_client_that_goes_away_is_logged_and_long_names_are_cut() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let upstream = Upstream::answering_when(|_| answer("200 OK", &[], ""), gate).await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let client = proxy.client();
    let gone = tokio::spawn(async move { client.send("GET /gone", "").await });
    while upstream.connections() == 0 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    while !proxy.access_log().contains("\"status\":499") {
        tokio::task::yield_now().await;
    }
    let long =
        format!("GET /{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", "\u{9b}", "h".repeat(20_000));
    proxy.client().raw(long).await;
    let lines = proxy.access_log();
    assert!(lines.lines().all(|line| line.len() < 4_000) && !lines.contains('\u{9b}'), "{lines}");
}

#[tokio::test]
async fn an_application_that_sends_users_to_the_login_in_a_circle_is_told_of() {
    let to_login = |place: &str| format!("/_foregate/login?return_to={place}");
    let upstream =
        Upstream::answering(|_| answer("302 Found", &[("Location", "/_foregate/login")], "")).await;
    let proxy = proxy(&upstream).start();
    let (client, alice) = (proxy.client(), proxy.logged_in(ALICE).await);
    for _ in 0..5 {
        assert_eq!(client.visit(&to_login("/a"), &alice).await.status, 303);
    }
    let circle = client.visit(&to_login("/a"), &alice).await;
    assert_eq!(circle.status, 508, "{circle:#?}");
    assert!(circle.body.contains("It goes round in a circle") && circle.body.contains("login?again=1"));
    assert_eq!(client.visit(&to_login("/b"), &alice).await.status, 303, "another tab");
    assert_eq!(client.get(&to_login("/a"), &alice).await.status, 303, "a script has no page to show");
    let head = format!("HEAD {}\nAccept: text/html\nCookie: {}", to_login("/a"), alice.header());
    assert_eq!(client.send(&head, "").await.status, 303);
    proxy.clock.advance(std::time::Duration::from_secs(6));
    assert_eq!(client.visit(&to_login("/a"), &alice).await.status, 303, "somebody who comes later");
}

#[tokio::test]
async fn what_a_proxy_before_this_one_passes_on_by_http_does_not_go_round_for_ever() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let ask = async |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{headers}\r\n");
        let mut stream = TcpStream::connect(proxy.http).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        parse(&answer)
    };
    let said = "X-Forwarded-Proto: https\r\nAccept: text/html\r\n";
    for _ in 0..8 {
        assert_eq!(ask("/a", said).await.status, 308);
    }
    let circle = ask("/a", said).await;
    assert_eq!(circle.status, 508, "{circle:#?}");
    assert!(circle.body.contains("It goes round in a circle"), "{circle:#?}");
    let forwarded = "Forwarded: for=192.0.2.1;proto=https\r\n";
    assert_eq!(ask("/a?b", &format!("{forwarded}Accept: text/html\r\n")).await.status, 508);
    assert_eq!(ask("/a", forwarded).await.status, 308, "a script has no page to show");
    assert_eq!(ask("/b", said).await.status, 308);
    for _ in 0..20 {
        assert_eq!(ask("/c", "Accept: text/html\r\n").await.status, 308, "nobody says that it came by https");
    }
    assert!(upstream.received().is_empty());
}
