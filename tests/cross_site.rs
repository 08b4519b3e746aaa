//! What other sites' pages have browsers send: it reaches no application, and its sender learns nothing.

use http::Request;
use tokio::io::AsyncWriteExt;

use crate::support::captured_log;
use crate::support::client::{Answer, Client, Jar, parse};
use crate::support::proxy::{ALICE, HOST, Setup, proxy};
use crate::support::upstream::{Upstream, answer, upstream};
use crate::support::websocket::{asking, echo, read_head};

const EVIL: &str = "Sec-Fetch-Site: cross-site\nOrigin: https://evil.test";

const REFUSED: &str = "foregate_policy_findings_total{policy=\"csrf\",application=\"app\"}";

/// The same request over HTTP/1.1 and over HTTP/2; `head` is a method and a path, and then headers.
async fn send_both(client: &Client, head: &str) -> [Answer; 2] {
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(format!("https://{HOST}{path}"));
    for header in headers.lines().filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once(':').unwrap();
        request = request.header(name, value.trim());
    }
    let over_http2 = client.send_h2(request.body(()).unwrap(), b"", None).await.unwrap();
    [client.send(head, "").await, over_http2]
}

fn open_to_all(upstream: &Upstream, keys: &str) -> Setup {
    proxy(upstream).route("/", &format!("access = \"public\"\n{keys}"))
}

#[tokio::test]
async fn nothing_unsafe_reaches_an_application_from_another_sites_page() {
    let upstream = upstream().await;
    let proxy = open_to_all(&upstream, "").start();
    let client = proxy.client();
    let mut refused = 0;
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get"] {
        for headers in [
            EVIL,
            "Sec-Fetch-Site: same-site\nOrigin: https://sister.app.test",
            "Sec-Fetch-Site: cross-site",
            "Origin: https://evil.test",
            "Origin: null",
            "Referer: https://evil.test/",
        ] {
            for answer in send_both(&client, &format!("{method} /transfer\n{headers}")).await {
                assert_eq!(answer.status, 403, "{method} {headers}: {answer:#?}");
                assert_eq!(answer.header("content-type"), Some("application/problem+json"));
                assert!(answer.body.contains("urn:foregate:problem:cross-site"), "{answer:#?}");
                assert_eq!(answer.header("cache-control"), Some("no-store"));
                assert!(answer.header("vary").unwrap().contains("Sec-Fetch-Site"), "{answer:#?}");
                refused += 1;
            }
        }
    }
    assert!(upstream.received().is_empty());
    assert_eq!(proxy.count(REFUSED), refused);
}

#[tokio::test]
async fn what_reads_and_what_our_own_pages_send_passes() {
    let upstream = upstream().await;
    let proxy = open_to_all(&upstream, "").start();
    let mut passed = 0;
    for head in [
        format!("GET /\n{EVIL}\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"),
        format!("GET /picture\n{EVIL}\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image"),
        format!("HEAD /\n{EVIL}"),
        format!("OPTIONS /\n{EVIL}"),
        format!("POST /\nSec-Fetch-Site: same-origin\nOrigin: https://{HOST}"),
        "POST /\nSec-Fetch-Site: same-origin\nOrigin: null".to_owned(),
        "POST /\nSec-Fetch-Site: none".to_owned(),
        format!("POST /\nOrigin: https://{HOST}"),
        format!("POST /\nReferer: https://{HOST}/form"),
        "DELETE /".to_owned(),
    ] {
        for answer in send_both(&proxy.client(), &head).await {
            assert_eq!(answer.status, 200, "{head}: {answer:#?}");
            passed += 1;
        }
    }
    assert_eq!(upstream.received().len(), passed);
    assert_eq!(proxy.count(REFUSED), 0);
}

#[tokio::test]
async fn another_site_does_not_learn_who_is_signed_in_and_keeps_no_session_alive() {
    let upstream = upstream().await;
    let keys = "groups = [\"nobody\"]";
    let proxy =
        proxy(&upstream).route("/", "").route("/closed", keys).route("/read", "methods = [\"GET\"]").start();
    let (alice, client) = (proxy.logged_in(ALICE).await, proxy.client());
    let valid = "foregate_cookie_verdicts_total{verdict=\"valid\"}";
    let looked_up = proxy.count(valid);
    let mut told = Vec::new();
    for path in ["/", "/closed", "/read"] {
        for cookies in [alice.header(), "__Host-session=forged".to_owned(), "a=b".to_owned()] {
            for mode in ["navigate", "cors"] {
                let head = format!("POST {path}\nCookie: {cookies}\n{EVIL}\nSec-Fetch-Mode: {mode}");
                for answer in send_both(&client, &head).await {
                    let id = answer.header("x-request-id").unwrap().to_owned();
                    assert!(answer.all("set-cookie").is_empty(), "{answer:#?}");
                    told.push((mode, answer.status, answer.body.replace(&id, "ID")));
                }
            }
        }
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 2, "a page for people and a problem for scripts: {told:#?}");
    assert_eq!(proxy.count(valid), looked_up, "nobody asked who it was");
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_person_is_told_what_happened_and_how_it_can_be_allowed() {
    let upstream = upstream().await;
    let proxy = open_to_all(&upstream, "").start();
    let post = async |headers: &str| {
        proxy.client().send(&format!("POST /\nSec-Fetch-Mode: navigate\n{headers}"), "").await
    };
    let page = post(EVIL).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("<code>https://evil.test</code>"), "{page:#?}");
    assert!(page.body.contains("csrf.trusted_origins"), "{page:#?}");
    for origin in ["null", "https://<b>evil", "\"><script>alert(1)</script>", "https://evil.test\\\"<i>"] {
        let page = post(&format!("Sec-Fetch-Site: cross-site\nOrigin: {origin}")).await;
        assert_eq!(page.status, 403);
        assert!(page.body.contains("route.csrf") && !page.body.contains("trusted_origins"), "{page:#?}");
        assert!(!page.body.contains("<b>") && !page.body.contains("alert(1)"), "{page:#?}");
    }
    let framed = post(&format!("{EVIL}\nSec-Fetch-Dest: iframe")).await;
    assert_eq!((framed.status, framed.header("x-frame-options")), (403, None), "it shows in the frame");
}

#[tokio::test]
async fn each_refusal_is_an_audit_record() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let alice = proxy.logged_in(ALICE).await;
    for headers in [EVIL, "Origin: null", "Referer: https://evil.test\\@app.test/"] {
        let head = format!("POST /\nCookie: {}\n{headers}", alice.header());
        assert_eq!(proxy.client().send(&head, "").await.status, 403);
    }
    let records = proxy.events("cross_site_refused");
    let told: Vec<_> =
        records.iter().map(|record| (record["reason"].as_str(), record["origin"].as_str())).collect();
    assert_eq!(
        told,
        [
            (Some("sec-fetch-site"), Some("https://evil.test")),
            (Some("origin"), Some("null")),
            (Some("referer"), Some("unclear"))
        ]
    );
    assert!(
        records.iter().all(|record| record["request_id"].is_string() && record["address"] == "127.0.0.1")
    );
}

#[tokio::test]
async fn in_report_mode_all_passes_and_each_kind_is_logged_once() {
    let upstream = upstream().await;
    let (log, _guard) = captured_log();
    let proxy = open_to_all(&upstream, "").section("[csrf]\nmode = \"report\"").start();
    for _ in 0..3 {
        for answer in send_both(&proxy.client(), &format!("POST /\n{EVIL}")).await {
            assert_eq!(answer.status, 200);
        }
    }
    assert_eq!(proxy.client().send("POST /\nOrigin: null", "").await.status, 200);
    assert_eq!(upstream.received().len(), 7);
    assert_eq!(proxy.count(REFUSED), 7);
    let log = log.text();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("another site's page")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains("https://evil.test") && lines[0].contains("WARN"), "{log}");
    assert!(proxy.events("cross_site_refused").is_empty());
}

#[tokio::test]
async fn a_route_may_go_its_own_way() {
    let upstream = upstream().await;
    let keys = |mode: &str| format!("access = \"public\"\ncsrf = \"{mode}\"");
    let proxy = proxy(&upstream)
        .section("[csrf]\nmode = \"report\"\ntrusted_origins = [\"https://partner.test\"]")
        .route("/", &keys("inherit"))
        .route("/strict", &keys("enforce"))
        .route("/hook", &keys("off"))
        .start();
    for (path, origin, status) in [
        ("/", "https://evil.test", 200),
        ("/strict", "https://evil.test", 403),
        ("/strict", "https://partner.test", 200),
        ("/strict", "http://partner.test", 403),
        ("/hook", "https://evil.test", 200),
    ] {
        let head = format!("POST {path}\nSec-Fetch-Site: cross-site\nOrigin: {origin}");
        for answer in send_both(&proxy.client(), &head).await {
            assert_eq!(answer.status, status, "{head}");
        }
    }
    assert_eq!(proxy.count(REFUSED), 6, "where nobody looks, nothing is found");
}

#[tokio::test]
async fn no_mode_opens_our_own_forms_to_others() {
    let upstream = upstream().await;
    let proxy = open_to_all(&upstream, "csrf = \"off\"\n")
        .section("[csrf]\nmode = \"off\"\ntrusted_origins = [\"https://partner.test\"]")
        .start();
    let mut jar = Jar::default();
    let form = proxy.client().visit("/_foregate/login", &jar).await;
    jar.take(&form);
    let fields = format!("username=alice&password=correct+horse&csrf_token={}", form.field("csrf_token"));
    for headers in
        ["Sec-Fetch-Site: cross-site\nOrigin: https://partner.test", "Origin: https://partner.test"]
    {
        let head = format!("POST /_foregate/login\nCookie: {}\n{headers}", jar.header());
        let refused = proxy.client().send(&head, &fields).await;
        assert_eq!(refused.status, 403, "{refused:#?}");
        assert!(refused.header("vary").unwrap().contains("Sec-Fetch-Site"), "{refused:#?}");
    }
}

/// A handshake with `headers`, and the status that it gets.
async fn opens(client: &Client, jar: &Jar, headers: &str) -> u16 {
    let mut stream = client.connect(b"http/1.1").await;
    let request = asking("/chat", jar).replacen("\r\n", &format!("\r\n{headers}"), 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    parse(&read_head(&mut stream).await).status
}

#[tokio::test]
async fn another_sites_page_opens_no_websocket_signed_in_or_not() {
    let upstream = Upstream::talking(echo).await;
    let trusted = "[csrf]\ntrusted_origins = [\"https://partner.test\"]";
    let proxy = proxy(&upstream).route("/", "").route("/chat", "").section(trusted).start();
    let (alice, client) = (proxy.logged_in(ALICE).await, proxy.client());
    for headers in [
        "Origin: https://evil.test\r\n",
        "Origin: null\r\n",
        "Origin: wss://app.test\r\n",
        "Origin: http://app.test\r\n",
        "Origin: https://app.test\r\nOrigin: https://app.test\r\n",
        "Sec-Fetch-Site: same-origin\r\nOrigin: https://evil.test\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        assert_eq!(opens(&client, &alice, headers).await, 403, "{headers}");
        assert_eq!(opens(&client, &Jar::default(), headers).await, 403, "{headers}");
    }
    assert!(upstream.received().is_empty());
    assert_eq!(opens(&client, &Jar::default(), "Origin: https://app.test\r\n").await, 401);
    let passing = ["Origin: https://app.test\r\n", "Origin: https://partner.test\r\n", ""];
    for headers in passing {
        assert_eq!(opens(&client, &alice, headers).await, 101, "{headers}");
    }
    assert_eq!(upstream.received().len(), passing.len());
}

#[tokio::test]
async fn a_preflight_is_nobodys_and_passes_only_where_the_route_says_so() {
    let allowing = [("Access-Control-Allow-Origin", "https://partner.test")];
    let upstream = Upstream::answering(move |_| answer("204 No Content", &allowing, "")).await;
    let proxy = proxy(&upstream).route("/", "").route("/api", "preflight = \"pass\"").start();
    let (alice, client) = (proxy.logged_in(ALICE).await, proxy.client());
    let ask = |path: &str| {
        format!(
            "OPTIONS {path}\nCookie: {}; theme=dark\nAuthorization: Basic YWxpY2U6cGFzc3dvcmQ=\n\
             Origin: https://partner.test\nAccess-Control-Request-Method: PUT",
            alice.header()
        )
    };
    for answer in send_both(&client, &ask("/")).await {
        assert_eq!(answer.status, 401, "{answer:#?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert!(upstream.received().is_empty());
    for answer in send_both(&client, &ask("/api/x")).await {
        assert_eq!(answer.status, 204, "{answer:#?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://partner.test"));
        let received = upstream.last();
        for name in ["cookie", "authorization", "x-forwarded-user", "x-foregate-session"] {
            assert_eq!(received.header(name), None, "{name}");
        }
        assert_eq!(received.header("access-control-request-method").as_deref(), Some("PUT"));
    }
    let other = client.send("OPTIONS /api/x\nOrigin: https://partner.test", "").await;
    assert_eq!(other.status, 401, "no preflight");
    let change = client.send("PUT /api/x\nOrigin: https://partner.test", "").await;
    assert_eq!(change.status, 403, "that a browser may ask does not make it so");
}
