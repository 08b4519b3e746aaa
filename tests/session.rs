//! Sessions over time: a secret that changes, users who stay signed in, cookies that others plant.

use std::time::Duration;

use crate::support::client::{Answer, Jar};
use crate::support::proxy::{ALICE, BOB, Proxy, SECRET, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::{Upstream, answer, upstream};

const NEW_SECRET: &str = "fedcba9876543210fedcba9876543210";
const DAY: u64 = 86_400;

/// The session cookie that an answer sets.
fn set_cookie(answer: &Answer) -> Option<&str> {
    answer.all("set-cookie").into_iter().find(|line| line.starts_with("__Host-session="))
}

/// For how many seconds a browser keeps it; `None`: as long as it runs.
fn max_age(cookie: &str) -> Option<u64> {
    cookie
        .split("; ")
        .find_map(|attribute| attribute.strip_prefix("Max-Age="))
        .map(|age| age.parse().unwrap())
}

fn verdicts(proxy: &Proxy, verdict: &str) -> u64 {
    proxy.count(&format!("foregate_cookie_verdicts_total{{verdict=\"{verdict}\"}}"))
}

/// A jar with these session cookies, in this order.
fn jar(values: &[&str]) -> Jar {
    Jar(values.iter().map(|value| ("__Host-session".to_owned(), (*value).to_owned())).collect())
}

/// The value with one character of its signature changed.
fn forged(value: &str) -> String {
    let (head, tail) = value.split_at(value.len() - 10);
    let other = if tail.starts_with('A') { 'B' } else { 'A' };
    format!("{head}{other}{}", &tail[1..])
}

/// A proxy on the same Redis, after the secret was changed.
fn rotated(upstream: &Upstream, redis: &RedisServer) -> Proxy {
    proxy(upstream)
        .route("/", "")
        .route("/public", "access = \"public\"")
        .route("/optional", "access = \"optional\"")
        .store(&format!("url = \"{}\"", redis.url()))
        .secret(NEW_SECRET)
        .session(&format!("previous_secrets = [\"{SECRET}\"]"))
        .start()
}

#[tokio::test]
async fn a_changed_secret_logs_nobody_out_and_page_navigations_bring_the_new_signature() {
    let upstream = Upstream::answering(|_| {
        let headers = [("Cache-Control", "public, max-age=60"), ("Set-Cookie", "theirs=1")];
        answer("200 OK", &headers, "hello")
    })
    .await;
    let redis = RedisServer::start();
    let before = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let mut alice = before.logged_in(ALICE).await;
    let old = alice.session().to_owned();
    drop(before);

    let proxy = rotated(&upstream, &redis);
    let client = proxy.client();
    for path in ["/", "/optional", "/_foregate/logout", "/_foregate/login"] {
        let answer = client.get(path, &alice).await;
        assert!(
            answer.status < 400 && set_cookie(&answer).is_none(),
            "{path}: no page navigation: {answer:#?}"
        );
    }
    assert_eq!((verdicts(&proxy, "old_key"), verdicts(&proxy, "valid")), (4, 0));
    assert_eq!(set_cookie(&client.visit("/public", &alice).await), None);
    let framed =
        format!("GET /\nCookie: {}\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe", alice.header());
    assert!(set_cookie(&client.send(&framed, "").await).is_some());

    let page = client.visit("/optional", &alice).await;
    let cookie = set_cookie(&page).unwrap_or_else(|| panic!("{page:#?}"));
    assert_eq!(cookie.split_once(';').unwrap().1, " HttpOnly; SameSite=Lax; Secure; Path=/");
    assert!(page.all("set-cookie").iter().any(|cookie| cookie.starts_with("theirs=1;")));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(verdicts(&proxy, "old_key"), 6);
    alice.take(&page);
    let (id, signature) = (alice.session().split('.').next(), alice.session().split('.').nth(2));
    assert_eq!(id, old.split('.').next());
    assert_ne!(signature, old.split('.').nth(2));

    let page = client.visit("/", &alice).await;
    assert_eq!((page.status, set_cookie(&page)), (200, None), "it is signed anew once");
    assert_eq!((verdicts(&proxy, "old_key"), verdicts(&proxy, "valid")), (6, 1), "and counted no more");
    let both = jar(&[&old, alice.session()]);
    assert_eq!(set_cookie(&client.visit("/", &both).await), None, "two signatures of one id are one session");
    assert_eq!((verdicts(&proxy, "old_key"), verdicts(&proxy, "valid")), (6, 2));
}

#[tokio::test]
async fn after_a_change_everything_new_is_under_the_new_secret_alone() {
    let upstream = upstream().await;
    let redis = RedisServer::start();
    let store = format!("url = \"{}\"", redis.url());
    let old = proxy(&upstream).store(&store).start();
    let (alice, mut form) = (old.logged_in(ALICE).await, Jar::default());
    form.take(&old.client().visit("/_foregate/login", &form).await);

    let changed = rotated(&upstream, &redis);
    let kept = changed.client().visit("/_foregate/login", &form).await;
    assert_eq!(set_cookie(&kept), None);
    let token = kept.field("csrf_token");
    let fields = [("username", BOB.0), ("password", BOB.1), ("csrf_token", token.as_str())];
    assert_eq!(old.client().post("/_foregate/login", &form, &fields).await.status, 403);
    let bob = changed.logged_in(BOB).await;
    let signed_anew = {
        let mut jar = alice.clone();
        jar.take(&changed.client().visit("/", &alice).await);
        jar
    };
    for jar in [&bob, &signed_anew] {
        assert_eq!(changed.client().get("/", jar).await.status, 200);
        assert_eq!(old.client().get("/", jar).await.status, 401, "the old secret does not know it");
    }
    assert_eq!(verdicts(&old, "forged"), 2);

    let without = proxy(&upstream).store(&store).secret(NEW_SECRET).start();
    assert_eq!(without.client().get("/", &bob).await.status, 200);
    assert_eq!(without.client().get("/", &alice).await.status, 401);
}

#[tokio::test]
async fn a_form_from_before_the_change_still_counts() {
    let upstream = upstream().await;
    let redis = RedisServer::start();
    let old = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let (alice, mut visitor) = (old.logged_in(ALICE).await, Jar::default());
    let form = old.client().visit("/_foregate/login", &visitor).await;
    visitor.take(&form);
    let logout = old.client().visit("/_foregate/logout", &alice).await.field("csrf_token");

    let changed = rotated(&upstream, &redis);
    let token = form.field("csrf_token");
    let fields = [("username", BOB.0), ("password", BOB.1), ("csrf_token", token.as_str())];
    assert_eq!(changed.client().post("/_foregate/login", &visitor, &fields).await.status, 303);
    let out = changed.client().post("/_foregate/logout", &alice, &[("csrf_token", &logout)]).await;
    assert_eq!((out.status, changed.events("revoked").len()), (303, 1));
}

#[tokio::test]
async fn who_asks_for_it_stays_signed_in_by_a_cookie_that_outlives_the_browser() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let page = client.visit("/_foregate/login", &Jar::default()).await;
    assert!(page.body.contains("name=\"remember\" value=\"1\" type=\"checkbox\""), "{}", page.body);
    let ordinary = client.log_in(&mut Jar::default(), ALICE, "").await;
    assert_eq!(max_age(set_cookie(&ordinary).unwrap()), None);
    let remembered = client.log_in_to_stay(&mut Jar::default(), ALICE).await;
    assert_eq!(max_age(set_cookie(&remembered).unwrap()), Some(90 * DAY));
    let wrong = client.log_in_to_stay(&mut Jar::default(), ("alice", "wrong")).await;
    assert!(wrong.body.contains("type=\"checkbox\" checked"), "the wish is kept: {}", wrong.body);
}

#[tokio::test]
async fn where_it_is_not_offered_nobody_stays_signed_in() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).section("[login]\nremember_me = false").start();
    let page = proxy.client().visit("/_foregate/login", &Jar::default()).await;
    assert!(!page.body.contains("remember"), "{}", page.body);
    let mut jar = Jar::default();
    let forced = proxy.client().log_in_to_stay(&mut jar, ALICE).await;
    assert_eq!((forced.status, max_age(set_cookie(&forced).unwrap())), (303, None));
    proxy.clock.advance(Duration::from_secs(DAY));
    assert_eq!(proxy.client().get("/", &jar).await.status, 401);
}

#[tokio::test]
async fn a_cookie_says_what_is_left_of_the_session_but_400_days_at_most() {
    let upstream = upstream().await;
    let long = "remember_absolute_timeout = \"500d\"\nabsolute_timeout = \"8d\"\ncookie.persistent = true";
    let proxy = proxy(&upstream).session(long).start();
    let ordinary = proxy.client().log_in(&mut Jar::default(), ALICE, "").await;
    assert_eq!(max_age(set_cookie(&ordinary).unwrap()), Some(8 * DAY));
    let remembered = proxy.client().log_in_to_stay(&mut Jar::default(), ALICE).await;
    assert_eq!(max_age(set_cookie(&remembered).unwrap()), Some(400 * DAY));
}

#[tokio::test]
async fn a_signature_anew_prolongs_nothing() {
    let upstream = upstream().await;
    let redis = RedisServer::start();
    let store = format!("url = \"{}\"", redis.url());
    let before = proxy(&upstream).store(&store).start();
    let mut jar = before.remembered(ALICE).await;
    drop(before);
    let lenient = format!("previous_secrets = [\"{SECRET}\"]\nremember_idle_timeout = \"90d\"");
    let proxy = proxy(&upstream).store(&store).secret(NEW_SECRET).session(&lenient).start();
    for key in redis.cli(&["--scan", "--pattern", "session:*"]).lines() {
        redis.cli(&["PERSIST", key]);
    }
    proxy.clock.advance(Duration::from_secs(29 * DAY));
    let page = proxy.client().visit("/", &jar).await;
    jar.take(&page);
    let left = max_age(set_cookie(&page).unwrap()).unwrap();
    assert!((61 * DAY - 60..=61 * DAY).contains(&left), "{left}");
    proxy.clock.advance(Duration::from_secs(left - 1));
    assert_eq!(proxy.client().get("/", &jar).await.status, 200);
    proxy.clock.advance(Duration::from_secs(2));
    assert_eq!(proxy.client().get("/", &jar).await.status, 401);
}

#[tokio::test]
async fn of_several_cookies_the_one_that_is_alive_counts() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let mut gone = proxy.logged_in(BOB).await;
    let ended = gone.session().to_owned();
    client.log_out(&mut gone).await;
    let signed_in = proxy.logged_in(ALICE).await;
    let alive = signed_in.session();
    let forged = forged(alive);
    for values in [
        vec![forged.as_str(), alive],
        vec![ended.as_str(), alive],
        vec![alive, ended.as_str()],
        vec![alive, alive],
        vec!["", "junk", ended.as_str(), alive],
    ] {
        let answer = client.get("/", &jar(&values)).await;
        assert_eq!(answer.status, 200, "{values:?}");
        assert_eq!(upstream.last().header("x-forwarded-user").as_deref(), Some("alice"));
        assert_eq!(upstream.last().header("cookie"), None, "none of them goes upstream");
    }
    let fifth = jar(&["a", "b", "c", "d", alive]);
    assert_eq!(client.get("/", &fifth).await.status, 401, "four are looked at");
    let told = proxy.events("cookie_refused");
    assert!(told.iter().all(|event| event["reason"] != "several-alive"), "{told:?}");
}

#[tokio::test]
async fn of_several_that_are_alive_none_counts_and_the_login_page_clears_them() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    let both = jar(&[alice.session(), bob.session()]);
    let refused = client.get("/", &both).await;
    assert_eq!((refused.status, set_cookie(&refused)), (401, None));
    let sent = client.visit("/", &both).await;
    assert_eq!((sent.status, set_cookie(&sent)), (303, None));
    assert!(upstream.received().is_empty());
    let told = proxy.events("cookie_refused");
    assert!(told.iter().all(|event| event["reason"] == "several-alive") && told.len() == 2, "{told:?}");

    let page = client.visit("/_foregate/login", &both).await;
    let cleared = set_cookie(&page).unwrap();
    assert!(page.status == 200 && cleared.starts_with("__Host-session=;"), "{page:#?}");
    assert_eq!(max_age(cleared), Some(0));
    assert_eq!(client.get("/", &alice).await.status, 200, "each by itself is as good as before");

    let mut fresh = Jar::default();
    fresh.take(&page);
    fresh.0.extend(both.0);
    let token = page.field("csrf_token");
    let fields = [("username", ALICE.0), ("password", ALICE.1), ("csrf_token", token.as_str())];
    let begun = client.post("/_foregate/login", &fresh, &fields).await;
    fresh.take(&begun);
    assert_eq!((begun.status, client.get("/", &fresh).await.status), (303, 200));
    for old in [&alice, &bob] {
        assert_eq!(client.get("/", old).await.status, 401, "a login ends what came with it");
    }
}

#[tokio::test]
async fn whoever_logs_out_with_several_sessions_ends_them_all() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    let mut both = jar(&[alice.session(), bob.session()]);

    let refused = client.post("/_foregate/logout", &both, &[("csrf_token", "AAAA")]).await;
    assert_eq!(refused.status, 403, "not without the form's token");
    assert_eq!(client.get("/", &bob).await.status, 200);
    let out = client.log_out(&mut both).await;
    assert_eq!((out.status, set_cookie(&out).and_then(max_age)), (303, Some(0)));
    for copy in [&alice, &bob] {
        assert_eq!(client.get("/", copy).await.status, 401);
    }
    assert_eq!(proxy.events("revoked").len(), 2);
}

#[tokio::test]
async fn a_bad_cookie_is_cleared_for_the_host_and_for_the_domain() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).section("[session.cookie]\ndomain = \"app.test\"").start();
    let jar = Jar(vec![("__Secure-session".to_owned(), "junk".to_owned())]);
    let page = proxy.client().visit("/_foregate/login", &jar).await;
    let cleared: Vec<&str> =
        page.all("set-cookie").into_iter().filter(|line| line.starts_with("__Secure-session=;")).collect();
    assert_eq!(cleared.len(), 2, "{cleared:?}");
    assert!(cleared.iter().all(|line| max_age(line) == Some(0)));
    assert_eq!(cleared.iter().filter(|line| line.contains("Domain=app.test")).count(), 1);
}

#[tokio::test]
async fn users_of_an_htpasswd_file_log_in() {
    let upstream = upstream().await;
    let hash = bcrypt::hash_with_salt("tiger", 4, *b"saltsaltsaltsalt").unwrap();
    let hash = hash.format_for_version(bcrypt::Version::TwoY);
    let proxy = proxy(&upstream).users(&format!("# people\nzoe:{hash}\n")).start();
    let jar = proxy.logged_in(("zoe", "tiger")).await;
    assert_eq!(proxy.client().get("/", &jar).await.status, 200);
    assert_eq!(upstream.last().header("x-forwarded-user").as_deref(), Some("zoe"));
    assert_eq!(upstream.last().header("x-forwarded-groups"), None);
    for (user, password) in [("zoe", "Tiger"), ("nobody", "tiger"), ("zoe", &"x".repeat(73))] {
        assert_eq!(proxy.client().log_in(&mut Jar::default(), (user, password), "").await.status, 401);
    }
    let reasons: Vec<_> = proxy.events("login_failed").iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(reasons, ["wrong-password", "unknown-user", "impossible-password"]);
}
