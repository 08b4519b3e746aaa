//! Forms whose user sent them after all, and which the application did not take: they wait again, and are lost by nothing
//! but an application that may have them.

use tokio::io::AsyncWriteExt;

use super::*;
use crate::support::upstream::{Received, answer};

/// A form that its user is about to send.
async fn about_to_be_sent(proxy: &Proxy) -> (Client, Jar, String) {
    let (client, mut jar) = (proxy.client(), interrupted(proxy).await);
    client.log_in(&mut jar, ALICE, "").await;
    let token = offered(&client, &jar).await.unwrap();
    (client, jar, token)
}

fn is_the_form(request: &Received) -> bool {
    request.body == BODY.as_bytes() && request.header("content-type").as_deref() == Some(MULTIPART)
}

#[tokio::test]
async fn while_the_application_is_away_it_waits_again_and_its_page_says_so() {
    let away = upstream().await;
    let address = away.address().to_string();
    let proxy = proxy(&away).start();
    let (client, jar, token) = about_to_be_sent(&proxy).await;
    drop(away);
    for _ in 0..3 {
        let pressed = press(&client, &jar, TARGET, &token).await;
        assert_eq!(
            (pressed.status, pressed.header("location")),
            (303, Some("/_foregate/unsent?failed=1")),
            "{pressed:#?}"
        );
        assert!(!was_kept(&pressed), "its cookie stays: {pressed:#?}");
    }
    proxy.clock.advance(Duration::from_secs(5 * 60));
    let page = client.visit("/_foregate/unsent?failed=1", &jar).await;
    assert!(page.body.contains("could not be reached") && page.body.contains("10 more minutes"), "{page:#?}");

    let back = upstream().await;
    let setup = proxy.configuration().replace(&address, &back.address().to_string());
    proxy.reload(&setup).await.unwrap();
    assert_eq!(press(&client, &jar, TARGET, &page.field("foregate-unsent")).await.status, 200);
    assert!(is_the_form(&back.only()));
    assert_eq!(press(&client, &jar, TARGET, &token).await.status, 410);
}

#[tokio::test]
async fn an_application_that_asks_for_credentials_gets_it_with_them() {
    let upstream = Upstream::answering(|request| match request.header("authorization") {
        None => answer("401 Unauthorized", &[("WWW-Authenticate", "Basic realm=app")], ""),
        Some(_) => answer("200 OK", &[], ""),
    })
    .await;
    let proxy = proxy(&upstream).start();
    let (client, jar, token) = about_to_be_sent(&proxy).await;
    let asked = press(&client, &jar, TARGET, &token).await;
    assert!(asked.status == 401 && asked.header("www-authenticate").is_some(), "{asked:#?}");
    let head = format!(
        "POST {TARGET}\nCookie: {}\nAuthorization: Basic YTpi\nContent-Encoding: identity\n\
         Content-Type: application/x-www-form-urlencoded; charset=UTF-8\n{OWN_PAGE}",
        jar.header()
    );
    assert_eq!(client.send(&head, &format!("foregate-unsent={token}")).await.status, 200);
    assert!(is_the_form(&upstream.last()) && upstream.last().header("content-encoding").is_none());
    assert_eq!(press(&client, &jar, TARGET, &token).await.status, 410);
}

#[tokio::test]
async fn an_application_that_wants_it_elsewhere_gets_it_there_and_only_there() {
    let upstream = Upstream::answering(|request| match request.target() {
        "/orders/new/" => answer("200 OK", &[], ""),
        _ => answer("308 Permanent Redirect", &[("Location", "/orders/new/#end")], ""),
    })
    .await;
    let proxy = proxy(&upstream).start();
    let (client, jar, token) = about_to_be_sent(&proxy).await;
    let sent_on = press(&client, &jar, TARGET, &token).await;
    assert_eq!((sent_on.status, sent_on.header("location")), (308, Some("/orders/new/#end")));
    assert_eq!(press(&client, &jar, TARGET, &token).await.status, 410, "nobody wants it there");
    assert_eq!(press(&client, &jar, "/orders/new/", &token).await.status, 200);
    assert!(is_the_form(&upstream.last()));
    assert_eq!(press(&client, &jar, "/orders/new/", &token).await.status, 410);
    assert_eq!(posts(&upstream), 2);
}

#[tokio::test]
async fn what_an_application_may_have_is_not_sent_to_it_again() {
    for status in ["303 See Other", "403 Forbidden", "500 Internal Server Error", ""] {
        let upstream = Upstream::answering(move |_| answer(status, &[("Location", "/")], "")).await;
        let proxy = proxy(&upstream).start();
        let (client, jar, token) = about_to_be_sent(&proxy).await;
        let pressed = press(&client, &jar, TARGET, &token).await.status.to_string();
        assert!(if status.is_empty() { pressed == "502" } else { status.starts_with(&pressed) }, "{pressed}");
        assert_eq!(press(&client, &jar, TARGET, &token).await.status, 410, "{status}");
        assert_eq!(posts(&upstream), 1);
    }
}

#[tokio::test]
async fn an_application_that_may_have_it_leaves_the_browser_no_key_to_it() {
    for status in ["200 OK", ""] {
        let upstream = Upstream::answering(move |_| answer(status, &[], "")).await;
        let proxy = proxy(&upstream).start();
        let (client, jar, token) = about_to_be_sent(&proxy).await;
        let pressed = press(&client, &jar, TARGET, &token).await;
        let cleared = pressed
            .all("set-cookie")
            .iter()
            .any(|line| line.starts_with(COOKIE) && line.contains("Max-Age=0"));
        assert!(cleared, "{pressed:#?}");
    }
}

#[tokio::test]
async fn one_that_wants_it_where_only_its_user_may_not_send_it_has_it() {
    for location in ["https://evil.test/orders", "/public/orders", "/_foregate/session", "", "//[bad"] {
        let upstream =
            Upstream::answering(move |_| answer("307 Temporary Redirect", &[("Location", location)], ""))
                .await;
        let proxy = proxy(&upstream).route("/", "").route("/public", "access = \"public\"\n").start();
        let (client, jar, token) = about_to_be_sent(&proxy).await;
        assert_eq!(press(&client, &jar, TARGET, &token).await.status, 307, "{location}");
        let again = press(&client, &jar, TARGET, &token).await;
        // An empty reference is the page itself.
        let expected = if location.is_empty() { 307 } else { 410 };
        assert_eq!(again.status, expected, "{location}: {again:#?}");
    }
}

#[tokio::test]
async fn whoever_goes_away_while_it_waits_for_the_application_has_it_still() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let upstream =
        Upstream::answering_when(|_| answer("200 OK", &[], ""), std::sync::Arc::clone(&gate)).await;
    let proxy = proxy(&upstream).section("connections = 1").start();
    let (client, jar, token) = about_to_be_sent(&proxy).await;
    let (waiting, cookie) = (proxy.client(), jar.header());
    let asked = tokio::spawn(async move { waiting.send(&format!("GET /slow\nCookie: {cookie}"), "").await });
    eventually("the one connection is taken", async || upstream.received().len() == 1).await;

    let body = format!("foregate-unsent={token}");
    let head = format!(
        "POST {TARGET} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-Site: same-origin\r\nOrigin: https://{HOST}\r\n\r\n{body}",
        jar.header(),
        body.len()
    );
    let mut stream = client.connect(b"http/1.1").await;
    stream.write_all(head.as_bytes()).await.unwrap();
    eventually("it is on its way", async || !waits(&client, &jar).await).await;
    drop(stream);
    eventually("it waits again", async || waits(&client, &jar).await).await;
    gate.add_permits(10);
    assert_eq!(asked.await.unwrap().status, 200);
    assert_eq!(press(&client, &jar, TARGET, &token).await.status, 200);
    assert_eq!(posts(&upstream), 1);
}

/// Whether it is offered; a cookie that is cleared then is kept.
async fn waits(client: &Client, jar: &Jar) -> bool {
    client.visit("/_foregate/unsent", jar).await.status == 200
}

#[tokio::test]
async fn it_has_no_longer_life_for_having_been_sent_in_vain() {
    let away = upstream().await;
    let proxy = proxy(&away).start();
    let (client, jar, token) = about_to_be_sent(&proxy).await;
    drop(away);
    proxy.clock.advance(Duration::from_secs(14 * 60));
    assert_eq!(press(&client, &jar, TARGET, &token).await.status, 303);
    proxy.clock.advance(Duration::from_secs(61));
    assert_eq!(press(&client, &jar, TARGET, &token).await.status, 410);
}
