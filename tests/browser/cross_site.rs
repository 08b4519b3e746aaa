//! What a page of another origin has Chromium send: the unsafe is refused, whatever cookies come with it, and the rest
//! passes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::{sign_in, site};
use crate::support::browser::{Browser, Scripts};
use crate::support::proxy::{ALICE, HOST, Proxy, proxy};
use crate::support::upstream::{Received, Upstream, answer};

/// An attempt of a page: what it is, the script that makes it (`URL` is where), and what comes of it.
struct Attempt {
    name: &'static str,
    script: &'static str,
    from_elsewhere: Outcome,
}

/// What comes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The application sees nothing of it.
    Refused,
    /// It reaches the application, with these of its cookies.
    Reaches(&'static str),
}

use Outcome::{Reaches, Refused};

/// What comes of every attempt of the site's own pages.
const ALL_COOKIES: &str = "lax none strict";

const ATTEMPTS: [Attempt; 10] = [
    Attempt {
        name: "form-post",
        script: "const form = document.createElement('form'); form.method = 'post'; form.action = 'URL';
                 document.body.append(form); form.submit()",
        from_elsewhere: Refused,
    },
    Attempt {
        name: "fetch-post",
        script: "return fetch('URL', { method: 'POST', mode: 'no-cors', credentials: 'include' })
                 .then(() => 0, () => 1)",
        from_elsewhere: Refused,
    },
    // Its preflight passes, without cookies, to an application that does not allow it.
    Attempt {
        name: "fetch-put",
        script: "return fetch('URL', { method: 'PUT', credentials: 'include' }).then(() => 0, () => 1)",
        from_elsewhere: Refused,
    },
    Attempt {
        name: "beacon",
        script: "navigator.sendBeacon('URL', 'x'); return new Promise((done) => setTimeout(done, 300))",
        from_elsewhere: Refused,
    },
    // Its origin is `null`.
    Attempt {
        name: "nameless-form-post",
        script: "const meta = document.createElement('meta'); meta.name = 'referrer'; meta.content = 'no-referrer';
                 const form = document.createElement('form'); form.method = 'post'; form.action = 'URL';
                 document.head.append(meta); document.body.append(form); form.submit()",
        from_elsewhere: Refused,
    },
    Attempt {
        name: "websocket",
        script: "return new Promise((done) => {
                     const socket = new WebSocket('URL'.replace('https:', 'wss:'));
                     socket.onopen = () => { socket.close(); done() };
                     socket.onerror = () => done()
                 })",
        from_elsewhere: Refused,
    },
    Attempt {
        name: "fetch-get",
        script: "return fetch('URL', { mode: 'no-cors', credentials: 'include' }).then(() => 0, () => 1)",
        from_elsewhere: Reaches("none"),
    },
    Attempt {
        name: "image",
        script: "return new Promise((done) => {
                     const image = new Image(); image.onload = image.onerror = () => done(); image.src = 'URL'
                 })",
        from_elsewhere: Reaches("none"),
    },
    Attempt {
        name: "frame",
        script: "return new Promise((done) => {
                     const frame = document.createElement('iframe'); frame.onload = () => done(); frame.src = 'URL';
                     document.body.append(frame)
                 })",
        from_elsewhere: Reaches("none"),
    },
    Attempt { name: "navigation", script: "location.href = 'URL'", from_elsewhere: Reaches("lax none") },
];

/// An application that grants every WebSocket, and says the same to everybody.
async fn application() -> Upstream {
    Upstream::answering(|request| match request.header("sec-websocket-key") {
        Some(key) => {
            let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            let accept = STANDARD.encode(digest.finalize());
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .into_bytes()
        }
        None => answer("200 OK", &[("Content-Type", "text/html")], "<!doctype html><h1>Hello</h1>"),
    })
    .await
}

/// What came of the attempt at `path`: which of the application's cookies came with it, in the order of their names.
fn outcome(upstream: &Upstream, path: &str) -> Option<String> {
    let is_it = |request: &&Received| request.target() == path && !request.line.starts_with("OPTIONS");
    let received = upstream.received();
    let request = received.iter().rfind(is_it)?;
    assert_eq!(request.header("x-forwarded-user").as_deref(), Some(ALICE.0), "{path}: {request:#?}");
    let cookies = request.header("cookie").unwrap_or_default();
    let mut names: Vec<&str> = cookies.split("; ").filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
    names.sort_unstable();
    Some(names.join(" "))
}

/// A browser that is signed in, with cookies of the application's of every kind.
async fn signed_in(proxy: &Proxy) -> Browser {
    let (site, browser) = (site(proxy), Browser::start(Scripts::On, &proxy.certificate).await);
    browser.open(&format!("{site}/")).await;
    sign_in(&browser, ALICE).await;
    browser.arrives_at(&format!("{site}/")).await;
    for same_site in ["None", "Lax", "Strict"] {
        browser.keep_cookie(&same_site.to_lowercase(), same_site).await;
    }
    browser
}

/// A page somewhere, from which attempts are made; what the site makes of each.
async fn attempts(proxy: &Proxy, upstream: &Upstream, page: &str) -> Vec<(&'static str, Option<String>)> {
    let (site, browser) = (site(proxy), signed_in(proxy).await);
    let mut outcomes = Vec::new();
    for Attempt { name, script, .. } in ATTEMPTS {
        browser.open(page).await;
        let path = format!("/{name}");
        browser.evaluate(&script.replace("URL", &format!("{site}{path}"))).await;
        if matches!(name, "form-post" | "nameless-form-post" | "navigation") {
            browser.arrives_at(&format!("{site}{path}")).await;
            browser.text_of("h1").await;
        }
        outcomes.push((name, outcome(upstream, &path)));
    }
    outcomes
}

/// Cookies that go wherever a request goes: nothing but the check itself stands in another site's way.
const SESSION: &str = "cookie.same_site = \"none\"";

const ROUTE: &str = "preflight = \"pass\"\n";

#[tokio::test]
async fn exactly_the_unsafe_attempts_of_another_origin_are_refused() {
    let (upstream, other) = (application().await, application().await);
    let proxy = proxy(&upstream).session(SESSION).route("/", ROUTE).start();
    let page = format!("http://elsewhere.test:{}/", other.address().port());
    let expected: Vec<_> = ATTEMPTS
        .iter()
        .map(|attempt| match attempt.from_elsewhere {
            Refused => (attempt.name, None),
            Reaches(cookies) => (attempt.name, Some(cookies.to_owned())),
        })
        .collect();
    assert_eq!(attempts(&proxy, &upstream, &page).await, expected);
    assert!(proxy.events("cross_site_refused").len() >= 5, "{:#?}", proxy.events("cross_site_refused"));
    proxy.stopped().await;
}

#[tokio::test]
async fn a_sister_domain_is_another_origin_though_every_cookie_comes_with_it() {
    let upstream = application().await;
    let sister = "access = \"public\"\n";
    let proxy = proxy(&upstream).session(SESSION).route("/", ROUTE).route("/sister", sister).start();
    let page = format!("https://sister.{HOST}:{}/sister", proxy.https.port());
    for (name, outcome) in attempts(&proxy, &upstream, &page).await {
        let attempt = ATTEMPTS.iter().find(|attempt| attempt.name == name).unwrap();
        let expected = match attempt.from_elsewhere {
            Refused => None,
            Reaches(_) => Some(ALL_COOKIES),
        };
        assert_eq!(outcome.as_deref(), expected, "{name}");
    }
    proxy.stopped().await;
}

#[tokio::test]
async fn the_sites_own_pages_and_those_of_a_trusted_origin_do_as_they_like() {
    let (upstream, other) = (application().await, application().await);
    let elsewhere = format!("http://elsewhere.test:{}", other.address().port());
    let trusted = format!("[csrf]\ntrusted_origins = [\"{elsewhere}\"]");
    let proxy = proxy(&upstream).session(SESSION).route("/", ROUTE).section(&trusted).start();
    // Who keeps the name secret is not trusted by it; and the application does not allow what the preflight asks.
    for (name, outcome) in attempts(&proxy, &upstream, &format!("{elsewhere}/")).await {
        let refused = matches!(name, "nameless-form-post" | "fetch-put");
        assert_eq!(outcome.is_none(), refused, "{name}: {outcome:?}");
    }
    for (name, outcome) in attempts(&proxy, &upstream, &format!("{}/", site(&proxy))).await {
        assert_eq!(outcome.as_deref(), Some(ALL_COOKIES), "{name}");
    }
    proxy.stopped().await;
}

/// What a script of another origin learns of `PREFIX/session`, whichever way it asks: nothing; with the site's own, a name.
#[tokio::test]
async fn no_script_of_another_origin_learns_who_is_signed_in() {
    let (upstream, other) = (application().await, application().await);
    let proxy = proxy(&upstream).session(SESSION).start();
    let (site, browser) = (site(&proxy), signed_in(&proxy).await);
    let read = |mode: &str| {
        format!(
            "return fetch('{site}/_foregate/session', {{ credentials: 'include', mode: '{mode}',
                headers: {{ Accept: 'application/json' }} }}).then((answer) => answer.text(), () => 'nothing')"
        )
    };
    // As a script it would be read across origins, and what it sets or breaks seen.
    let script = format!(
        "return new Promise((done) => {{
             const script = document.createElement('script');
             script.src = '{site}/_foregate/session';
             script.onload = () => done('loaded'); script.onerror = () => done('nothing');
             document.head.append(script);
         }})"
    );
    let own = browser.evaluate(&read("cors")).await;
    assert!(own.as_str().unwrap().contains(ALICE.0), "{own}");
    let elsewhere = format!("http://elsewhere.test:{}/", other.address().port());
    let sister = format!("https://sister.{HOST}:{}/", proxy.https.port());
    for page in [elsewhere, sister] {
        browser.open(&page).await;
        assert_eq!(browser.evaluate(&read("cors")).await, "nothing", "{page}");
        assert_eq!(browser.evaluate(&script).await, "nothing", "{page}");
        // Sent it may be; what comes back the browser keeps to itself. Our own page on the sister's lets nothing be sent.
        let opaque = browser.evaluate(&read("no-cors")).await;
        assert!(opaque == "" || opaque == "nothing", "{page}: {opaque}");
    }
    proxy.stopped().await;
}
