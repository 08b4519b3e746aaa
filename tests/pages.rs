//! What people see: the proxy's own pages, as a browser gets them.

use std::time::Duration;

use crate::support::client::{Client, Jar};
use crate::support::proxy::{ALICE, Proxy, proxy};
use crate::support::upstream::upstream;

/// What a browser sends that goes to a page in a frame.
const IN_FRAME: &str = "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe";

async fn told(client: &Client, jar: &Jar) -> serde_json::Value {
    let answer = client.get("/_foregate/session", jar).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_str(&answer.body).unwrap()
}

fn touches(proxy: &Proxy) -> u64 {
    proxy.count("foregate_store_seconds_count{operation=\"touch\"}")
}

#[tokio::test]
async fn users_see_their_own_session_and_looking_is_no_use_of_it() {
    let upstream = upstream().await;
    let life = "idle_timeout = \"1h\"\nabsolute_timeout = \"3h\"";
    let proxy = proxy(&upstream).session(life).start();
    let (client, jar) = (proxy.client(), proxy.logged_in(ALICE).await);
    proxy.clock.advance(Duration::from_secs(1_800));
    let page = client.visit("/_foregate/session", &jar).await;
    assert_eq!(page.status, 200);
    for text in
        ["<strong>alice</strong>", "alice@example.com", "staff, admins", "30 minutes ago", "127.0.0.1"]
    {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    let told = told(&client, &jar).await;
    assert_eq!((&told["user"], &told["provider"]), (&"alice".into(), &"local".into()));
    assert_eq!((&told["name"], &told["remember"]), (&serde_json::Value::Null, &false.into()));
    assert_eq!(told["groups"], serde_json::json!(["staff", "admins"]));
    assert_eq!(told["logged_in_at"], told["last_seen_at"]);
    assert_ne!(told["idle_expires_at"], told["expires_at"]);
    let sessions = told["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0]["current"]), (1, &true.into()));
    assert_eq!(sessions[0]["handle"], told["handle"]);
    let token = told["csrf_token"].as_str().unwrap();
    assert_eq!(client.visit("/_foregate/logout", &jar).await.field("csrf_token"), token);
    assert_eq!(touches(&proxy), 0);
    proxy.clock.advance(Duration::from_secs(1_800));
    assert_eq!(client.get("/_foregate/session", &jar).await.status, 401, "it was idle all the time");
}

#[tokio::test]
async fn without_a_session_there_is_nothing_to_see() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (client, nobody) = (proxy.client(), Jar::default());
    let script = client.get("/_foregate/session", &nobody).await;
    assert_eq!((script.status, script.header("www-authenticate")), (401, Some("Foregate")));
    assert!(script.body.contains("urn:foregate:problem:login-required"), "{script:#?}");
    let person = client.visit("/_foregate/session", &nobody).await;
    assert!(person.status == 401 && person.body.contains("href=\"/_foregate/login\""), "{person:#?}");
    let posted = client.post("/_foregate/session", &nobody, &[]).await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn an_error_in_a_frame_is_shown_there_and_a_form_never_is() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let is_shown = |answer: &crate::support::client::Answer| {
        let policy = answer.header("content-security-policy").unwrap();
        assert_eq!(policy.contains("frame-ancestors 'none'"), answer.header("x-frame-options").is_some());
        !policy.contains("frame-ancestors")
    };
    for (path, status) in [("/", 401), ("/_foregate/nothing", 404), ("/_foregate/session", 401)] {
        let framed = client.send(&format!("GET {path}\n{IN_FRAME}"), "").await;
        assert_eq!(framed.status, status, "{path}");
        assert!(is_shown(&framed) && framed.body.contains("target=\"_top\""), "{path}: {framed:#?}");
        assert!(!framed.body.contains("<form"), "{path}");
    }
    let form = client.send(&format!("GET /_foregate/login\n{IN_FRAME}"), "").await;
    assert!(form.status == 200 && !is_shown(&form));
    let alone = client.visit("/_foregate/nothing", &Jar::default()).await;
    assert!(!is_shown(&alone) && !alone.body.contains("_top"), "{alone:#?}");
}

#[tokio::test]
async fn a_logo_is_served_by_its_hashed_name_and_runs_nothing() {
    let upstream = upstream().await;
    let files = tempfile::tempdir().unwrap();
    let (logo, style) = (files.path().join("logo.svg"), files.path().join("brand.css"));
    std::fs::write(&logo, "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>")
        .unwrap();
    std::fs::write(&style, ":root { --accent: #123456 }").unwrap();
    let section = format!("[login]\nlogo = \"{}\"\nstylesheet = \"{}\"", logo.display(), style.display());
    let proxy = proxy(&upstream).section(&section).start();
    let (client, nobody) = (proxy.client(), Jar::default());
    let page = client.visit("/_foregate/login", &nobody).await.body;
    let addresses: Vec<&str> =
        page.split('"').filter(|text| text.starts_with("/_foregate/assets/")).collect();
    let kinds = ["text/css; charset=utf-8", "text/css; charset=utf-8", "image/svg+xml"];
    assert_eq!(addresses.len(), kinds.len(), "{page}");
    for (address, kind) in addresses.iter().zip(kinds) {
        let asset = client.get(address, &nobody).await;
        assert_eq!((asset.status, asset.header("content-type")), (200, Some(kind)), "{address}");
        assert!(asset.header("cache-control").unwrap().contains("immutable"));
        let policy = asset.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
    }
}
