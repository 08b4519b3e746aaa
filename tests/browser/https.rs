//! Once a browser was here over https it does not come over http again, and what it keeps goes over https alone.

use super::{application, is_session, sign_in, site};
use crate::support::authority::Authority;
use crate::support::browser::Browser;
use crate::support::proxy::{ALICE, HOST, Proxy, proxy};
use crate::support::upstream::{Upstream, upstream};

/// A browser for which the proxy is where addresses without a port lead: HSTS (RFC 6797 §8.3) changes that of http for
/// that of https, and no other.
async fn browser(proxy: &Proxy, authority: &Authority) -> Browser {
    let [http, https] = [proxy.http, proxy.https].map(|address| address.port());
    let hosts = format!("MAP {HOST}:80 127.0.0.1:{http}, MAP {HOST}:443 127.0.0.1:{https}");
    Browser::trusting(&authority.bundle(), &hosts).await
}

/// How many requests came over http: none of them goes any further than to the listener of https.
fn over_http(proxy: &Proxy) -> usize {
    proxy.access_log().lines().filter(|line| line.contains("\"status\":308")).count()
}

fn production(upstream: &Upstream, authority: &Authority, hsts: &str) -> Proxy {
    proxy(upstream).production(authority).route("/", "access = \"public\"").section(hsts).start()
}

#[tokio::test]
async fn who_was_here_over_https_does_not_come_over_http_again() {
    let (upstream, authority) = (application().await, Authority::new());
    let proxy = production(&upstream, &authority, "");
    let browser = browser(&proxy, &authority).await;

    browser.open(&format!("http://{HOST}/first")).await;
    assert_eq!(browser.address().await, format!("{}/first", site(&proxy)));
    assert_eq!(over_http(&proxy), 1, "the first visit, which HSTS comes too late for");
    browser.open(&format!("http://{HOST}/second")).await;
    assert_eq!(browser.address().await, format!("https://{HOST}/second"));
    assert_eq!(browser.text_of("h1").await, "Hello, stranger");
    assert_eq!(over_http(&proxy), 1);
    proxy.stopped().await;
}

#[tokio::test]
async fn without_hsts_every_visit_may_begin_over_http() {
    let (upstream, authority) = (application().await, Authority::new());
    let proxy = production(&upstream, &authority, "[hsts]\nenabled = false");
    let browser = browser(&proxy, &authority).await;
    for (path, visits) in [("first", 1), ("second", 2)] {
        browser.open(&format!("http://{HOST}/{path}")).await;
        assert_eq!(browser.text_of("h1").await, "Hello, stranger");
        assert_eq!(over_http(&proxy), visits);
    }
    proxy.stopped().await;
}

#[tokio::test]
async fn the_session_is_not_sent_over_http_where_another_cookie_is() {
    let (application, eavesdropper, authority) = (application().await, upstream().await, Authority::new());
    let proxy = production(&application, &authority, "[hsts]\nenabled = false");
    let browser = browser(&proxy, &authority).await;
    browser.open(&format!("{}/_foregate/login", site(&proxy))).await;
    sign_in(&browser, ALICE).await;
    browser.arrives_at(&format!("{}/", site(&proxy))).await;
    assert!(browser.cookies().await.iter().any(is_session));

    browser.open(&format!("http://{HOST}:{}/", eavesdropper.address().port())).await;
    let heard = eavesdropper.received();
    assert_eq!(heard[0].header("cookie").as_deref(), Some("theme=dark"));
    proxy.stopped().await;
}
