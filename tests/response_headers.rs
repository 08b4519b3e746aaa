//! What answers tell browsers and caches, whoever gives them.

use std::time::Duration;

use http::Request;

use crate::support::client::{Answer, Client, Jar};
use crate::support::proxy::{ALICE, HOST, proxy};
use crate::support::settle::eventually;
use crate::support::upstream::{Received, Upstream, answer};

const PUBLIC: &str = "access = \"public\"";

/// A script's GET over HTTP/1.1 and over HTTP/2.
async fn get_both(client: &Client, path: &str, jar: &Jar) -> [Answer; 2] {
    let request = Request::get(format!("https://{HOST}{path}")).header("cookie", jar.header());
    let over_http2 = client.send_h2(request.body(()).unwrap(), b"", None).await.unwrap();
    [client.get(path, jar).await, over_http2]
}

/// An application that hardens nothing, everything, or everything twice.
fn application(request: &Received) -> Vec<u8> {
    let own = [
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "unsafe-url"),
        ("Content-Security-Policy", "default-src 'self'"),
        ("Content-Security-Policy", "img-src *"),
        ("Cross-Origin-Opener-Policy", "unsafe-none"),
        ("X-Content-Type-Options", ""),
    ];
    let talkative = [
        ("Server", "Apache/2.2"),
        ("Server", "mod_php"),
        ("X-Powered-By", "PHP/5.2"),
        ("X-AspNet-Version", "2"),
        ("Content-Type", "text/html"),
    ];
    match request.target() {
        "/own" => answer("200 OK", &own, ""),
        "/broken" => answer("500 Internal Server Error", &talkative, ""),
        _ => answer("200 OK", &talkative, ""),
    }
}

#[tokio::test]
async fn an_application_that_says_nothing_is_hardened_and_says_less_of_itself() {
    let upstream = Upstream::answering(application).await;
    let proxy = proxy(&upstream).route("/", PUBLIC).start();
    for path in ["/", "/broken"] {
        for answer in get_both(&proxy.client(), path, &Jar::default()).await {
            for (name, value) in [
                ("x-content-type-options", Some("nosniff")),
                ("x-frame-options", Some("SAMEORIGIN")),
                ("referrer-policy", Some("strict-origin-when-cross-origin")),
                ("cross-origin-opener-policy", Some("same-origin-allow-popups")),
                ("strict-transport-security", Some("max-age=31536000")),
                ("content-security-policy", None),
                ("permissions-policy", None),
                ("server", None),
                ("x-powered-by", None),
                ("x-aspnet-version", None),
            ] {
                assert_eq!(answer.header(name), value, "{path}: {answer:#?}");
            }
        }
    }
}

#[tokio::test]
async fn what_an_application_says_counts_in_all_its_lines() {
    let upstream = Upstream::answering(application).await;
    let keys = "[headers]\ncontent_security_policy = \"default-src 'none'\"\nx_frame_options = \"SAMEORIGIN\"\n\
                cross_origin_opener_policy = \"same-origin\"\nremove = [\"Referrer-Policy\"]";
    let proxy = proxy(&upstream).route("/", PUBLIC).section(keys).start();
    for answer in get_both(&proxy.client(), "/own", &Jar::default()).await {
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.all("content-security-policy"), ["default-src 'self'", "img-src *"]);
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("unsafe-none"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "an empty one says nothing");
        let replaced = answer.header("referrer-policy");
        assert_eq!(replaced, Some("strict-origin-when-cross-origin"), "what is removed is set anew");
    }
    for answer in get_both(&proxy.client(), "/", &Jar::default()).await {
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'"));
        assert_eq!(answer.all("server").len(), 2, "the list is the operator's");
    }
}

/// Everything that the proxy itself answers in these tests.
async fn our_own(client: &Client) -> Vec<Answer> {
    let mut all = Vec::new();
    for path in ["/", "/nowhere/%zz", "/_foregate/login", "/_foregate/nothing", "/_foregate/session", "/dead"]
    {
        all.push(client.visit(path, &Jar::default()).await);
        all.extend(get_both(client, path, &Jar::default()).await);
    }
    let login = client.visit("/_foregate/login", &Jar::default()).await;
    let (_, style) = login.body.split_once("/_foregate/assets/").unwrap();
    let style = format!("/_foregate/assets/{}", style.split('"').next().unwrap());
    all.extend(get_both(client, &style, &Jar::default()).await);
    all.push(client.send("OPTIONS /public\nMax-Forwards: 0", "").await);
    all
}

#[tokio::test]
async fn nothing_that_is_configured_makes_our_own_answers_weaker() {
    let upstream = Upstream::answering(application).await;
    let keys = "[headers]\nx_content_type_options = \"\"\nx_frame_options = \"\"\nreferrer_policy = \"unsafe-url\"\n\
                content_security_policy = \"default-src *\"\npermissions_policy = \"camera=()\"\n\
                cross_origin_opener_policy = \"unsafe-none\"\nremove = []";
    let dead = "[upstream.nobody]\nservers = [\"http://127.0.0.1:1\"]\n\
                [[route]]\npath = \"/dead\"\nupstream = \"nobody\"\naccess = \"public\"";
    let proxy = proxy(&upstream).route("/", "").route("/public", PUBLIC).section(keys).section(dead).start();
    for answer in our_own(&proxy.client()).await {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("permissions-policy", "camera=()"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            // A drawing or a stylesheet is no place for a frame's rules.
            let is_asset = answer.header("cache-control").unwrap().contains("immutable");
            if !(is_asset && name == "x-frame-options") {
                assert_eq!(answer.header(name), Some(value), "{name}: {answer:#?}");
            }
        }
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        assert!(answer.header("cache-control").is_some() && answer.header("server").is_none(), "{answer:#?}");
    }
    for answer in get_both(&proxy.client(), "/public", &Jar::default()).await {
        assert_eq!(answer.header("x-frame-options"), None, "the application's are as configured");
        assert_eq!(answer.header("x-powered-by"), Some("PHP/5.2"));
    }
}

#[tokio::test]
async fn an_address_of_the_application_becomes_the_public_one() {
    let upstream = Upstream::answering(|request| {
        let host = request.header("host").unwrap();
        let at = request.header("x-server").unwrap_or_default();
        match request.target() {
            "/elsewhere" => answer("302 Found", &[("Location", "http://evil.test/")], ""),
            "/insecure" => answer("302 Found", &[("Location", "http://app.test/a?b#c")], ""),
            "/insecurely/named" => answer("302 Found", &[("Location", &format!("http://{host}/a"))], ""),
            "/refresh" => answer("200 OK", &[("Refresh", &format!("0; url=http://{at}/a"))], ""),
            _ => {
                let address = format!("http://{at}/a");
                answer("201 Created", &[("Location", &address), ("Content-Location", &address)], &address)
            }
        }
    })
    .await;
    let server = upstream.address();
    let cut = "access = \"public\"\nstrip_prefix = true";
    let proxy = proxy(&upstream).route("/", PUBLIC).route("/wiki", cut).start();
    let public = format!("https://{HOST}");
    for (path, name, address) in [
        ("/own", "location", format!("{public}/a")),
        ("/own", "content-location", format!("{public}/a")),
        ("/wiki/own", "location", format!("{public}/wiki/a")),
        ("/insecure", "location", format!("{public}/a?b#c")),
        ("/insecurely/named", "location", format!("{public}/a")),
        ("/elsewhere", "location", "http://evil.test/".to_owned()),
        ("/refresh", "refresh", format!("0; url={public}/a")),
    ] {
        let answer = proxy.client().send(&format!("GET {path}\nX-Server: {server}"), "").await;
        assert_eq!(answer.header(name), Some(address.as_str()), "{path}");
        if path == "/own" {
            assert_eq!(answer.body, format!("http://{server}/a"), "nothing in a body is touched");
        }
    }
}

#[tokio::test]
async fn a_logout_makes_the_browser_forget_and_nothing_else_does() {
    let upstream = Upstream::answering(application).await;
    let header = "clear-site-data";
    for (keys, told) in [
        ("", Some("\"cache\"")),
        ("clear_site_data = [\"cache\", \"storage\"]", Some("\"cache\", \"storage\"")),
        ("clear_site_data = []", None),
    ] {
        let proxy = proxy(&upstream).session(keys).start();
        let (mut alice, client) = (proxy.logged_in(ALICE).await, proxy.client());
        for path in ["/", "/_foregate/logout", "/_foregate/session"] {
            assert_eq!(client.visit(path, &alice).await.header(header), None, "{path}");
        }
        let refused = client.post("/_foregate/logout", &alice, &[("csrf_token", "guessed")]).await;
        assert_eq!((refused.status, refused.header(header)), (403, None));
        let out = client.log_out(&mut alice).await;
        assert_eq!((out.status, out.header(header)), (303, told), "{keys}");

        let alice = proxy.logged_in(ALICE).await;
        let session = client.get("/_foregate/session", &alice).await;
        let session: serde_json::Value = serde_json::from_str(&session.body).unwrap();
        let [token, handle] = ["csrf_token", "handle"].map(|key| session[key].as_str().unwrap());
        let fields = [("csrf_token", token), ("handle", handle)];
        let revoked = client.post("/_foregate/session/revoke", &alice, &fields).await;
        assert_eq!((revoked.status, revoked.header(header)), (303, told), "{keys}");
        proxy.stopped().await;
    }
}

#[tokio::test]
async fn caches_are_told_where_an_answer_depends_on_who_asks() {
    let upstream = Upstream::answering(|request| {
        let said = if request.target() == "/maybe/said" { "Accept, Cookie" } else { "Accept" };
        answer("200 OK", &[("Vary", said)], "")
    })
    .await;
    let proxy = proxy(&upstream).route("/public", PUBLIC).route("/maybe", "access = \"optional\"").start();
    for (path, told) in [
        ("/maybe", vec!["Accept", "Cookie"]),
        ("/maybe/said", vec!["Accept, Cookie"]),
        ("/public", vec!["Accept"]),
    ] {
        for answer in get_both(&proxy.client(), path, &Jar::default()).await {
            assert_eq!(answer.all("vary"), told, "{path}");
        }
    }
}

#[tokio::test]
async fn no_configuration_hands_somebodys_answer_to_shared_caches() {
    let upstream = Upstream::answering(|_| answer("200 OK", &[("Cache-Control", "public")], "")).await;
    let proxy = proxy(&upstream).section("[headers]\nremove = [\"Cache-Control\"]").start();
    let alice = proxy.logged_in(ALICE).await;
    for answer in get_both(&proxy.client(), "/", &alice).await {
        assert_eq!(answer.header("cache-control"), Some("private"));
    }
}

#[tokio::test]
async fn a_page_can_warn_before_the_session_ends() {
    let upstream = Upstream::answering(application).await;
    let proxy = proxy(&upstream)
        .session("idle_timeout = \"2h\"\nabsolute_timeout = \"3h\"")
        .route("/", "")
        .route("/polls", "touch = false")
        .route("/public", PUBLIC)
        .start();
    let (client, alice) = (proxy.client(), proxy.logged_in(ALICE).await);
    let asks = async |path: &str, headers: &str| {
        let head = format!("GET {path}\nCookie: {}\n{headers}", alice.header());
        let answer = client.send(&head, "").await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        // To ten seconds: records know no fractions of one.
        answer
            .header("session-expires-in")
            .map(|seconds| seconds.parse::<u64>().unwrap().next_multiple_of(10))
    };
    let own = "Sec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty";
    assert_eq!(asks("/", own).await, Some(7_200));
    proxy.clock.advance(Duration::from_secs(600));
    assert_eq!(asks("/polls", own).await, Some(6_600), "to look is no use");
    assert_eq!(asks("/", own).await, Some(7_200), "this is one");
    eventually("the use is recorded", async || asks("/polls", own).await == Some(7_200)).await;
    proxy.clock.advance(Duration::from_secs(5_400));
    assert_eq!(asks("/", own).await, Some(4_800), "used or not, it ends three hours after the login");

    for headers in [
        "Sec-Fetch-Site: same-origin\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document",
        "Sec-Fetch-Site: same-site\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty",
        "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image",
        "Accept: */*",
    ] {
        assert_eq!(asks("/", headers).await, None, "{headers}");
    }
    assert_eq!(asks("/public", own).await, None, "nobody is asked for there");
}
