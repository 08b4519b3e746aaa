//! What people had in hand when they had to sign in: the place they were going to, and the form they had filled in.

use std::time::Duration;

use super::{sign_in, site};
use crate::support::browser::{Browser, Scripts};
use crate::support::proxy::{ALICE, BOB, Proxy, proxy};
use crate::support::upstream::{Received, Upstream, answer};

const FORM: &str = "<!doctype html><title>Order</title><h1>Order</h1>\
    <form method=post action=/orders/new?draft=7 enctype=multipart/form-data><textarea name=note></textarea>\
    <input type=file name=scan><input type=hidden name=charset value='\u{fc}'><button>Order</button></form>";

/// What is typed.
const NOTE: &str = "an hour's work, \u{fc}ber & <b>";

/// What is uploaded: no text.
const SCAN: &[u8] = b"\x00\x01\n\r\n\xff";

/// An application with a form; it says what came of one.
async fn shop() -> Upstream {
    Upstream::answering(|request| {
        let page = if request.line.starts_with("POST") {
            format!("<!doctype html><title>Order</title><h1>Ordered in {} bytes</h1>", request.body.len())
        } else {
            FORM.to_owned()
        };
        answer("200 OK", &[("Content-Type", "text/html; charset=utf-8")], &page)
    })
    .await
}

fn ordered(upstream: &Upstream) -> Vec<Received> {
    upstream.received().into_iter().filter(|request| request.line.starts_with("POST")).collect()
}

/// Fills the form in and sends it when the session is over: the login comes in between.
async fn orders_too_late(browser: &Browser, proxy: &Proxy) {
    let (site, scan) = (site(proxy), proxy.folder().join("scan.bin"));
    std::fs::write(&scan, SCAN).unwrap();
    browser.open(&format!("{site}/orders")).await;
    sign_in(browser, ALICE).await;
    browser.arrives_at(&format!("{site}/orders")).await;
    browser.fill("note", NOTE).await;
    browser.fill("scan", scan.to_str().unwrap()).await;
    proxy.clock.advance(Duration::from_secs(2 * 86_400));
    browser.press("Order").await;
    browser.arrives_at(&format!("{site}/_foregate/login")).await;
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

async fn survives(scripts: Scripts) {
    let upstream = shop().await;
    let proxy = proxy(&upstream).start();
    let browser = Browser::start(scripts, &proxy.certificate).await;
    orders_too_late(&browser, &proxy).await;
    sign_in(&browser, ALICE).await;
    browser.says("h1", "Send it after all?").await;
    assert!(browser.page().await.contains("/orders/new?draft=7"));
    assert!(ordered(&upstream).is_empty(), "nothing is sent by itself");

    browser.press("Send it now").await;
    browser.arrives_at(&format!("{}/orders/new?draft=7", site(&proxy))).await;
    let [sent] = &ordered(&upstream)[..] else { panic!("{:#?}", ordered(&upstream)) };
    browser.says("h1", &format!("Ordered in {} bytes", sent.body.len())).await;
    assert!(contains(&sent.body, NOTE.as_bytes()) && contains(&sent.body, SCAN), "{sent:#?}");
    assert_eq!(sent.header("content-length"), Some(sent.body.len().to_string()));
    let boundary = sent.header("content-type").unwrap().split_once("boundary=").unwrap().1.to_owned();
    assert!(sent.body.starts_with(format!("--{boundary}\r\n").as_bytes()), "{sent:#?}");
    assert_eq!(sent.header("origin"), Some(site(&proxy)));
    assert_eq!(sent.header("referer"), Some(format!("{}/orders", site(&proxy))));

    // The page that offered it is asked for anew, and has nothing to offer any more.
    browser.go_back().await;
    browser.arrives_at(&format!("{}/", site(&proxy))).await;
    assert_eq!(ordered(&upstream).len(), 1);
    proxy.stopped().await;
}

#[tokio::test]
async fn a_form_that_was_filled_in_survives_the_end_of_the_session_with_scripts() {
    survives(Scripts::On).await;
}

#[tokio::test]
async fn a_form_that_was_filled_in_survives_the_end_of_the_session_without_scripts() {
    survives(Scripts::Off).await;
}

#[tokio::test]
async fn nobody_else_at_the_browser_is_offered_it() {
    let upstream = shop().await;
    let proxy = proxy(&upstream).start();
    let browser = Browser::start(Scripts::On, &proxy.certificate).await;
    orders_too_late(&browser, &proxy).await;
    sign_in(&browser, BOB).await;
    browser.arrives_at(&format!("{}/", site(&proxy))).await;
    assert!(ordered(&upstream).is_empty());
    proxy.stopped().await;
}

#[tokio::test]
async fn whoever_throws_it_away_goes_on() {
    let upstream = shop().await;
    let proxy = proxy(&upstream).start();
    let browser = Browser::start(Scripts::Off, &proxy.certificate).await;
    orders_too_late(&browser, &proxy).await;
    sign_in(&browser, ALICE).await;
    browser.says("h1", "Send it after all?").await;
    browser.press("Throw it away").await;
    browser.arrives_at(&format!("{}/", site(&proxy))).await;
    assert!(ordered(&upstream).is_empty());
    proxy.stopped().await;
}

#[tokio::test]
async fn redirects_in_a_circle_end_in_a_page_that_says_so() {
    let upstream =
        Upstream::answering(|_| answer("302 Found", &[("Location", "/_foregate/login?return_to=/desk")], ""))
            .await;
    let proxy = proxy(&upstream).start();
    let (site, browser) = (site(&proxy), Browser::start(Scripts::On, &proxy.certificate).await);
    browser.open(&format!("{site}/desk")).await;
    sign_in(&browser, ALICE).await;
    browser.says("h1", "It goes round in a circle").await;
    browser.press("Sign in as somebody else").await;
    browser.arrives_at(&format!("{site}/_foregate/login?again=1")).await;
    proxy.stopped().await;
}

#[tokio::test]
async fn the_path_the_query_and_the_fragment_survive_the_login() {
    for scripts in [Scripts::On, Scripts::Off] {
        let upstream = shop().await;
        let proxy = proxy(&upstream).start();
        let (site, browser) = (site(&proxy), Browser::start(scripts, &proxy.certificate).await);
        let wanted = "/orders?page=2#row-7";
        browser.open(&format!("http://app.test:{}{wanted}", proxy.http.port())).await;
        sign_in(&browser, (ALICE.0, "a guess")).await;
        assert!(browser.text_of("[role=alert]").await.contains("not right"));
        sign_in(&browser, ("", ALICE.1)).await;
        browser.arrives_at(&format!("{site}{wanted}")).await;
        proxy.stopped().await;
    }
}
