//! A WebSocket in a page: Chromium opens it on the connection that it has, where that is HTTP/2.

use std::time::Duration;

use super::{sign_in, site};
use crate::support::browser::{Browser, Scripts};
use crate::support::proxy::{ALICE, Proxy, proxy};
use crate::support::settle::eventually;
use crate::support::upstream::{Line, Received, Upstream, answer};
use crate::support::websocket::granting_to;

const PAGE: &str = "<!doctype html><title>Chat</title><p id=said></p><p id=ended></p><script>\
    addEventListener('load', () => {\
      const socket = new WebSocket(`wss://${location.host}/chat`);\
      socket.onmessage = event => { said.textContent = event.data };\
      socket.onclose = event => { ended.textContent = `closed by ${event.code}` };\
    })</script>";

async fn application(request: Received, mut line: Line) {
    if request.target() != "/chat" {
        let headers = [("Content-Type", "text/html"), ("Connection", "close")];
        line.send(answer("200 OK", &headers, PAGE)).await;
        return;
    }
    line.send(granting_to(&request).replace("Sec-WebSocket-Protocol: chat\r\n", "")).await;
    line.send(b"\x81\x05hello").await;
    line.ended().await;
}

fn connections(proxy: &Proxy) -> u64 {
    proxy.count(&format!("foregate_connections{{listener=\"{}\"}}", proxy.https))
}

#[tokio::test]
async fn a_socket_takes_the_pages_connection_and_ends_with_the_session() {
    let upstream = Upstream::talking(application).await;
    let proxy = proxy(&upstream).start();
    let browser = Browser::start(Scripts::On, &proxy.certificate).await;
    let page = format!("{}/", site(&proxy));
    browser.open(&page).await;
    sign_in(&browser, ALICE).await;
    browser.arrives_at(&page).await;
    eventually("the socket opens", async || browser.text_of("#said").await == "hello").await;
    let chat = upstream.received().into_iter().find(|request| request.target() == "/chat").unwrap();
    assert_eq!(chat.header("x-forwarded-user").as_deref(), Some("alice"));
    assert_eq!(chat.header("origin"), Some(site(&proxy)));

    assert_eq!(connections(&proxy), 1, "one for all, the socket among them");

    proxy.clock.advance(Duration::from_secs(8 * 86_400));
    eventually("and is told why it closes", async || browser.text_of("#ended").await == "closed by 4401")
        .await;
}
