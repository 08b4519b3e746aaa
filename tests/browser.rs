//! What people meet in a real browser: Chromium, with scripts and without.

mod cookies;
mod cross_site;
mod https;
mod pages;
mod redirects;
mod sockets;
mod walkthroughs;
mod way_back;

use serde_json::{Value, json};

use crate::support::browser::{Browser, Scripts};
use crate::support::proxy::{ALICE, HOST, Proxy, proxy};
use crate::support::upstream::{Upstream, answer};

/// An application that says whom it is told of, and whose script says which cookies it sees: its own and no other.
async fn application() -> Upstream {
    Upstream::answering(|request| {
        let user = request.header("x-forwarded-user").unwrap_or_else(|| "stranger".to_owned());
        let page = format!(
            "<!doctype html><title>Application</title><h1>Hello, {user}</h1><p>No script ran.</p>\
             <script>document.cookie = 'theme=dark'; \
             document.querySelector('p').textContent = `Scripts see ${{document.cookie}}.`</script>\
             <a href=/_foregate/logout>Leave</a>"
        );
        answer("200 OK", &[("Content-Type", "text/html")], &page)
    })
    .await
}

/// A page on another site, with a form that posts to `target`.
async fn elsewhere(target: String) -> Upstream {
    let page = format!("<form method=post action={target}><button>Win a prize</button></form>");
    Upstream::answering(move |_| answer("200 OK", &[("Content-Type", "text/html")], &page)).await
}

fn site(proxy: &Proxy) -> String {
    format!("https://{HOST}:{}", proxy.https.port())
}

async fn sign_in(browser: &Browser, (user, password): (&str, &str)) {
    browser.fill("username", user).await;
    browser.fill("password", password).await;
    browser.press("Sign in").await;
}

async fn come_and_go(scripts: Scripts) {
    let upstream = application().await;
    let proxy = proxy(&upstream).start();
    let (site, browser) = (site(&proxy), Browser::start(scripts, &proxy.certificate).await);
    let wanted = format!("{site}/papers?page=2");

    browser.open(&format!("http://{HOST}:{}/papers?page=2", proxy.http.port())).await;
    assert_eq!(browser.address().await, format!("{site}/_foregate/login?return_to=%2Fpapers%3Fpage%3D2"));
    sign_in(&browser, (ALICE.0, "a guess")).await;
    assert!(browser.text_of("[role=alert]").await.contains("not right"));
    let described = browser.attribute("[name=password][aria-invalid=true]", "aria-describedby").await;
    assert!(browser.text_of(&format!("#{described}")).await.contains("not right"), "the field says why");
    assert_eq!(browser.property("[name=username]", "value").await, ALICE.0);
    assert_eq!(browser.property("[name=password]", "value").await, "");
    assert!(upstream.received().is_empty());

    browser.fill("password", ALICE.1).await;
    browser.press("Sign in").await;
    browser.arrives_at(&wanted).await;
    let shown = browser.page().await;
    let script = match scripts {
        Scripts::On => "Scripts see theme=dark.",
        Scripts::Off => "No script ran.",
    };
    assert!(shown.contains("Hello, alice") && shown.contains(script), "{shown}");
    has_a_hardened_cookie(&browser).await;

    browser.press("Leave").await;
    browser.press("Sign out").await;
    browser.arrives_at(&format!("{site}/_foregate/login?signed_out=1")).await;
    let left: Vec<Value> = browser.cookies().await.into_iter().filter(is_session).collect();
    assert!(left.is_empty(), "{left:?}");
    shows_nothing_on_the_way_back(&browser, &site).await;
    assert_eq!(upstream.received().iter().filter(|request| request.target() == "/papers?page=2").count(), 1);
    proxy.stopped().await;
}

fn is_session(cookie: &Value) -> bool {
    cookie["name"] == "__Host-session"
}

/// A host-only cookie's domain has no dot before it; one that ends with the browser has no expiry.
async fn has_a_hardened_cookie(browser: &Browser) {
    let mut cookie = browser.cookies().await.into_iter().find(is_session).expect("a session cookie");
    cookie["value"].take();
    let hardened = json!({
        "name": "__Host-session", "value": null, "domain": HOST, "path": "/",
        "httpOnly": true, "secure": true, "sameSite": "Lax",
    });
    assert_eq!(cookie, hardened);
}

async fn shows_nothing_on_the_way_back(browser: &Browser, site: &str) {
    browser.go_back().await;
    browser.arrives_at(&format!("{site}/_foregate/logout")).await;
    let shown = browser.page().await;
    assert!(!shown.contains("alice"), "{shown}");
    browser.go_back().await;
    browser.arrives_at(&format!("{site}/_foregate/login?return_to=%2Fpapers%3Fpage%3D2")).await;
    let shown = browser.page().await;
    assert!(!shown.contains("alice"), "{shown}");
}

#[tokio::test]
async fn people_with_scripts_log_in_and_out_and_leave_nothing_behind() {
    come_and_go(Scripts::On).await;
}

#[tokio::test]
async fn people_without_scripts_log_in_and_out_and_leave_nothing_behind() {
    come_and_go(Scripts::Off).await;
}

#[tokio::test]
async fn a_form_on_another_site_posts_without_the_session() {
    let upstream = application().await;
    // The browser's own doing, without ours.
    let setup = proxy(&upstream).section("[csrf]\nmode = \"off\"");
    let proxy = setup.route("/", "").route("/guestbook", "access = \"public\"\n").start();
    let (site, browser) = (site(&proxy), Browser::start(Scripts::On, &proxy.certificate).await);
    browser.open(&format!("{site}/")).await;
    sign_in(&browser, ALICE).await;
    browser.arrives_at(&format!("{site}/")).await;

    // The first is sent to the login, by a GET, with which the session comes along again.
    for (path, end) in [("/transfer", "/"), ("/guestbook", "/guestbook")] {
        let elsewhere = elsewhere(format!("{site}{path}")).await;
        browser.open(&format!("http://elsewhere.test:{}/", elsewhere.address().port())).await;
        browser.press("Win a prize").await;
        browser.arrives_at(&format!("{site}{end}")).await;
    }
    let posts: Vec<_> = upstream.received().into_iter().filter(|it| it.line.starts_with("POST")).collect();
    let [post] = posts.as_slice() else { panic!("what is not public is not reached: {posts:#?}") };
    assert_eq!((post.target(), post.header("x-forwarded-user")), ("/guestbook", None));
    let cookies = post.header("cookie").unwrap_or_default();
    assert!(!cookies.contains("session"), "{cookies}");

    browser.open(&format!("{site}/")).await;
    assert!(browser.page().await.contains("Hello, alice"), "the session itself lives on");
    proxy.stopped().await;
}

#[tokio::test]
async fn a_login_form_in_two_tabs_works_in_both() {
    let upstream = application().await;
    let proxy = proxy(&upstream).start();
    let (site, browser) = (site(&proxy), Browser::start(Scripts::Off, &proxy.certificate).await);
    browser.open(&format!("{site}/first")).await;
    let first = browser.tab().await;
    let second = browser.new_tab().await;
    browser.open(&format!("{site}/second")).await;
    for (tab, page) in [(first, "/first"), (second, "/second")] {
        browser.look_at(&tab).await;
        sign_in(&browser, ALICE).await;
        browser.arrives_at(&format!("{site}{page}")).await;
        assert!(browser.page().await.contains("Hello, alice"));
    }
    proxy.stopped().await;
}

#[tokio::test]
async fn password_managers_and_keyboards_find_their_way() {
    let upstream = application().await;
    let proxy = proxy(&upstream).start();
    let (site, browser) = (site(&proxy), Browser::start(Scripts::Off, &proxy.certificate).await);
    browser.open(&format!("{site}/")).await;
    for (field, label, kind, token) in [
        ("username", "User name", "text", "username"),
        ("password", "Password", "password", "current-password"),
    ] {
        let field = format!("form[method=post] [name={field}]");
        assert_eq!(browser.label(&field).await, label);
        assert_eq!(browser.attribute(&field, "type").await, kind);
        assert_eq!(browser.attribute(&field, "autocomplete").await, token);
    }
    let (tab, enter) = ("\u{e004}", "\u{e007}");
    browser.type_keys(&[ALICE.0, tab, ALICE.1, enter].concat()).await;
    browser.arrives_at(&format!("{site}/")).await;
    assert!(browser.page().await.contains("Hello, alice"));
    proxy.stopped().await;
}
