//! Whatever is put where a login looks for the way back, nobody leaves the host by it: neither as we read addresses nor as
//! Chromium does.

use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::site;
use crate::inbound::unescaped;
use crate::support::browser::{Browser, Scripts};
use crate::support::proxy::{ALICE, proxy};
use crate::support::upstream::upstream;

const PAYLOADS: &str = include_str!("../fixtures/open_redirects.txt");

/// Which of a list of addresses lead off the site, seen from the login page.
const JUDGEMENT: &str = "return ADDRESSES.filter(address => {
    try { return new URL(address, 'SITE/_foregate/login').origin !== 'SITE' } catch { return false } })";

async fn leaving(browser: &Browser, site: &str, addresses: &[String]) -> Vec<Value> {
    let script = JUDGEMENT.replace("ADDRESSES", &json!(addresses).to_string()).replace("SITE", site);
    browser.evaluate(&script).await.as_array().unwrap().clone()
}

#[tokio::test]
async fn no_address_to_return_to_leads_off_the_host() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (client, alice, site) = (proxy.client(), proxy.logged_in(ALICE).await, site(&proxy));
    let page = Url::parse(&format!("{site}/_foregate/login")).unwrap();
    let (mut payloads, mut locations) = (Vec::new(), Vec::new());
    for line in PAYLOADS.lines().filter(|line| !line.starts_with("# ")) {
        let payload = unescaped(line);
        let encoded: String = form_urlencoded::byte_serialize(&payload).collect();
        let answer = client.visit(&format!("/_foregate/login?return_to={encoded}"), &alice).await;
        assert_eq!(answer.status, 303, "{line}: {answer:#?}");
        let [location] = answer.all("location")[..] else { panic!("{line}: {answer:#?}") };
        let led_to = page.join(location).unwrap();
        assert_eq!(led_to.origin(), page.origin(), "{line} leads to {location}");
        assert!(!led_to.path().to_ascii_lowercase().starts_with("/_foregate"), "{line} leads to {location}");
        payloads.push(String::from_utf8_lossy(&payload).into_owned());
        locations.push(location.to_owned());
    }
    assert!(payloads.len() >= 300, "{}", payloads.len());

    let browser = Browser::start(Scripts::On, &proxy.certificate).await;
    browser.open(page.as_str()).await;
    assert_eq!(leaving(&browser, &site, &locations).await, Vec::<Value>::new());
    let raw = leaving(&browser, &site, &payloads).await.len();
    assert!(raw > 150, "the judge sees where they lead as they are: {raw} of {}", payloads.len());
}
