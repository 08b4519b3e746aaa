//! The cookies of applications, as the browser itself keeps them.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{sign_in, site};
use crate::sessions_api;
use crate::support::browser::{Browser, Scripts};
use crate::support::command::Running;
use crate::support::proxy::{ALICE, HOST, Proxy, proxy};
use crate::support::upstream::{Upstream, answer, upstream};

/// A shop in Flask, and the port that it sells on.
fn shop() -> (Running, u16) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flask");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let installed = Command::new(tests.join("flask-install")).arg(&folder).output().unwrap();
    assert!(installed.status.success(), "Flask cannot be installed: {installed:?}");
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", folder.join("python")).arg(tests.join("shop.py"));
    python.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(python);
    let said = running.said("sells on port ");
    (running, said.trim().rsplit(' ').next().unwrap().parse().unwrap())
}

/// Goes shopping as alice; what the browser then keeps of the shop.
async fn shopping(mode: &str, used: impl AsyncFnOnce(&Proxy, Vec<Value>)) {
    let (plain, (_shop, port)) = (upstream().await, shop());
    let section = format!(
        "[upstream.shop]\nservers = [\"http://127.0.0.1:{port}\"]\n[[route]]\nupstream = \"shop\"\n\
         [cookies]\nmode = \"{mode}\"\n\
         [[cookies.rule]]\nname = \"shop\"\nhost_prefix = true\nsame_site = \"strict\"\n\
         [[cookies.rule]]\nname = \"theme\"\nmax_age = \"30d\""
    );
    let proxy = proxy(&plain).route("/unused", "").section(&section).start();
    let (site, browser) = (site(&proxy), Browser::start(Scripts::On, &proxy.certificate).await);
    browser.open(&format!("{site}/")).await;
    sign_in(&browser, ALICE).await;
    browser.arrives_at(&format!("{site}/")).await;
    for count in 0..2 {
        browser.says("h1", &format!("alice's basket: {count}")).await;
        browser.press("Add").await;
    }
    browser.says("h1", "alice's basket: 2").await;
    assert!(browser.page().await.contains("alice's basket: 2\nTheme dark."), "{mode}");
    used(&proxy, browser.all_cookies().await).await;

    browser.press("Empty").await;
    // What is set is unset, too.
    browser.says("h1", "alice's basket: 0").await;
    proxy.stopped().await;
}

/// What of a cookie the policy has to do with.
fn seen(cookies: &[Value]) -> Value {
    let is_ours = |name: &str| name.starts_with("__Host-session") || name.starts_with("__Host-foregate-");
    let foreign = cookies.iter().filter(|cookie| !is_ours(cookie["name"].as_str().unwrap()));
    let told = foreign.map(|cookie| {
        let about = json!([cookie["domain"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]]);
        (cookie["name"].as_str().unwrap().to_owned(), about)
    });
    Value::Object(told.collect())
}

#[tokio::test]
async fn what_is_reported_is_unchanged_in_the_browser_and_every_finding_is_listed() {
    shopping("report", async |proxy, cookies| {
        // A browser keeps no cross-site cookie without Secure, and none whose prefix does not hold.
        let as_set = json!({
            "csrftoken": [HOST, false, false, null],
            "shop": [format!(".{HOST}"), false, false, null],
            "theme": [HOST, false, false, null],
        });
        assert_eq!(seen(&cookies), as_set);
        let listed = sessions_api::ask(proxy, "GET", "/api/v1/findings?policy=cookies").await;
        let listed = sessions_api::json(&listed);
        let told: Vec<String> = listed
            .as_array()
            .unwrap()
            .iter()
            .inspect(|finding| assert_eq!(finding["outcome"], "reported", "{finding}"))
            .map(|finding| format!("{} {}", finding["subject"], finding["change"]).replace('"', ""))
            .collect();
        assert_eq!(
            told,
            [
                "__Host-broken dropped: does not hold what its prefix promises",
                "csrftoken SameSite=Lax added",
                "csrftoken Secure added",
                "shop Domain removed",
                "shop HttpOnly added",
                "shop SameSite=Strict added",
                "shop Secure added",
                "shop goes out as __Host-NAME, with Path=/",
                "theme HttpOnly added",
                "theme SameSite=Lax added",
                "theme Secure added",
                "theme age cut to max_age",
                "widget HttpOnly added",
                "widget Secure added",
                "widget made SameSite=Lax",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_enforced_is_what_the_browser_keeps_and_the_application_works() {
    shopping("enforce", async |proxy, cookies| {
        let hardened = json!({
            "__Host-shop": [HOST, true, true, "Strict"],
            "csrftoken": [HOST, true, false, "Lax"],
            "theme": [HOST, true, true, "Lax"],
            "widget": [HOST, true, true, "Lax"],
        });
        assert_eq!(seen(&cookies), hardened);
        let theme = cookies.iter().find(|cookie| cookie["name"] == "theme").unwrap();
        let ends = theme["expires"].as_f64().unwrap();
        let now = proxy.clock.clock().now().seconds();
        let days = (ends - f64::from(u32::try_from(now).unwrap())) / 86_400.0;
        assert!((29.9..30.1).contains(&days), "{days}");
    })
    .await;
}

/// The hostile list, in one answer.
#[tokio::test]
async fn of_hostile_cookies_the_browser_keeps_none_that_is_weak() {
    let lines = include_str!("../fixtures/set_cookies.txt").lines();
    let set = lines.filter(|line| !line.starts_with('#') && !line.contains(['\\', '{']));
    let set: Vec<&str> = set.filter_map(|line| line.split_once(" => ")).map(|(set, _)| set).collect();
    // The proxy's own stand among them: whoever is signed in stays so.
    assert!(set.iter().any(|line| line.starts_with("__Host-session=")));
    let application = Upstream::answering(move |_| {
        let mut lines = vec![("Content-Type", "text/html")];
        lines.extend(set.iter().map(|line| ("Set-Cookie", *line)));
        answer("200 OK", &lines, "<h1>Hostile</h1>")
    })
    .await;
    let proxy = proxy(&application).start();
    let (site, browser) = (site(&proxy), Browser::start(Scripts::On, &proxy.certificate).await);
    browser.open(&format!("{site}/")).await;
    sign_in(&browser, ALICE).await;
    browser.arrives_at(&format!("{site}/")).await;
    let cookies = browser.all_cookies().await;
    assert!(cookies.len() > 10, "{cookies:#?}");
    for cookie in &cookies {
        assert_eq!((&cookie["secure"], &cookie["domain"]), (&true.into(), &HOST.into()), "{cookie}");
        assert!(matches!(cookie["sameSite"].as_str(), Some("Lax" | "Strict")), "{cookie}");
        let is_readable = ["csrftoken", "XSRF-TOKEN", "_csrf_app"].iter().any(|name| cookie["name"] == *name);
        assert_eq!(cookie["httpOnly"], !is_readable, "{cookie}");
    }
    browser.open(&format!("{site}/again")).await;
    assert_eq!(browser.text_of("h1").await, "Hostile", "still signed in");
}
