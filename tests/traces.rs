//! Traces of requests that were answered: what each stage came to, of clients that an operator names and of nobody else.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use crate::explain::explain;
use crate::sessions_api::{ask, json, misfit};
use crate::support::client::Jar;
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, proxy};
use crate::support::upstream::{Upstream, answer, upstream};

/// A client that is traced.
const TRACED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

async fn begin(proxy: &Proxy) {
    let outcome = explain(proxy.folder(), &["--trace", "127.0.0.7"], "").await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{outcome:?}");
    assert!(outcome.stdout.starts_with("requests of 127.0.0.7/32 are traced until "), "{outcome:?}");
}

/// The trace of the request that `answer` was for.
async fn trace(proxy: &Proxy, answer: &crate::support::client::Answer) -> Option<Value> {
    let id = answer.header("x-request-id").unwrap();
    let outcome = explain(proxy.folder(), &["--request", id, "--json"], "").await;
    match outcome.code {
        0 => Some(serde_json::from_str(&outcome.stdout).unwrap()),
        1 => None,
        _ => panic!("{outcome:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_traced_is_what_explain_says_and_what_happened() {
    let upstream = upstream().await;
    let setup = proxy(&upstream).route("/", "").route("/open", "access = \"public\"");
    let proxy = setup.route("/admin", "groups = [\"admins\"]").start();
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    begin(&proxy).await;
    let client = proxy.client().at(TRACED);
    for (line, jar, verdict, status) in [
        ("GET /", &alice, "valid", 200),
        ("GET /", &Jar::default(), "absent", 303),
        ("GET /open/x", &alice, "", 200),
        ("GET /admin", &alice, "valid", 200),
        ("GET /admin", &bob, "valid", 403),
        ("POST /", &bob, "valid", 200),
    ] {
        let head = format!(
            "{line}\nCookie: {}\nAccept: text/html\nSec-Fetch-Site: same-origin\nSec-Fetch-Mode: navigate\n\
             Sec-Fetch-Dest: document\nX-Forwarded-User: root",
            jar.header()
        );
        let answered = client.send(&head, "").await;
        assert_eq!(answered.status, status, "{line}: {answered:#?}");
        let told = trace(&proxy, &answered).await.unwrap();
        let (method, path) = line.split_once(' ').unwrap();
        assert_eq!(told["request"], format!("{method} https://{HOST}{path}"));
        assert_eq!((&told["client"], &told["answer"]["status"]), (&"127.0.0.7".into(), &status.into()));
        assert_eq!(told["cookie"]["verdict"].as_str().unwrap_or_default(), verdict, "{told:#}");
        let arrived = status == 200;
        assert_eq!(told.get("upstream").is_some(), arrived, "{told:#}");
        if arrived && verdict == "valid" {
            let set = told["upstream"]["set"].as_array().unwrap();
            let user = format!("x-forwarded-user: {}", upstream.last().header("x-forwarded-user").unwrap());
            assert!(set.contains(&user.into()), "{told:#}");
            let removed = told["upstream"]["removed"].as_array().unwrap();
            assert!(removed.contains(&"x-forwarded-user: root".into()), "{told:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_traced_as_far_as_they_came_and_others_not_at_all() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    begin(&proxy).await;
    let client = proxy.client().at(TRACED);
    let foreign = client.send("POST /\nOrigin: https://evil.test", "").await;
    let told = trace(&proxy, &foreign).await.unwrap();
    assert_eq!(told["answer"]["status"], 403);
    assert!(told["sender"].as_str().unwrap().contains("another site sent it"), "{told:#}");
    assert!(told.get("cookie").is_none(), "{told:#}");
    let unsound = client.send("GET /\nA B: c", "").await;
    assert!(unsound.header("x-request-id").is_none() || trace(&proxy, &unsound).await.is_some());
    let login = client.visit("/_foregate/login?return_to=%2Fsecret", &Jar::default()).await;
    let told = trace(&proxy, &login).await.unwrap();
    assert_eq!((&told["endpoint"], &told["answer"]["by"]), (&"login".into(), &"proxy".into()));

    let other = proxy.client().visit("/", &Jar::default()).await;
    assert_eq!(trace(&proxy, &other).await, None, "another client");
    proxy.clock.advance(Duration::from_secs(600));
    let late = client.visit("/", &Jar::default()).await;
    assert_eq!(trace(&proxy, &late).await, None, "ten minutes later");
    assert!(trace(&proxy, &login).await.is_some(), "what was told stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trace_holds_a_credential() {
    let upstream = Upstream::answering(|_| {
        let headers = [("Set-Cookie", "app=appsecret; Path=/"), ("Location", "/next?code=querysecret")];
        answer("302 Found", &headers, "")
    })
    .await;
    let proxy = proxy(&upstream).start();
    let alice = proxy.logged_in(ALICE).await;
    begin(&proxy).await;
    let client = proxy.client().at(TRACED);
    let head = format!(
        "GET /a?token=querysecret\nCookie: {}; basket=cookiesecret\nAuthorization: Basic authsecret\n\
         Proxy-Authorization: Basic authsecret\nX-Api-Key: keysecret\nReferer: https://{HOST}/b?c=querysecret",
        alice.header()
    );
    let answered = client.send(&head, "").await;
    assert_eq!(answered.status, 302);
    let told = trace(&proxy, &answered).await.unwrap().to_string();
    assert!(told.contains("app=(not told)") && told.contains("basket"), "{told}");
    let secrets: Vec<&str> = alice.0.iter().map(|(_, value)| value.as_str()).collect();
    for secret in ["secret;", "appsecret", "querysecret", "cookiesecret", "authsecret", "keysecret"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
    assert!(!secrets.iter().any(|secret| told.contains(secret)), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_and_end_what_is_traced_and_a_reload_leaves_it() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    begin(&proxy).await;
    proxy.reload(&proxy.configuration()).await.unwrap();
    let client = proxy.client().at(TRACED);
    let answered = client.visit("/", &Jar::default()).await;
    let id = answered.header("x-request-id").unwrap();
    let listed = json(&ask(&proxy, "GET", "/api/v1/traces").await);
    assert_eq!(listed["clients"][0]["client"], "127.0.0.7/32");
    assert_eq!(listed["requests"][0], id);

    let shown = explain(proxy.folder(), &["--request", id], "").await;
    let stages: Vec<&str> = shown.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for stage in ["traced", "request", "route", "sender", "cookie", "answer"] {
        assert!(stages.contains(&stage), "{stage}: {shown:?}");
    }
    let document = json(&ask(&proxy, "GET", "/api/v1/openapi.json").await);
    let one = format!("/api/v1/traces/{id}");
    for (method, path, described) in [
        ("GET", "/api/v1/traces", "/api/v1/traces"),
        ("POST", "/api/v1/traces?client=192.0.2.0/24&minutes=1", "/api/v1/traces"),
        ("DELETE", "/api/v1/traces?client=192.0.2.0/24", "/api/v1/traces"),
        ("GET", &one, "/api/v1/traces/{request_id}"),
    ] {
        let answer = ask(&proxy, method, path).await;
        let content = &document["paths"][described][method.to_lowercase()]["responses"]["200"]["content"];
        assert_eq!(answer.status, 200, "{method} {path}: {answer:#?}");
        assert_eq!(misfit(&document, &content["application/json"]["schema"], &json(&answer)), None);
    }
    assert_eq!(ask(&proxy, "DELETE", "/api/v1/traces?client=127.0.0.7").await.status, 200);
    assert_eq!(ask(&proxy, "DELETE", "/api/v1/traces?client=127.0.0.7").await.status, 404);
    let untraced = client.visit("/", &Jar::default()).await;
    assert_eq!(trace(&proxy, &untraced).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_answered_with_the_way_out() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    for (args, code, words) in [
        (&["--trace", "alice"][..], 2, "is no address and no network"),
        (&["--trace", "127.0.0.7", "--minutes", "61"], 2, "1 to 60 minutes"),
        (&["--request", "abc"], 2, "32 hexadecimal digits"),
        (&["--request", &"0".repeat(32)], 1, "foregate explain --trace CLIENT"),
        (&["--request", &"0".repeat(32), "https://app.test/"], 2, "cannot be used with"),
        (&[], 2, "required"),
    ] {
        let outcome = explain(proxy.folder(), args, "").await;
        assert!(outcome.code == code && outcome.stderr.contains(words), "{args:?}: {outcome:?}");
    }
    let folder = proxy.folder().to_owned();
    proxy.stop();
    crate::support::settle::eventually("nobody answers", async || {
        explain(&folder, &["--trace", "127.0.0.7"], "").await.code == 3
    })
    .await;
}
