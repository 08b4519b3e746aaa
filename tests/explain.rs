//! `foregate explain`: what it says of a request is what becomes of that request.

use std::path::Path;

use serde_json::Value;

use crate::support::client::{Client, Jar};
use crate::support::command::{Outcome, run};
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::{Upstream, upstream};

pub(crate) async fn explain(folder: &Path, args: &[&str], cookie: &str) -> Outcome {
    let (folder, cookie) = (folder.to_owned(), cookie.to_owned());
    let args: Vec<String> = ["explain"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    let ran = tokio::task::spawn_blocking(move || {
        run(&folder, &args.iter().map(String::as_str).collect::<Vec<_>>(), &cookie)
    });
    ran.await.unwrap()
}

async fn told(proxy: &Proxy, args: &[&str], cookie: &str) -> Value {
    let args = [args, &["--cookie", "-", "--json"]].concat();
    let outcome = explain(proxy.folder(), &args, cookie).await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

/// What the client sends beside what every browser does.
const FORGED: &str = "X-Forwarded-User: root";

/// Sends what was explained, and holds the one against the other.
async fn compare(client: &Client, upstream: &Upstream, asked: (&str, &str, &str), told: &Value) {
    let (method, path, cookie) = asked;
    let before = upstream.received().len();
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}") };
    let site = if method == "GET" { "none" } else { "same-origin" };
    let head = format!(
        "{method} {path}\nAccept: text/html\nSec-Fetch-Site: {site}\nSec-Fetch-Mode: navigate\n\
         Sec-Fetch-Dest: document\n{FORGED}\n{cookie}"
    );
    let answer = client.send(&head, "").await;
    let received = upstream.received();
    let arrived = received.get(before);
    assert_eq!(told.get("upstream").is_some(), arrived.is_some(), "{asked:?}: {told:#}");
    match arrived {
        None => {
            assert_eq!(told["answer"]["status"], answer.status, "{asked:?}: {told:#}");
            let location = answer.header("location").map(|place| format!("location: {place}"));
            let says = strings(&told["answer"]["set"]);
            assert_eq!(says.iter().find(|line| line.starts_with("location:")).copied(), location.as_deref());
        }
        Some(arrived) => {
            let user = arrived.header("x-forwarded-user").map(|user| format!("x-forwarded-user: {user}"));
            let set = strings(&told["upstream"]["set"]);
            assert_eq!(
                set.iter().find(|line| line.starts_with("x-forwarded-user:")).copied(),
                user.as_deref()
            );
            assert!(strings(&told["upstream"]["removed"]).contains(&"x-forwarded-user: root"), "{told:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_what_happens() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = proxy(&upstream)
        .store(&format!("url = \"{}\"", redis.url()))
        .route("/", "")
        .route("/open", "access = \"public\"")
        .route("/maybe", "access = \"optional\"")
        .route("/admin", "groups = [\"admins\"]")
        .route("/read", "methods = [\"GET\"]")
        .route("/api", "unauthenticated = \"401\"")
        .start();
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    let mut gone = proxy.logged_in(BOB).await;
    let ended = gone.header();
    proxy.client().log_out(&mut gone).await;
    let forged = alice.header().replace('.', "A.");
    let mut verdicts = Vec::new();
    for path in ["/", "/open/x", "/maybe", "/admin/", "/read", "/api", "/a%2fb", "/%2561dmin"] {
        for method in ["GET", "POST"] {
            for cookie in ["", &alice.header(), &bob.header(), &ended, &forged] {
                let url = format!("https://{HOST}{path}");
                let args = [&url, "--method", method, "--header", FORGED];
                let told = told(&proxy, &args, cookie).await;
                compare(&proxy.client(), &upstream, (method, path, cookie), &told).await;
                verdicts.extend(told["cookie"]["verdict"].as_str().map(ToOwned::to_owned));
            }
        }
    }
    for verdict in ["valid", "absent", "ended", "malformed"] {
        assert!(verdicts.iter().any(|it| it == verdict), "{verdict}: {verdicts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_told_by_its_form_its_signature_and_its_session() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let store = format!("url = \"{}\"", redis.url());
    let proxy = proxy(&upstream).store(&store).start();
    let jar = proxy.logged_in(ALICE).await;
    let url = format!("https://{HOST}/");
    let valid = told(&proxy, &[&url], &jar.header()).await;
    assert_eq!(valid["cookie"]["verdict"], "valid");
    assert_eq!(valid["cookie"]["user"], "alice");
    assert_eq!(valid["cookie"]["groups"], serde_json::json!(["staff", "admins"]));
    assert_eq!(valid["cookie"]["vouched"][0]["secret"], "session.secret");
    let handle = valid["cookie"]["vouched"][0]["handle"].as_str().unwrap();
    assert_eq!(strings(&valid["upstream"]["set"]).iter().filter(|line| line.contains(handle)).count(), 1);
    let another = told(&proxy, &["https://other.test/"], &jar.header()).await;
    assert_eq!(another["cookie"]["verdict"], "forged", "it is bound to its host: {another}");
    // The secret is rotated in the file; the proxy that runs has not heard of it.
    let text = std::fs::read_to_string(proxy.folder().join("proxy.toml")).unwrap();
    let old = text.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap().to_owned();
    let rotated = text.replace(
        &format!("secret = {old}"),
        &format!("secret = \"fedcba9876543210fedcba9876543210\"\nprevious_secrets = [{old}]"),
    );
    std::fs::write(proxy.folder().join("proxy.toml"), rotated).unwrap();
    let old_key = told(&proxy, &[&url], &jar.header()).await;
    assert_eq!(old_key["cookie"]["verdict"], "old_key");
    assert_eq!(old_key["cookie"]["vouched"][0]["secret"], "session.previous_secrets");
}

#[tokio::test(flavor = "multi_thread")]
async fn explaining_changes_nothing_and_tells_no_credential() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let proxy = proxy(&upstream)
        .store(&format!("url = \"{}\"", redis.url()))
        .route("/", "basic_credentials = \"proxy:hunter2\"")
        .start();
    let jar = proxy.logged_in(ALICE).await;
    let cookie = format!("{}; app=7f3a9c", jar.header());
    let value = jar.session().to_owned();
    let before = redis.monitor();
    for method in ["GET", "POST"] {
        let args = [&*format!("https://{HOST}/"), "--method", method, "--cookie", "-"];
        let outcome = explain(proxy.folder(), &args, &cookie).await;
        assert_eq!(outcome.code, 0, "{outcome:?}");
        for secret in ["7f3a9c", &value, "hunter2", "cHJveHk6aHVudGVyMg"] {
            assert!(!outcome.stdout.contains(secret), "{secret}: {}", outcome.stdout);
        }
        assert!(outcome.stdout.contains("+ cookie: app (values not told)"), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("+ set-cookie: application=sample; "), "{}", outcome.stdout);
    }
    for changing in ["SET", "DEL", "EVALSHA", "EVAL", "ZADD", "PEXPIREAT", "SETRANGE"] {
        assert_eq!(before.count(changing), 0, "{changing}");
    }
    assert!(before.count("GET") > 0);
    assert!(upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sites_request_and_ways_that_end_here_are_told() {
    let upstream = upstream().await;
    let proxy =
        proxy(&upstream).route("/", "").route("/shared", "csrf = \"report\"\naccess = \"public\"").start();
    let url = format!("https://{HOST}/");
    let foreign = ["--method", "POST", "--header", "Origin: https://other.example"];
    let refused = told(&proxy, &[&[&*url], &foreign[..]].concat(), "").await;
    assert_eq!(refused["answer"]["status"], 403);
    assert!(refused["sender"].as_str().unwrap().contains("https://other.example"), "{refused}");
    assert!(refused.get("cookie").is_none(), "nobody asks who it was");
    let shared = format!("{url}shared");
    let passed = told(&proxy, &[&[&*shared], &foreign[..]].concat(), "").await;
    assert!(passed["sender"].as_str().unwrap().contains("report") && passed.get("upstream").is_some());

    let login = told(&proxy, &[&format!("{url}_foregate/login")], "").await;
    assert_eq!(login["endpoint"], "login");
    let plain = told(&proxy, &[&format!("http://{HOST}/x?y")], "").await;
    assert_eq!(plain["answer"]["status"], 308);
    assert!(upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_be_asked_that_is_said() {
    let upstream = upstream().await;
    let url = format!("https://{HOST}/");
    let file = proxy(&upstream).store("url = \"file:s.redb\"").start();
    let jar: Jar = file.logged_in(ALICE).await;
    let outcome = explain(file.folder(), &[&url, "--cookie", "-", "--json"], &jar.header()).await;
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((outcome.code, &told["cookie"]["verdict"]), (0, &"unavailable".into()), "{outcome:?}");
    assert!(outcome.stderr.contains("foregate sessions show"), "{outcome:?}");
    assert_eq!(file.client().get("/", &jar).await.status, 200, "the proxy has its file for itself");

    let mut redis = RedisServer::start();
    let shared = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let jar = shared.logged_in(ALICE).await;
    redis.stop();
    let away = explain(shared.folder(), &[&url, "--cookie", "-"], &jar.header()).await;
    assert_eq!(away.code, 3, "{away:?}");
    assert!(away.stdout.contains("unavailable") && away.stdout.contains("answer    503"), "{}", away.stdout);

    for args in [&["/path"][..], &["app.test"], &["ftp://app.test/"], &[&url, "--header", "no colon"]] {
        assert_eq!(explain(file.folder(), args, "").await.code, 2, "{args:?}");
    }
}
