//! Forms that met an ended session: their user can send them after the login, and nobody else gets them.

mod room;
mod undelivered;

use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::client::{Answer, Client, Jar};
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, hash, proxy};
use crate::support::redis::RedisServer;
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, upstream};

const A_DAY: Duration = Duration::from_secs(86_400);

const COOKIE: &str = "__Host-foregate-unsent";

/// Where the form goes.
const TARGET: &str = "/orders/new?draft=7";

const MULTIPART: &str = "multipart/form-data; boundary=b0undary";

/// What it brings: a file among its fields.
const BODY: &str = "--b0undary\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nan hour's work \u{fc}\r\n\
    --b0undary\r\nContent-Disposition: form-data; name=\"scan\"; filename=\"a.bin\"\r\n\r\n\u{1}\n\n\r\n\
    --b0undary--\r\n";

const OWN_PAGE: &str = "Sec-Fetch-Mode: navigate\nSec-Fetch-Site: same-origin\nSec-Fetch-Dest: document\nOrigin: https://app.test\n\
     Referer: https://app.test/orders/form";

/// Sends the form as a browser does; `headers` tell what page it stands on.
async fn send(client: &Client, jar: &Jar, headers: &str) -> Answer {
    let head = format!("POST {TARGET}\nCookie: {}\nContent-Type: {MULTIPART}\n{headers}", jar.header());
    client.send(&head, BODY).await
}

/// The cookies of a browser that alice used until her session was over.
async fn left_by_alice(proxy: &Proxy) -> Jar {
    let jar = proxy.logged_in(ALICE).await;
    proxy.clock.advance(A_DAY + A_DAY);
    jar
}

/// Sends the form with the cookie of alice's ended session; it is kept.
async fn interrupted(proxy: &Proxy) -> Jar {
    let mut jar = left_by_alice(proxy).await;
    let answer = send(&proxy.client(), &jar, OWN_PAGE).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/_foregate/login")), "{answer:#?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    jar.take(&answer);
    assert!(jar.value(COOKIE).is_some(), "{answer:#?}");
    jar
}

fn was_kept(answer: &Answer) -> bool {
    answer.all("set-cookie").iter().any(|cookie| cookie.starts_with(COOKIE))
}

/// What the offer's button stands for.
async fn offered(client: &Client, jar: &Jar) -> Option<String> {
    let page = client.visit("/_foregate/unsent?return_to=%2Fon", jar).await;
    match page.status {
        200 => Some(page.field("foregate-unsent")),
        303 => {
            assert_eq!(page.header("location"), Some("/on"));
            let cleared = page.all("set-cookie");
            assert!(cleared.iter().any(|line| line.starts_with(COOKIE) && line.contains("Max-Age=0")));
            None
        }
        _ => panic!("{page:#?}"),
    }
}

async fn press(client: &Client, jar: &Jar, target: &str, token: &str) -> Answer {
    let head = format!(
        "POST {target}\nCookie: {}\nContent-Type: application/x-www-form-urlencoded\nSec-Fetch-Mode: navigate\n\
         Sec-Fetch-Site: same-origin\nOrigin: https://{HOST}\nReferer: https://{HOST}/_foregate/unsent",
        jar.header()
    );
    client.send(&head, &format!("foregate-unsent={token}")).await
}

fn posts(upstream: &Upstream) -> usize {
    upstream.received().iter().filter(|request| request.line.starts_with("POST")).count()
}

#[tokio::test]
async fn its_user_sends_it_after_the_login_as_it_was_and_once() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    assert!(upstream.received().is_empty());
    let answer = client.log_in(&mut jar, ALICE, "/on").await;
    assert_eq!(answer.header("location"), Some("/_foregate/unsent?return_to=%2Fon"), "{answer:#?}");
    let page = client.visit("/_foregate/unsent?return_to=%2Fon", &jar).await;
    assert!(page.body.contains("/orders/new?draft=7") && page.body.contains("15 more minutes"), "{page:#?}");
    assert!(page.body.contains(&format!("{} bytes", BODY.len())), "{page:#?}");
    assert!(!page.body.contains("work"), "what was filled in is not shown to who looks over a shoulder");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(upstream.received().is_empty(), "nothing is sent by itself");

    let token = page.field("foregate-unsent");
    let pressed = press(&client, &jar, TARGET, &token).await;
    assert_eq!((pressed.status, pressed.header("cache-control")), (200, Some("no-store")));
    assert!(
        pressed.all("set-cookie").iter().any(|line| line.starts_with(COOKIE) && line.contains("Max-Age=0"))
    );
    let sent = upstream.only();
    assert_eq!(
        (sent.line.as_str(), sent.body),
        ("POST /orders/new?draft=7 HTTP/1.1", BODY.as_bytes().to_vec())
    );
    let told = ["content-type", "content-length", "origin", "referer", "x-forwarded-user"];
    let told = told.map(|name| upstream.last().header(name).unwrap());
    let length = BODY.len().to_string();
    assert_eq!(told, [MULTIPART, &length, "https://app.test", "https://app.test/orders/form", "alice"]);
    assert_eq!(upstream.last().header("cookie"), None, "the cookie is the proxy's own");

    let again = press(&client, &jar, TARGET, &token).await;
    assert_eq!(again.status, 410, "{again:#?}");
    assert!(again.body.contains("Nothing is left to send"), "{again:#?}");
    assert_eq!(offered(&client, &jar).await, None);
    assert_eq!(posts(&upstream), 1);
}

#[tokio::test]
async fn who_is_signed_in_in_another_tab_is_offered_it_as_well() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    client.log_in(&mut jar, ALICE, "").await;
    let login = client.visit("/_foregate/login?return_to=%2Fon", &jar).await;
    assert_eq!(login.header("location"), Some("/_foregate/unsent?return_to=%2Fon"), "{login:#?}");
    assert!(offered(&client, &jar).await.is_some());
}

#[tokio::test]
async fn another_user_of_the_browser_does_not_get_it() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    assert_eq!(client.log_in(&mut jar, BOB, "").await.status, 303);
    let page = client.visit("/_foregate/unsent?return_to=%2Fon", &jar).await;
    assert_eq!((page.status, page.header("location")), (303, Some("/on")), "{page:#?}");
    assert_eq!(posts(&upstream), 0);
    client.log_in(&mut jar, ALICE, "").await;
    assert!(offered(&client, &jar).await.is_some(), "it goes on waiting for its own");
}

#[tokio::test]
async fn where_hosts_share_sessions_nothing_is_kept() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).section("[session.cookie]\ndomain = \"app.test\"").start();
    let jar = left_by_alice(&proxy).await;
    let answer = send(&proxy.client(), &jar, OWN_PAGE).await;
    assert!(!was_kept(&answer) && answer.status == 303, "{answer:#?}");
}

#[tokio::test]
async fn nor_does_one_whose_name_is_spelled_alike() {
    let upstream = upstream().await;
    let user = |name: &str| format!("[users.{name}]\npassword = \"{}\"\n", hash(ALICE.1, 8));
    let proxy = proxy(&upstream).users(&(user("alice") + &user("Alice"))).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    assert_eq!(client.log_in(&mut jar, ("Alice", ALICE.1), "").await.status, 303);
    assert_eq!(client.visit("/_foregate/unsent?return_to=%2Fon", &jar).await.header("location"), Some("/on"));
}

#[tokio::test]
async fn what_stands_for_it_is_worth_nothing_elsewhere() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    client.log_in(&mut jar, ALICE, "").await;
    let token = offered(&client, &jar).await.unwrap();

    let elsewhere = proxy.logged_in(ALICE).await;
    assert_eq!(press(&client, &elsewhere, TARGET, &token).await.status, 410, "another browser");
    for target in ["/orders/new?draft=8", "/orders", "/orders/new"] {
        assert_eq!(press(&client, &jar, target, &token).await.status, 410, "{target}");
    }
    assert_eq!(press(&client, &jar, TARGET, &"A".repeat(43)).await.status, 410);
    let mut same = jar.clone();
    client.log_in(&mut same, ALICE, "").await;
    assert_eq!(press(&client, &same, TARGET, &token).await.status, 410, "another session");
    let ended = press(&client, &jar, TARGET, &token).await;
    assert!(ended.status == 303 && !was_kept(&ended), "{ended:#?}");
    assert_eq!(posts(&upstream), 0);
    let token = offered(&client, &same).await.expect("nobody has taken it");
    assert_eq!(press(&client, &same, TARGET, &token).await.status, 200);
}

#[tokio::test]
async fn no_other_origin_has_it_sent() {
    let upstream = upstream().await;
    // The route takes what other sites send; this it takes from the proxy's own page alone.
    let proxy = proxy(&upstream).route("/", "csrf = \"off\"\n").start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    client.log_in(&mut jar, ALICE, "").await;
    let token = offered(&client, &jar).await.unwrap();
    for headers in [
        "Sec-Fetch-Site: cross-site\nOrigin: https://evil.test",
        "Origin: https://evil.test",
        "Origin: null",
        "X-A: b",
    ] {
        let head = format!(
            "POST {TARGET}\nCookie: {}\nContent-Type: application/x-www-form-urlencoded\n{headers}",
            jar.header()
        );
        let answer = client.send(&head, &format!("foregate-unsent={token}")).await;
        assert_eq!(answer.status, 403, "{headers}: {answer:#?}");
    }
    assert_eq!(posts(&upstream), 0);
    assert!(offered(&client, &jar).await.is_some());
}

#[tokio::test]
async fn only_a_form_of_our_own_page_with_a_session_that_was_is_kept() {
    let upstream = upstream().await;
    let setup = proxy(&upstream).section("[csrf]\nmode = \"off\"\nkeep_body = \"1KiB\"");
    let proxy = setup.start();
    let client = proxy.client();
    let jar = left_by_alice(&proxy).await;
    assert!(was_kept(&send(&client, &jar, OWN_PAGE).await));

    for headers in [
        "Sec-Fetch-Mode: navigate\nSec-Fetch-Site: cross-site\nOrigin: https://evil.test",
        "Sec-Fetch-Mode: navigate\nSec-Fetch-Site: same-site\nOrigin: https://sister.app.test",
        "Sec-Fetch-Mode: navigate\nSec-Fetch-Site: same-origin\nOrigin: null",
        "Sec-Fetch-Mode: navigate\nSec-Fetch-Site: none",
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-Mode: cors\nSec-Fetch-Site: same-origin",
        "Sec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe\nSec-Fetch-Site: same-origin",
        "",
    ] {
        let answer = send(&client, &jar, headers).await;
        assert!(!was_kept(&answer) && [303, 401].contains(&answer.status), "{headers}: {answer:#?}");
    }

    let without = |name: &str| Jar(jar.0.iter().filter(|(other, _)| other != name).cloned().collect());
    let mut forged = without("__Host-session");
    forged.0.push(("__Host-session".to_owned(), format!("{}A", jar.session())));
    for jar in [without("__Host-session"), without("__Host-foregate-browser"), forged, Jar::default()] {
        let answer = send(&client, &jar, OWN_PAGE).await;
        assert!(!was_kept(&answer) && answer.status == 303, "{jar:?}: {answer:#?}");
    }

    let cookie = jar.header();
    for (line, content_type, body) in [
        (format!("PUT {TARGET}"), MULTIPART, BODY.to_owned()),
        (format!("POST {TARGET}"), "application/json", "{}".to_owned()),
        (format!("POST {TARGET}"), MULTIPART, "x".repeat(1025)),
    ] {
        let head = format!("{line}\nCookie: {cookie}\nContent-Type: {content_type}\n{OWN_PAGE}");
        let answer = client.send(&head, &body).await;
        assert!(!was_kept(&answer) && answer.status == 303, "{line} {content_type}: {answer:#?}");
    }
    assert_eq!(posts(&upstream), 0);
}

#[tokio::test]
async fn nothing_is_kept_where_nothing_may_be() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).section("[csrf]\nkeep_body = \"0B\"").start();
    let mut jar = left_by_alice(&proxy).await;
    let answer = send(&proxy.client(), &jar, OWN_PAGE).await;
    assert!(!was_kept(&answer) && answer.status == 303, "{answer:#?}");
    let answer = proxy.client().log_in(&mut jar, ALICE, "/on").await;
    assert_eq!(answer.header("location"), Some("/on"));
}

#[tokio::test]
async fn after_a_quarter_of_an_hour_it_is_gone() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let mut jar = interrupted(&proxy).await;
    proxy.clock.advance(Duration::from_secs(14 * 60));
    proxy.client().log_in(&mut jar, ALICE, "").await;
    let page = proxy.client().visit("/_foregate/unsent", &jar).await;
    assert!(page.body.contains("<dd>one more minute</dd>"), "{page:#?}");
    proxy.clock.advance(Duration::from_secs(61));
    assert_eq!(offered(&proxy.client(), &jar).await, None);
    let token = page.field("foregate-unsent");
    assert_eq!(press(&proxy.client(), &jar, TARGET, &token).await.status, 410);
    let answer = proxy.client().log_in(&mut jar, ALICE, "/on").await;
    assert_eq!(answer.header("location"), Some("/on"));
}

#[tokio::test]
async fn whoever_does_not_want_it_throws_it_away() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    let nobody = client.visit("/_foregate/unsent?return_to=%2Fon", &jar).await;
    assert_eq!(nobody.header("location"), Some("/_foregate/login?return_to=%2Fon"), "{nobody:#?}");
    client.log_in(&mut jar, ALICE, "").await;
    let page = client.visit("/_foregate/unsent?return_to=%2Fon", &jar).await;
    let token = page.field("csrf_token");
    let stale = client.post("/_foregate/unsent", &jar, &[("csrf_token", "x"), ("return_to", "/on")]).await;
    assert_eq!(stale.status, 403);
    assert!(offered(&client, &jar).await.is_some());
    let gone = client.post("/_foregate/unsent", &jar, &[("csrf_token", &token), ("return_to", "/on")]).await;
    assert_eq!((gone.status, gone.header("location")), (303, Some("/on")));
    assert_eq!(offered(&client, &jar).await, None);
    assert_eq!(posts(&upstream), 0);
}

#[tokio::test]
async fn a_form_of_the_same_length_is_none_of_our_business() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let jar = proxy.logged_in(ALICE).await;
    let length = "foregate-unsent=".len() + 43;
    for body in [format!("note={}", "x".repeat(length - 5)), format!("foregate-unsend={}", "x".repeat(43))] {
        assert_eq!(body.len(), length);
        let head = format!(
            "POST /notes\nCookie: {}\nContent-Type: application/x-www-form-urlencoded\nOrigin: https://{HOST}",
            jar.header()
        );
        assert_eq!(proxy.client().send(&head, &body).await.status, 200);
        assert_eq!(upstream.last().body, body.as_bytes());
    }
}

#[tokio::test]
async fn a_form_in_another_tab_is_kept_although_the_login_page_was_shown() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let mut jar = left_by_alice(&proxy).await;
    let page = client.visit("/_foregate/login?return_to=%2Fon", &jar).await;
    jar.take(&page);
    assert!(was_kept(&send(&client, &jar, OWN_PAGE).await));

    let mut from_a_link = Jar(jar.0.iter().filter(|(name, _)| name == "__Host-session").cloned().collect());
    let head = format!(
        "GET /_foregate/login\nCookie: {}\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate",
        from_a_link.header()
    );
    from_a_link.take(&client.send(&head, "").await);
    assert!(
        from_a_link.value("__Host-session").is_some(),
        "a strict cookie does not come along from elsewhere"
    );

    let mut nobodys = Jar(jar.0.iter().filter(|(name, _)| name == "__Host-session").cloned().collect());
    nobodys.take(&client.visit("/_foregate/login", &nobodys).await);
    assert_eq!(nobodys.value("__Host-session"), None, "where no form could be kept, the cookie is cleared");
}

#[tokio::test]
async fn no_script_is_told_what_stands_for_it() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    client.log_in(&mut jar, ALICE, "").await;
    for headers in ["Accept: */*", "Accept: text/html\nSec-Fetch-Mode: cors\nSec-Fetch-Site: same-origin"] {
        let head = format!("GET /_foregate/unsent\nCookie: {}\n{headers}", jar.header());
        let answer = client.send(&head, "").await;
        assert!(answer.status == 404 && !answer.body.contains("foregate-unsent"), "{answer:#?}");
    }
    assert!(offered(&client, &jar).await.is_some());
}

#[tokio::test]
async fn where_nobody_need_be_signed_in_nobody_else_sends_it() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"optional\"\n").start();
    let jar = Jar::default();
    assert_eq!(press(&proxy.client(), &jar, TARGET, &"A".repeat(43)).await.status, 410);
    assert_eq!(posts(&upstream), 0);
}

#[tokio::test]
async fn whoever_reads_redis_learns_nothing_of_it_and_whoever_writes_there_changes_nothing() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let client = proxy.client();
    let monitor = redis.monitor();
    let mut jar = interrupted(&proxy).await;
    let keys = redis.cli(&["--scan", "--pattern", "session-parcel:*"]);
    let key = keys.trim();
    let seen = monitor.commands().join("\n");
    assert!(seen.contains(key), "{seen}");
    let id = jar.value(COOKIE).unwrap().split('.').next().unwrap().to_owned();
    for secret in ["work", "orders", &id, &id[..21], &id[22..]] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
    client.log_in(&mut jar, ALICE, "").await;
    let token = offered(&client, &jar).await.unwrap();
    redis.cli(&["SETRANGE", key, "40", "x"]);
    assert_eq!(offered(&client, &jar).await, None);
    assert_eq!(press(&client, &jar, TARGET, &token).await.status, 410);
    assert_eq!(posts(&upstream), 0);
}

#[tokio::test]
async fn a_redis_that_keeps_no_forms_is_no_redis_that_is_away() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    client.log_in(&mut jar, ALICE, "").await;
    let token = offered(&client, &jar).await.unwrap();
    redis.cli(&["ACL", "SETUSER", "default", "-getdel"]);
    for _ in 0..3 {
        assert_eq!(press(&client, &jar, TARGET, &token).await.status, 503);
        assert_eq!(client.get("/", &jar).await.status, 200);
    }
    assert_eq!(proxy.events("store_unavailable").len(), 0);
    assert_eq!(proxy.count("foregate_store_errors_total{kind=\"denied\"}"), 3);
    redis.cli(&["ACL", "SETUSER", "default", "+getdel"]);
    assert_eq!(press(&client, &jar, TARGET, &token).await.status, 200);
}

#[tokio::test]
async fn of_all_who_press_at_once_one_sends_it() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    client.log_in(&mut jar, ALICE, "").await;
    let token = offered(&client, &jar).await.unwrap();
    let mut pressed = JoinSet::new();
    for _ in 0..10 {
        let (client, jar, token) = (client.clone(), jar.clone(), token.clone());
        pressed.spawn(async move { press(&client, &jar, TARGET, &token).await.status });
    }
    let statuses = pressed.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 410).count(), 9, "{statuses:?}");
    assert_eq!(posts(&upstream), 1);
}

#[tokio::test]
async fn while_the_store_is_away_nothing_is_sent_and_nothing_lost() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let keys = format!("url = \"{}\"\ncommand_timeout = \"200ms\"", redis.url());
    let proxy = proxy(&upstream).store(&keys).start();
    let client = proxy.client();
    let mut jar = interrupted(&proxy).await;
    client.log_in(&mut jar, ALICE, "").await;
    let token = offered(&client, &jar).await.unwrap();
    redis.pause();
    assert_eq!(client.visit("/_foregate/unsent", &jar).await.status, 503);
    assert_eq!(posts(&upstream), 0);
    redis.resume();
    eventually("the store is back", async || client.visit("/_foregate/unsent", &jar).await.status == 200)
        .await;
    assert_eq!(press(&client, &jar, TARGET, &token).await.status, 200);
}
