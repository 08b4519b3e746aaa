//! What a route passes on that others refuse, and the credentials that it adds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::client::Jar;
use crate::support::proxy::{ALICE, HOST, proxy};
use crate::support::upstream::upstream;

#[tokio::test]
async fn an_encoded_slash_is_part_of_its_segment_where_it_passes() {
    let upstream = upstream().await;
    let public = "access = \"public\"";
    let proxy = proxy(&upstream)
        .route("/", public)
        .route("/files", &format!("{public}\nencoded_slashes = \"pass\"\nstrip_prefix = true"))
        .route("/files/private", "encoded_slashes = \"pass\"")
        .start();
    let (client, jar) = (proxy.client(), Jar::default());
    for (path, sent) in [
        ("/files/a%2Fb/c", "/a%2Fb/c"),
        ("/files/a%5cb", "/a%5cb"),
        ("/files/%2f%2f", "/%2f%2f"),
        ("/files/a/../b%2fc", "/b%2fc"),
    ] {
        assert_eq!(client.get(path, &jar).await.status, 200, "{path}");
        assert_eq!(upstream.last().target(), sent, "{path}");
    }
    let received = upstream.received().len();
    for path in [
        "/a%2fb",
        "/a%5Cb",
        "/files%2fa",
        "/files/private%2fa",
        "/files/%70rivate%5ca",
        "/files/a%2f..%2fprivate",
        "/files/a%252f..%252fprivate",
        "/files/..%5cprivate",
    ] {
        assert_eq!(client.get(path, &jar).await.status, 400, "{path}");
    }
    assert_eq!(client.get("/files/private/a%2fb", &jar).await.status, 401);
    assert_eq!(upstream.received().len(), received);
}

#[tokio::test]
async fn underscores_pass_where_they_may_and_never_as_somebody_elses_word() {
    let upstream = upstream().await;
    let keys = "access = \"public\"\nunderscore_headers = \"pass\"";
    let proxy = proxy(&upstream).route("/", "access = \"public\"").route("/legacy", keys).start();
    let sent = "app_token: 1\nX_Forwarded_User: root\nX-Foregate_Session: root\nRemote_User: root\n\
                X_Forwarded_For: 10.0.0.1\nX_Real_IP: 10.0.0.1\nContent_Length: 5\nTransfer_Encoding: chunked\n\
                Keep_Alive: 5\nProxy_Authorization: x";
    assert_eq!(proxy.client().send(&format!("GET /legacy\n{sent}"), "").await.status, 200);
    let names = |received: &crate::support::upstream::Received| -> Vec<String> {
        let names = received.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
        names.filter(|name| name.contains('_')).collect()
    };
    assert_eq!(names(&upstream.last()), ["app_token"]);
    assert_eq!(proxy.events("identity_spoofed").len(), 1);

    let mut request = http::Request::get(format!("https://{HOST}/legacy"));
    for line in sent.lines() {
        let (name, value) = line.trim().split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let answer = proxy.client().send_h2(request.body(()).unwrap(), b"", None).await.unwrap();
    assert_eq!((answer.status, names(&upstream.last())), (200, vec!["app_token".to_owned()]));

    assert_eq!(proxy.client().send(&format!("GET /\n{sent}"), "").await.status, 200);
    assert!(names(&upstream.last()).is_empty());
}

#[tokio::test]
async fn an_upstreams_own_credentials_take_the_place_of_the_clients() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream)
        .route("/", "")
        .route("/basic", "basic_credentials = \"proxy:pass:wörd\"")
        .section("[log]\nlevel = \"debug\"")
        .start();
    let alice = proxy.logged_in(ALICE).await;
    let ask = |path: &str| {
        let head = format!("GET {path}\nAuthorization: Bearer mine\nCookie: {}", alice.header());
        let client = proxy.client();
        async move { client.send(&head, "").await }
    };
    let answer = ask("/basic").await;
    let basic = format!("Basic {}", STANDARD.encode("proxy:pass:wörd"));
    assert_eq!(upstream.last().all("authorization"), [basic.as_str()]);
    assert_eq!(answer.status, 200);
    assert!(!format!("{answer:?}{}", proxy.access_log()).contains("pass:wörd"));
    ask("/").await;
    assert_eq!(upstream.last().all("authorization"), ["Bearer mine"], "no other route has them");
    assert_eq!(proxy.client().get("/basic", &Jar::default()).await.status, 401);
    assert_eq!(upstream.received().len(), 2);
}
