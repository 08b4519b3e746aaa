//! What decides is the request itself: no header names another address, no client is let past, and nothing that comes in
//! becomes a line of what goes out.

use http::Request;

use crate::support::client::Jar;
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::upstream::{Upstream, upstream};

fn guarded(upstream: &Upstream, server: &str) -> Proxy {
    proxy(upstream).route("/", "").route("/public", "access = \"public\"").server(server).start()
}

#[tokio::test]
async fn an_address_in_a_header_decides_nothing() {
    let upstream = upstream().await;
    for server in ["", "trusted_proxies = [\"127.0.0.1\"]"] {
        let proxy = guarded(&upstream, server);
        for name in [
            "X-Forwarded-Uri",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X_Rewrite_URL",
            "X-Forwarded-Prefix",
            "X-Forwarded-Path",
        ] {
            let before = upstream.received().len();
            let spoof = format!("{name}: /public/\nX-Forwarded-Method: OPTIONS\nX-Forwarded-Host: evil.test");
            assert_eq!(proxy.client().send(&format!("GET /admin\n{spoof}"), "").await.status, 401, "{name}");
            assert_eq!(upstream.received().len(), before, "{name}");
            let spoof = spoof.replace("/public/", "/admin");
            assert_eq!(proxy.client().send(&format!("GET /public\n{spoof}"), "").await.status, 200, "{name}");
            let received = upstream.last();
            assert_eq!(received.target(), "/public", "{name}");
            assert_eq!(received.header("x-forwarded-host").as_deref(), Some(HOST), "{name}");
            for gone in [&name.to_ascii_lowercase(), "x-forwarded-method"] {
                assert_eq!(received.all(gone), Vec::<String>::new(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn no_method_and_no_client_is_let_past() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream, "");
    let preflight = "Origin: https://evil.test\nAccess-Control-Request-Method: GET";
    for head in [
        "GET /ping\nUser-Agent:",
        "GET /ping\nUser-Agent: GoogleHC/1.0",
        "GET /healthz\nUser-Agent: ELB-HealthChecker/2.0",
        "GET /metrics\nUser-Agent: kube-probe/1.35",
        "HEAD /admin",
        "PROPFIND /admin",
        &format!("OPTIONS /admin\n{preflight}"),
    ] {
        assert_eq!(proxy.client().send(head, "").await.status, 401, "{head}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn nothing_that_comes_in_begins_a_line_of_what_goes_out() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream, "");
    for end in [
        "%0d%0aX-Injected:%20y",
        "%0aX-Injected:%20y",
        "%E5%98%8A%E5%98%8DX-Injected:%20y",
        "%00",
        "\u{560a}X",
    ] {
        for target in
            [format!("/admin?{end}"), format!("/{end}"), format!("/_foregate/login?return_to=/{end}")]
        {
            for address in
                [proxy.client().visit(&target, &Jar::default()).await, in_the_clear(&proxy, &target).await]
            {
                assert!(address.all("x-injected").is_empty(), "{target}: {address:#?}");
                let location = address.header("location").unwrap_or_default();
                assert!(!location.contains([' ', '\r', '\n']), "{target}: {address:#?}");
            }
        }
    }
    assert!(upstream.received().is_empty());
}

async fn in_the_clear(proxy: &Proxy, target: &str) -> crate::support::client::Answer {
    super::get(proxy.http, target, "").await
}

#[tokio::test]
async fn a_get_with_content_keeps_it() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream, "");
    let request = Request::get(format!("https://{HOST}/public")).body(()).unwrap();
    let answer = proxy.client().send_h2(request, b"hello", None).await.unwrap();
    assert_eq!(answer.status, 200);
    let received = upstream.only();
    assert_eq!(received.body, b"hello");
    assert_eq!(received.all("transfer-encoding").len() + received.all("content-length").len(), 1);
}
