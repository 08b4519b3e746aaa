//! Who the user is, the upstream hears from the proxy alone (security.md, ID).

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::support::client::Jar;
use crate::support::proxy::{ALICE, HOST, Proxy, proxy};
use crate::support::upstream::{Received, Upstream, upstream};

/// The headers by which upstreams learn who somebody is, in the default configuration.
const MANAGED: [&str; 6] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-name",
    "x-forwarded-groups",
    "x-forwarded-auth-provider",
    "x-foregate-session",
];

/// A name as CGI, WSGI and PHP read it.
fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Every header and trailer that an application could take for one of the managed ones.
fn identity(received: &Received) -> Vec<(String, String)> {
    let headers = received.headers.iter();
    let headers = headers.map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()));
    let trailers = received.trailers.iter().filter_map(|line| line.split_once(':'));
    let trailers = trailers.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    headers.chain(trailers).filter(|(name, _)| MANAGED.contains(&folded(name).as_str())).collect()
}

/// What the upstream may hear: of Alice on a protected route, of nobody on a public one.
fn assert_truth(received: &Received, path: &str, attack: &str) {
    let told = identity(received);
    let text = format!("{attack} on {path}: {told:?}");
    if path == "/public" {
        assert!(told.is_empty(), "{text}");
        return;
    }
    let said: Vec<_> = told.iter().filter(|(name, _)| folded(name) == "x-forwarded-user").collect();
    assert_eq!(said.len(), 1, "{text}");
    assert_eq!(said[0], &("X-Forwarded-User".to_owned(), "alice".to_owned()), "{text}");
    assert_eq!(received.header("x-forwarded-email").as_deref(), Some("alice@example.com"), "{text}");
    assert_eq!(received.header("x-forwarded-groups").as_deref(), Some("staff,admins"), "{text}");
    assert_eq!(received.header("x-forwarded-auth-provider").as_deref(), Some("local"), "{text}");
    assert_eq!(told.len(), 5, "{text}");
}

/// Header lines that try to be somebody else.
const ATTACKS: [&str; 18] = [
    "X-Forwarded-User: root",
    "x-forwarded-user: root",
    "X-FORWARDED-USER: root",
    "X-Forwarded-User: root\r\nx-forwarded-user: root\r\nX-FORWARDED-USER: root",
    "X_Forwarded_User: root",
    "X-Forwarded_User: root",
    "x_forwarded_user: root",
    "X.Forwarded.User: root",
    "x!forwarded!user: root",
    "X~Forwarded~User: root",
    "X-Forwarded.User: root",
    "X-Forwarded-Groups: admins\r\nX_Forwarded_Groups: admins",
    "X-Foregate-Session: AAAAAAAAAAAAAAAAAAAAAA",
    "Connection: close, X-Forwarded-User\r\nX-Forwarded-User: root",
    "Connection: x-forwarded-user\r\nX-Forwarded-User: root",
    "Connection: Host, Cookie, Authorization, Content-Length, X-Forwarded-For, Transfer-Encoding",
    "Connection: X-Forwarded-User, X-Forwarded-Email, X-Foregate-Session",
    "X-Forwarded-Name: root\r\nX.Forwarded.Name: root\r\nX-Forwarded-Auth-Provider: root",
];

async fn set_up() -> (Upstream, Proxy, Jar) {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "").route("/public", "access = \"public\"").start();
    let alice = proxy.logged_in(ALICE).await;
    (upstream, proxy, alice)
}

#[tokio::test]
async fn no_spelling_of_an_identity_header_passes_over_http1() {
    let (upstream, proxy, alice) = set_up().await;
    for path in ["/", "/public"] {
        for attack in ATTACKS {
            let text = format!(
                "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n{attack}\r\nConnection: close\r\n\r\n",
                alice.header()
            );
            let answer = proxy.client().raw(text).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{attack}: {answer}");
            assert_truth(&upstream.last(), path, attack);
        }
    }
    assert!(!proxy.events("identity_spoofed").is_empty());
}

#[tokio::test]
async fn no_spelling_of_an_identity_header_passes_over_http2() {
    let (upstream, proxy, alice) = set_up().await;
    for path in ["/", "/public"] {
        for attack in ATTACKS.iter().filter(|attack| !attack.contains("Connection")) {
            let mut request = http::Request::get(format!("https://{HOST}{path}")).body(()).unwrap();
            request.headers_mut().insert("cookie", HeaderValue::from_str(&alice.header()).unwrap());
            for line in attack.split("\r\n") {
                let (name, value) = line.split_once(": ").unwrap();
                let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
                request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
            }
            let answer = proxy.client().send_h2(request, b"", None).await.unwrap();
            assert_eq!(answer.status, 200, "{attack}");
            assert_truth(&upstream.last(), path, attack);
        }
    }
}

#[tokio::test]
async fn no_trailer_is_forwarded() {
    let (upstream, proxy, alice) = set_up().await;
    for path in ["/", "/public"] {
        for name in
            ["X-Forwarded-User", "X_Forwarded_User", "Host", "Content-Length", "Authorization", "Cookie"]
        {
            let text = format!(
                "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\nConnection: close\r\nTrailer: {name}\r\n\
                 Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{name}: root\r\n\r\n",
                alice.header()
            );
            let answer = proxy.client().raw(text).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
            let received = upstream.last();
            assert_eq!((received.trailers.len(), received.body.as_slice()), (0, b"abc".as_slice()), "{name}");
            assert_eq!(received.header("trailer"), None);
            assert_truth(&received, path, name);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-forwarded-user", HeaderValue::from_static("root"));
        let request = http::Request::post(format!("https://{HOST}{path}")).header("cookie", alice.header());
        let request = request.body(()).unwrap();
        let answer = proxy.client().send_h2(request, b"abc", Some(trailers)).await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(upstream.last().trailers.is_empty());
        assert_truth(&upstream.last(), path, "a trailer over HTTP/2");
    }
}

#[tokio::test]
async fn forwarding_headers_are_said_anew_whatever_a_client_claims() {
    let (upstream, proxy, _) = set_up().await;
    let claims = "GET /public\nX-Forwarded-For: 127.0.0.9, a\nForwarded: for=evil\nX-Forwarded-Proto: http\n\
                  X-Forwarded-Host: evil.test\nX-Forwarded-Port: 1\nX-Forwarded-Uri: /admin\nX-Original-URL: /admin\n\
                  X-Rewrite-URL: /admin\nX-Forwarded-Prefix: /x\nX-Forwarded-Method: DELETE\nX-Real-IP: 10.0.0.1\n\
                  Proxy: http://evil.test\nProxy-Authorization: x\nKeep-Alive: 5\nTE: gzip\nUpgrade: h2c\nHTTP2-Settings: x";
    assert_eq!(proxy.client().send(claims, "").await.status, 200);
    let received = upstream.only();
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", HOST),
        ("x-forwarded-port", "443"),
        ("forwarded", "for=127.0.0.1;host=app.test;proto=https"),
    ] {
        assert_eq!(received.header(name).as_deref(), Some(value), "{name}");
    }
    for name in [
        "x-forwarded-uri",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-prefix",
        "x-forwarded-method",
        "x-real-ip",
        "proxy",
        "proxy-authorization",
        "keep-alive",
        "te",
        "upgrade",
        "http2-settings",
        "connection",
    ] {
        assert_eq!(received.header(name), None, "{name}");
    }
}
