//! Every page as it is seen: narrow and wide, light and dark, zoomed, and by a screen reader.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use foregate::config::Environment;
use serde_json::Value;

use super::{sign_in, site};
use crate::support::browser::{Browser, Scheme, Scripts};
use crate::support::command::{Running, foregate};
use crate::support::proxy::{ALICE, BOB, FIREFOX, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::upstream;

/// Those that pictures are taken at, a desk's and a telephone's.
const PICTURED: [(u32, u64); 2] = [(1280, 800), (360, 740)];

/// The same two zoomed to 200 %, and the narrowest that WCAG 2.2 wants to see (1.4.10).
const NARROW: [u32; 3] = [640, 320, 180];

/// One more than `login.attempts_per_user` has usually.
const TRIES: usize = 6;

/// Sends a form, from whatever page is shown.
const POST: &str = "const form = document.createElement('form'); form.method = 'post'; form.action = 'URL';
    form.innerHTML = '<input name=note value=later>'; document.body.append(form); form.submit()";

/// What judges a page; null where nothing is wrong with it.
const JUDGEMENT: &str =
    "return axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations.length
    ? violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html)}`) : null)";

static AXE: LazyLock<String> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/install");
    let installed = Command::new(script).arg(&folder).output().unwrap();
    assert!(installed.status.success(), "axe-core cannot be installed: {installed:?}");
    fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).unwrap()
});

/// Somebody who looks at pages in one scheme.
struct Eye {
    browser: Browser,
    scheme: Scheme,
}

impl Eye {
    async fn open(scheme: Scheme, certificate: &Path) -> Self {
        let browser = Browser::start(Scripts::On, certificate).await;
        browser.prefers(scheme).await;
        Self { browser, scheme }
    }

    /// Opens `address` and looks at what is there.
    async fn sees(&self, page: &str, address: &str, heading: &str) {
        self.browser.open(address).await;
        self.looks_at(page, heading).await;
    }

    /// Looks at the page of that heading: nothing sticks out of it, and axe finds nothing.
    async fn looks_at(&self, page: &str, heading: &str) {
        let Self { browser, scheme } = self;
        assert_eq!(browser.text_of("h1").await, heading, "{page}");
        browser.evaluate(&format!("{}\nwindow.axe = axe", *AXE)).await;
        for width in NARROW {
            browser.resize(width, 740).await;
            self.fits(page, width).await;
        }
        for (width, height) in PICTURED {
            browser.resize(width, height).await;
            self.fits(page, width).await;
            let judged = browser.evaluate(JUDGEMENT).await;
            assert_eq!(judged, Value::Null, "{page}, {scheme:?}, {width}: {judged:#}");
            self.takes_a_picture(page, width, height).await;
        }
    }

    async fn fits(&self, page: &str, width: u32) {
        let script = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(self.browser.evaluate(script).await, true, "{page} is wider than {width}");
    }

    /// As high as the page. The file is written on demand alone: a number on a page would change it with each run.
    async fn takes_a_picture(&self, page: &str, width: u32, height: u64) {
        let whole = self.browser.evaluate("return document.documentElement.scrollHeight").await;
        self.browser.resize(width, whole.as_u64().unwrap().max(height)).await;
        let picture = self.browser.screenshot().await;
        assert!(picture.starts_with(b"\x89PNG"));
        if Environment::process().get("FOREGATE_SCREENSHOTS") == Some("write") {
            let name = format!("docs/screenshots/{page}-{}-{width}.png", self.scheme.name());
            fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), picture).unwrap();
        }
    }
}

async fn look_at_every_page(scheme: Scheme) {
    let (upstream, mut redis) = (upstream().await, RedisServer::start());
    let setup = proxy(&upstream).store(&format!("url = \"{}\"", redis.url()));
    let proxy = setup.route("/app", "").route("/books", "groups = [\"admins\"]\n").start();
    let (site, eye) = (site(&proxy), Eye::open(scheme, &proxy.certificate).await);
    let browser = &eye.browser;

    eye.sees("login", &format!("{site}/app"), "Sign in").await;
    sign_in(browser, (BOB.0, "a guess")).await;
    browser.text_of("[role=alert]").await;
    eye.looks_at("login-error", "Sign in").await;
    for _ in 0..TRIES {
        browser.open(&format!("{site}/app")).await;
        sign_in(browser, ("mallory", "a guess")).await;
        browser.text_of("[role=alert]").await;
    }
    eye.looks_at("login-limited", "Sign in").await;
    browser.open(&format!("{site}/app")).await;
    sign_in(browser, BOB).await;
    browser.arrives_at(&format!("{site}/app")).await;
    eye.sees("forbidden", &format!("{site}/books"), "Not for this account").await;
    eye.sees("not-found", &format!("{site}/nowhere"), "Nothing is here").await;
    let elsewhere = proxy.logged_in_from(FIREFOX, BOB).await;
    eye.sees("session", &format!("{site}/_foregate/session"), "Your session").await;
    browser.press("Sign out there").await;
    browser.text_of(".sessions li:only-child").await;
    assert_eq!(browser.address().await, format!("{site}/_foregate/session"));
    assert_eq!(proxy.client().get("/app", &elsewhere).await.status, 401);
    eye.sees("logout", &format!("{site}/_foregate/logout"), "Sign out?").await;
    browser.press("Sign out").await;
    browser.arrives_at(&format!("{site}/_foregate/login?signed_out=1")).await;
    eye.looks_at("signed-out", "Sign in").await;

    sign_in(browser, ALICE).await;
    browser.arrives_at(&format!("{site}/")).await;
    browser.open(&format!("http://{}/", upstream.address())).await;
    browser.evaluate(&POST.replace("URL", &format!("{site}/app"))).await;
    eye.looks_at("cross-site", "Sent from another site").await;
    browser.open(&format!("{site}/app")).await;
    proxy.clock.advance(Duration::from_secs(2 * 86_400));
    browser.evaluate(&POST.replace("URL", &format!("{site}/app?draft=7"))).await;
    browser.arrives_at(&format!("{site}/_foregate/login")).await;
    sign_in(browser, ALICE).await;
    browser.says("h1", "Send it after all?").await;
    eye.looks_at("unsent", "Send it after all?").await;
    drop(upstream);
    browser.press("Send it now").await;
    browser.arrives_at(&format!("{site}/_foregate/unsent?failed=1")).await;
    eye.looks_at("unsent-failed", "Send it after all?").await;
    redis.kill();
    eye.sees("unavailable", &format!("{site}/app"), "Back in a moment").await;
    proxy.stopped().await;
}

#[tokio::test]
async fn every_page_fits_and_is_accessible_in_the_light() {
    look_at_every_page(Scheme::Light).await;
}

#[tokio::test]
async fn every_page_fits_and_is_accessible_in_the_dark() {
    look_at_every_page(Scheme::Dark).await;
}

#[tokio::test]
async fn the_demos_page_fits_and_is_accessible() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Running::start(foregate(folder.path(), &["demo", "--listen", "127.0.0.1:0"]));
    let script = demo.said("Ctrl-C ends the demo");
    let words: Vec<&str> = script.split_whitespace().collect();
    let after = |word| words[words.iter().position(|other| *other == word).unwrap() + 1];
    for scheme in [Scheme::Light, Scheme::Dark] {
        let eye = Eye::open(scheme, &folder.path().join("certs/localhost.crt")).await;
        eye.browser.open(after("open")).await;
        sign_in(&eye.browser, ("alice", after("alice"))).await;
        eye.browser.arrives_at(after("open")).await;
        eye.looks_at("demo", "What the application receives").await;
    }
    demo.signal("INT");
    assert_eq!(demo.ended(), Some(0));
}
