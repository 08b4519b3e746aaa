//! Logging in and out, and what a session is worth in between.

use std::collections::BTreeMap;
use std::time::Duration;

use foregate::base::clock::Stopwatch;

use crate::support::client::{Client, Jar};
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::{Upstream, upstream};

fn with_redis(upstream: &Upstream) -> (RedisServer, Proxy) {
    let redis = RedisServer::start();
    let proxy = proxy(upstream).store(&format!("url = \"{}\"", redis.url())).start();
    (redis, proxy)
}

/// The handle by which the upstream was told of the session.
fn handle(upstream: &Upstream) -> String {
    upstream.last().header("x-foregate-session").unwrap()
}

#[tokio::test]
async fn the_cookie_is_signed_and_hardened_and_the_record_lies_in_redis() {
    let upstream = upstream().await;
    let (redis, proxy) = with_redis(&upstream);
    let (client, mut jar) = (proxy.client(), Jar::default());
    let answer = client.log_in(&mut jar, ALICE, "/start?a=1#part").await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), Some("/start?a=1#part"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let cookies = answer.all("set-cookie");
    let cookie = cookies.iter().find(|cookie| cookie.starts_with("__Host-session=")).unwrap();
    let (value, attributes) = cookie.split_once(';').unwrap();
    assert_eq!(attributes, " HttpOnly; SameSite=Lax; Secure; Path=/");
    let parts: Vec<&str> = value.split_once('=').unwrap().1.split('.').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [43, 6, 43]);

    assert_eq!(client.get("/", &jar).await.body, "hello");
    let key = format!("session:{}", handle(&upstream));
    let record: serde_json::Value = serde_json::from_str(&redis.cli(&["GET", &key])).unwrap();
    assert_eq!((&record["user"], &record["provider"]), (&"alice".into(), &"local".into()));
    let ttl: i64 = redis.cli(&["TTL", &key]).trim().parse().unwrap();
    assert!((86_390..=86_400).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn whoever_reads_all_of_redis_gets_no_credential() {
    let upstream = upstream().await;
    let (redis, proxy) = with_redis(&upstream);
    let monitor = redis.monitor();
    let mut jar = proxy.logged_in(ALICE).await;
    let value = jar.session().to_owned();
    assert_eq!(proxy.client().get("/", &jar).await.status, 200);
    let dump: String =
        redis.cli(&["--scan"]).lines().map(|key| format!("{key} {}", content(&redis, key))).collect();
    proxy.client().log_out(&mut jar).await;
    let seen = monitor.commands().join("\n") + &dump;
    assert!(seen.contains("session:") && seen.contains("session-user:"), "{seen}");
    for secret in value.split('.').filter(|part| part.len() == 43).chain([value.as_str()]) {
        assert!(!seen.contains(secret));
        assert!(!seen.contains(&secret[..22]) && !seen.contains(&secret[21..]), "nor a half of it");
    }
}

fn content(redis: &RedisServer, key: &str) -> String {
    match redis.cli(&["TYPE", key]).trim() {
        "string" => redis.cli(&["GET", key]),
        "zset" => redis.cli(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
        other => panic!("{key} is a {other}"),
    }
}

#[tokio::test]
async fn ten_thousand_forged_cookies_cost_redis_nothing() {
    let upstream = upstream().await;
    let (redis, proxy) = with_redis(&upstream);
    let alice = proxy.logged_in(ALICE).await;
    let value = alice.session().to_owned();
    let monitor = redis.monitor();
    let forgeries = (0..10_000_usize).map(|number| {
        let mut forged = value.clone().into_bytes();
        let at = number % forged.len();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let cookie = [b"__Host-session=", forged.as_slice()].concat();
        http::Request::get(format!("https://{HOST}/")).header("cookie", cookie).body(()).unwrap()
    });
    let refused = statuses(&proxy, forgeries).await.get(&401).copied();
    assert_eq!(refused, Some(10_000));
    assert_eq!(monitor.commands(), Vec::<String>::new());
    let counted = ["forged", "malformed", "aged"]
        .map(|verdict| proxy.count(&format!("foregate_cookie_verdicts_total{{verdict=\"{verdict}\"}}")));
    assert_eq!(counted.iter().sum::<u64>(), 10_000, "{counted:?}");
    assert!(upstream.received().is_empty());
}

/// What so many requests over one HTTP/2 connection are answered with: how often each status.
async fn statuses(proxy: &Proxy, requests: impl Iterator<Item = http::Request<()>>) -> BTreeMap<u16, usize> {
    let connection = proxy.client().connect(b"h2").await;
    let (h2, connection) = h2::client::handshake(connection).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut statuses = BTreeMap::new();
    for request in requests {
        let (answer, _) = h2.clone().ready().await.unwrap().send_request(request, true).unwrap();
        *statuses.entry(answer.await.unwrap().status().as_u16()).or_default() += 1;
    }
    driver.abort();
    statuses
}

#[tokio::test]
async fn ten_thousand_visits_of_nobody_cost_redis_nothing() {
    let upstream = upstream().await;
    let (redis, proxy) = with_redis(&upstream);
    let monitor = redis.monitor();
    let visits = (0..10_000_usize).map(|number| {
        let (path, mode) = match number % 5 {
            0 => ("/", "navigate"),
            1 => ("/", "cors"),
            2 => ("/_foregate/login?return_to=%2F", "navigate"),
            3 => ("/_foregate/logout", "navigate"),
            _ => ("/_foregate/session", "cors"),
        };
        http::Request::get(format!("https://{HOST}{path}")).header("sec-fetch-mode", mode).body(()).unwrap()
    });
    let statuses = statuses(&proxy, visits).await;
    assert_eq!(statuses, BTreeMap::from([(200, 4_000), (303, 2_000), (401, 4_000)]));
    assert_eq!(monitor.commands(), Vec::<String>::new());
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_cookie_of_any_shape_is_no_session_and_no_error() {
    let upstream = upstream().await;
    let (redis, proxy) = with_redis(&upstream);
    let alice = proxy.logged_in(ALICE).await;
    let value = alice.session().to_owned();
    let monitor = redis.monitor();
    let truncated = &value[..value.len() - 1];
    let oversized = "A".repeat(8_000);
    let quoted = format!("\"{value}\"");
    for cookie in [truncated, &oversized, &quoted, "", ".", "..", "é.ü.ß", "%00", &value.to_uppercase()] {
        let jar = Jar(vec![("__Host-session".to_owned(), cookie.to_owned())]);
        let answer = proxy.client().get("/", &jar).await;
        assert_eq!(answer.status, 401, "{cookie:.40}");
        assert_eq!(answer.all("set-cookie").len(), 0, "only the login page clears a bad cookie");
    }
    let bytes =
        b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nCookie: __Host-session=\xff\xfe\r\n\r\n";
    assert!(proxy.client().raw(bytes).await.starts_with("HTTP/1.1 401"));
    assert_eq!(monitor.commands(), Vec::<String>::new());
    assert!(proxy.events("cookie_refused").iter().all(|event| event["reason"].is_string()));

    let jar = Jar(vec![("__Host-session".to_owned(), truncated.to_owned())]);
    let page = proxy.client().visit("/_foregate/login", &jar).await;
    let cleared = page.all("set-cookie").iter().any(|line| line.starts_with("__Host-session=;"));
    assert!(page.status == 200 && cleared, "{page:#?}");
}

#[tokio::test]
async fn a_record_that_was_changed_swapped_or_made_up_lets_nobody_in() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    // The word of a change takes its moment to come: here each look has to see what lies in the store.
    let forgetful = format!("url = \"{}\"\n[session.cache]\nenabled = false", redis.url());
    let proxy = proxy(&upstream).store(&forgetful).start();
    let client = proxy.client();
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    assert_eq!(client.get("/", &alice).await.status, 200);
    let (alices, record) = record_of(&redis, &handle(&upstream));
    assert_eq!(client.get("/", &bob).await.status, 200);
    let (bobs, of_bob) = record_of(&redis, &handle(&upstream));

    for at in 0..record.len() {
        if (8..18).contains(&at) {
            continue; // The digits of `seen` are no part of what is sealed: every use changes them.
        }
        let mut changed = record.clone().into_bytes();
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        redis.cli(&["SET", &alices, std::str::from_utf8(&changed).unwrap()]);
        assert_eq!(client.get("/", &alice).await.status, 401, "byte {at} of {record}");
    }
    redis.cli(&["SET", &alices, &of_bob]);
    redis.cli(&["SET", &bobs, &record]);
    assert_eq!(client.get("/", &alice).await.status, 401);
    assert_eq!(client.get("/", &bob).await.status, 401);
    for garbage in ["", "null", "{}", "{\"seen\":1763800000,\"user\":\"alice\"}", "\u{1f980}"] {
        redis.cli(&["SET", &alices, garbage]);
        assert_eq!(client.get("/", &alice).await.status, 401, "{garbage}");
    }
    redis.cli(&["DEL", &alices]);
    redis.cli(&["LPUSH", &alices, "a list"]);
    assert_eq!(client.get("/", &alice).await.status, 401);
    redis.cli(&["DEL", &alices]);
    redis.cli(&["SET", &alices, &record]);
    assert_eq!(client.get("/", &alice).await.status, 200, "its own record still opens");
    let told = proxy.events("cookie_refused");
    assert!(told.iter().all(|event| event["reason"] == "record" && event["handle"].is_string()));
    assert_eq!(told.len(), record.len() - 10 + 2 + 5 + 1);
}

fn record_of(redis: &RedisServer, handle: &str) -> (String, String) {
    let key = format!("session:{handle}");
    let record = redis.cli(&["GET", &key]).trim_end_matches('\n').to_owned();
    (key, record)
}

#[tokio::test]
async fn a_login_over_somebody_elses_cookie_makes_a_new_session_and_ends_the_old() {
    let upstream = upstream().await;
    let (redis, proxy) = with_redis(&upstream);
    let client = proxy.client();
    let planted = proxy.logged_in(BOB).await;
    assert_eq!(client.get("/", &planted).await.status, 200);
    let old = handle(&upstream);

    let mut victim = planted.clone();
    assert_eq!(client.log_in(&mut victim, ALICE, "").await.status, 303);
    assert_ne!(victim.session(), planted.session());
    assert_eq!(client.get("/", &victim).await.status, 200);
    assert_eq!(upstream.last().header("x-forwarded-user").as_deref(), Some("alice"));
    assert_ne!(handle(&upstream), old);
    assert_eq!(redis.cli(&["EXISTS", &format!("session:{old}")]).trim(), "0");
    assert_eq!(client.get("/", &planted).await.status, 401);
}

#[tokio::test]
async fn a_copied_cookie_is_worth_nothing_after_logout() {
    let upstream = upstream().await;
    let (redis, proxy) = with_redis(&upstream);
    let client = proxy.client();
    let mut jar = proxy.logged_in(ALICE).await;
    let copy = jar.clone();
    assert_eq!(client.get("/", &copy).await.status, 200);

    let out = client.log_out(&mut jar).await;
    assert_eq!((out.status, out.header("location")), (303, Some("/_foregate/login?signed_out=1")));
    assert!(
        out.all("set-cookie")
            .iter()
            .any(|line| line.starts_with("__Host-session=; ") && line.contains("Max-Age=0"))
    );
    assert_eq!(jar.value("__Host-session"), None);
    assert_eq!(client.get("/", &copy).await.status, 401);
    assert_eq!(client.visit("/", &copy).await.status, 303);
    assert_eq!(redis.cli(&["--scan", "--pattern", "session:*"]).trim(), "");
    let again = client.post("/_foregate/logout", &jar, &[]).await;
    assert_eq!(again.status, 303, "logging out twice is no error");
    assert_eq!(proxy.events("revoked")[0]["reason"], "logout");
}

#[tokio::test]
async fn a_logout_ends_every_session_that_came_along() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let (alice, bob) = (proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    let both = Jar([alice.0.clone(), bob.0.clone()].concat());
    assert_eq!(client.get("/", &both).await.status, 401, "nobody can say which one was planted");
    let refused = client.post("/_foregate/logout", &both, &[("csrf_token", "x")]).await;
    assert_eq!(refused.status, 403);
    let token = refused.field("csrf_token");
    assert_eq!(client.post("/_foregate/logout", &both, &[("csrf_token", &token)]).await.status, 303);
    assert_eq!(client.get("/", &alice).await.status, 401);
    assert_eq!(client.get("/", &bob).await.status, 401);
}

#[tokio::test]
async fn nobody_is_logged_out_by_a_link_another_site_or_a_stale_form() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (client, jar) = (proxy.client(), proxy.logged_in(ALICE).await);
    let others = proxy.logged_in(BOB).await;
    let token = client.visit("/_foregate/logout", &jar).await.field("csrf_token");
    let stolen = client.visit("/_foregate/logout", &others).await.field("csrf_token");

    for provenance in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Origin: https://evil.test",
        "Origin: null",
    ] {
        let head = format!("POST /_foregate/logout\nCookie: {}\n{provenance}", jar.header());
        assert_eq!(client.send(&head, &format!("csrf_token={token}")).await.status, 403, "{provenance}");
    }
    for fields in [vec![], vec![("csrf_token", "x")], vec![("csrf_token", stolen.as_str())]] {
        let refused = client.post("/_foregate/logout", &jar, &fields).await;
        assert_eq!(refused.status, 403, "{fields:?}");
        assert_eq!(refused.field("csrf_token"), token, "with a fresh form");
    }
    assert_eq!(client.get("/", &jar).await.status, 200, "still signed in");
    let head = format!("POST /_foregate/logout\nCookie: {}", jar.header());
    assert_eq!(client.send(&head, &format!("csrf_token={token}")).await.status, 303, "the token decides");
}

#[tokio::test]
async fn wrong_unknown_and_right_are_told_apart_by_nothing_but_the_session() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let mut answers = Vec::new();
    for user in [("alice", "wrong"), ("nobody", "wrong"), ("alice", ""), ("alice ", "correct horse")] {
        let mut jar = Jar::default();
        let answer = client.log_in(&mut jar, user, "/x").await;
        assert_eq!(answer.status, 401, "{user:?}");
        assert_eq!(jar.value("__Host-session"), None);
        assert!(!answer.body.contains("wrong\""), "the password is never sent back");
        let token = answer.field("csrf_token");
        answers.push(answer.body.replace(&token, "").replace(&format!("value=\"{}\"", user.0), "value=\"\""));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
    let reasons: Vec<_> = proxy.events("login_failed").iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(reasons.len(), 4);
    assert_ne!(reasons[0], reasons[1], "the audit log knows: {reasons:?}");
}

#[tokio::test]
async fn a_form_counts_only_from_the_browser_that_asked_for_it() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let (mut mine, mut theirs) = (Jar::default(), Jar::default());
    let form = client.visit("/_foregate/login", &mine).await;
    mine.take(&form);
    theirs.take(&client.visit("/_foregate/login", &theirs).await);
    let token = form.field("csrf_token");
    let fields = |token| [("username", ALICE.0), ("password", ALICE.1), ("csrf_token", token)];

    for (jar, token) in [(&theirs, token.as_str()), (&Jar::default(), &token), (&mine, ""), (&mine, "AAAA")] {
        let refused = client.post("/_foregate/login", jar, &fields(token)).await;
        assert_eq!(refused.status, 403, "{refused:#?}");
        assert!(!refused.field("csrf_token").is_empty(), "with a fresh form");
    }
    for header in
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none", "Origin: http://app.test", "Origin: null"]
    {
        let head = format!("POST /_foregate/login\nCookie: {}\n{header}", mine.header());
        let body = format!("username=alice&password=correct+horse&csrf_token={token}");
        assert_eq!(client.send(&head, &body).await.status, 403, "{header}");
    }
    let second_tab = client.visit("/_foregate/login", &mine).await;
    assert!(second_tab.all("set-cookie").is_empty(), "the binding is kept, so both tabs work");
    assert_eq!(client.post("/_foregate/login", &mine, &fields(&token)).await.status, 303);
}

#[tokio::test]
async fn a_form_too_large_is_refused_before_anything_is_hashed() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (client, jar) = (proxy.client(), Jar::default());
    let just = format!("password={}", "x".repeat(16 * 1024 - 9));
    assert_eq!(client.send("POST /_foregate/login", &just).await.status, 403, "no token, but not too large");
    assert_eq!(client.send("POST /_foregate/login", &format!("{just}x")).await.status, 413);
    let mut jar = jar;
    assert_eq!(client.log_in(&mut jar, ("alice", &"x".repeat(2_000)), "").await.status, 401);
}

#[tokio::test]
async fn who_is_signed_in_is_sent_on_unless_they_want_to_be_somebody_else() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (client, jar) = (proxy.client(), proxy.logged_in(ALICE).await);
    let sent_on = client.visit("/_foregate/login?return_to=%2Fx%3Fy", &jar).await;
    assert_eq!((sent_on.status, sent_on.header("location")), (303, Some("/x?y")));
    for foreign in ["//evil.test", "https://evil.test", "/_foregate/logout", "/\\evil.test"] {
        let query = url::form_urlencoded::byte_serialize(foreign.as_bytes()).collect::<String>();
        let sent_on = client.visit(&format!("/_foregate/login?return_to={query}"), &jar).await;
        assert_eq!((sent_on.status, sent_on.header("location")), (303, Some("/")), "{foreign}");
    }
    assert_eq!(client.visit("/_foregate/login?again=1", &jar).await.status, 200);
}

const LIFETIMES: &str = "idle_timeout = \"1h\"\nabsolute_timeout = \"3h\"\n\
                         remember_idle_timeout = \"4h\"\nremember_absolute_timeout = \"12h\"";

/// A kind of session: remembered or not, and how many seconds it may be idle; it lives three times as long.
struct Kind {
    is_remembered: bool,
    idle: u64,
}

impl Kind {
    async fn begin(&self, proxy: &Proxy, user: (&str, &str)) -> Jar {
        if self.is_remembered { proxy.remembered(user).await } else { proxy.logged_in(user).await }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_idle_and_at_its_absolute_end_to_the_second_on_every_store() {
    let (upstream, folder, redis) = (upstream().await, tempfile::tempdir().unwrap(), RedisServer::start());
    let file = format!("url = \"file:{}/sessions.redb\"", folder.path().display());
    for store in ["url = \"memory:\"".to_owned(), file, format!("url = \"{}\"", redis.url())] {
        for kind in [Kind { is_remembered: false, idle: 3_600 }, Kind { is_remembered: true, idle: 14_400 }] {
            let proxy = proxy(&upstream).store(&store).session(LIFETIMES).start();
            it_ends_when_idle(&proxy, &kind, &store).await;
            it_ends_although_it_is_used(&proxy, &kind, &store).await;
            proxy.stopped().await;
        }
    }
}

async fn it_ends_when_idle(proxy: &Proxy, kind: &Kind, store: &str) {
    let jar = kind.begin(proxy, ALICE).await;
    for _ in 0..2 {
        proxy.clock.advance(Duration::from_secs(kind.idle - 1));
        use_it(proxy, &jar, store).await;
    }
    proxy.clock.advance(Duration::from_secs(kind.idle));
    assert_eq!(proxy.client().get("/", &jar).await.status, 401, "{store}");
}

async fn it_ends_although_it_is_used(proxy: &Proxy, kind: &Kind, store: &str) {
    let jar = kind.begin(proxy, BOB).await;
    let (step, absolute) = (kind.idle * 7 / 12, kind.idle * 3);
    for _ in 0..5 {
        proxy.clock.advance(Duration::from_secs(step));
        use_it(proxy, &jar, store).await;
    }
    proxy.clock.advance(Duration::from_secs(absolute - 5 * step - 1));
    use_it(proxy, &jar, store).await;
    proxy.clock.advance(Duration::from_secs(1));
    assert_eq!(proxy.client().get("/", &jar).await.status, 401, "used or not: {store}");
}

/// A request that counts as use. That is recorded off the answer's path; waits until it is.
async fn use_it(proxy: &Proxy, jar: &Jar, store: &str) {
    let recorded = || proxy.count("foregate_store_seconds_count{operation=\"touch\"}");
    let before = recorded();
    assert_eq!(proxy.client().get("/", jar).await.status, 200, "{store}");
    let waited = Stopwatch::start();
    while recorded() == before {
        assert!(waited.elapsed() < Duration::from_secs(10), "the use is not recorded: {store}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_session_ends_to_the_second_whatever_redis_keeps() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let store = format!("url = \"{}\"", redis.url());
    let start = || proxy(&upstream).store(&store).session(LIFETIMES).start();
    let ends_after = async |proxy: &Proxy, jar: &Jar, seconds: u64, reasons: [&str; 2]| {
        persist(&redis);
        proxy.clock.advance(Duration::from_secs(seconds - 1));
        use_it(proxy, jar, &store).await;
        proxy.clock.advance(Duration::from_secs(1));
        let [event, reason] = reasons;
        assert_eq!(proxy.client().get("/", jar).await.status, 401, "{event} {reason}");
        assert_eq!(proxy.events(event).last().unwrap()["reason"], reason);
    };

    let proxy = start();
    let jar = proxy.logged_in(ALICE).await;
    for _ in 0..4 {
        proxy.clock.advance(Duration::from_secs(2_500));
        use_it(&proxy, &jar, &store).await;
    }
    ends_after(&proxy, &jar, 800, ["expired", "absolute"]).await;

    // No session lives longer than a remembered one: the cookie's own age ends it, and the store is not asked.
    let proxy = start();
    let jar = proxy.remembered(ALICE).await;
    for _ in 0..4 {
        proxy.clock.advance(Duration::from_secs(10_000));
        use_it(&proxy, &jar, &store).await;
    }
    ends_after(&proxy, &jar, 3_200, ["cookie_refused", "aged"]).await;

    let proxy = start();
    for (jar, idle) in [(proxy.logged_in(ALICE).await, 3_600), (proxy.remembered(BOB).await, 14_400)] {
        persist(&redis);
        proxy.clock.advance(Duration::from_secs(idle));
        assert_eq!(proxy.client().get("/", &jar).await.status, 401);
        assert_eq!(proxy.events("expired").last().unwrap()["reason"], "idle");
    }
}

/// Takes Redis's own time to live away: the rule is the proxy's clock.
fn persist(redis: &RedisServer) {
    for key in redis.cli(&["--scan", "--pattern", "session:*"]).lines() {
        redis.cli(&["PERSIST", key]);
    }
}

#[tokio::test]
async fn sessions_outlive_the_proxy_and_a_restart_of_redis_with_persistence() {
    let upstream = upstream().await;
    let mut redis = RedisServer::builder().appendonly().start();
    let store = format!("url = \"{}\"", redis.url());
    let first = proxy(&upstream).store(&store).start();
    let jar = first.logged_in(ALICE).await;
    drop(first);
    redis.kill();
    redis.restart();
    let second = proxy(&upstream).store(&store).start();
    assert_eq!(second.client().get("/", &jar).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_a_file_outlive_restarts_and_end_to_the_second() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("url = \"file:{}/sessions.redb\"", folder.path().display());
    let start = |later: u64| {
        let keys = "idle_timeout = \"1h\"\nabsolute_timeout = \"3h\"";
        let proxy = proxy(&upstream).store(&store).session(keys).start();
        proxy.clock.advance(Duration::from_secs(later));
        proxy
    };
    let status = async |proxy: &Proxy, jar: &Jar| proxy.client().get("/", jar).await.status;

    let first = start(0);
    let (idle, busy) = (first.logged_in(ALICE).await, first.logged_in(BOB).await);
    first.clock.advance(Duration::from_secs(3_590));
    assert_eq!(status(&first, &idle).await, 200);
    assert_eq!(status(&first, &busy).await, 200);
    first.stopped().await;

    let second = start(3_590 + 3_590);
    use_it(&second, &busy, "a use outlives a restart").await;
    second.clock.advance(Duration::from_secs(11));
    assert_eq!(status(&second, &idle).await, 401, "idle for an hour and a second");
    second.clock.advance(Duration::from_secs(3_400));
    assert_eq!(status(&second, &busy).await, 200);
    second.stopped().await;

    let third = start(3 * 3_600 - 10);
    assert_eq!(status(&third, &busy).await, 200);
    third.clock.advance(Duration::from_secs(11));
    assert_eq!(status(&third, &busy).await, 401, "used or not");
    let copied = third.logged_in(ALICE).await;
    assert_eq!(third.client().log_out(&mut copied.clone()).await.status, 303);
    third.stopped().await;
    assert_eq!(status(&start(3 * 3_600 + 1), &copied).await, 401, "a logout outlives a restart");
}

/// The answer once the store is back: within a second or so.
async fn when_back(client: &Client, jar: &Jar) -> u16 {
    let started = Stopwatch::start();
    loop {
        let status = client.get("/", jar).await.status;
        if status != 503 || started.elapsed() > Duration::from_secs(3) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn while_redis_is_away_nobody_is_let_in_and_nobody_logged_out() {
    let upstream = upstream().await;
    let mut redis = RedisServer::start();
    let proxy = proxy(&upstream)
        .route("/", "")
        .route("/public", "access = \"public\"")
        .store(&format!("url = \"{}\"", redis.url()))
        .start();
    let (client, mut jar) = (proxy.client(), Jar::default());
    client.log_in(&mut jar, ALICE, "").await;
    let record = {
        client.get("/", &jar).await;
        record_of(&redis, &handle(&upstream))
    };
    let token = client.visit("/_foregate/logout", &jar).await.field("csrf_token");
    redis.kill();

    let refused = client.get("/", &jar).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").unwrap().parse::<u32>().is_ok());
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert!(refused.all("set-cookie").is_empty());
    assert!(refused.body.contains("store-unavailable"));
    assert_eq!(client.get("/public", &jar).await.status, 200);
    assert_eq!(client.get("/", &Jar::default()).await.status, 401, "no cookie needs no store");

    let page = client.visit("/_foregate/logout", &jar).await;
    assert_eq!(page.status, 503);
    let out = client.post("/_foregate/logout", &jar, &[("csrf_token", &token)]).await;
    assert_eq!(out.status, 503, "never: you are logged out");
    assert!(out.all("set-cookie").is_empty());
    let login = client.log_in(&mut Jar::default(), ALICE, "").await;
    assert_eq!(login.status, 503);
    assert!(login.header("retry-after").is_some());

    redis.restart();
    redis.cli(&["SET", &record.0, &record.1]);
    assert_eq!(when_back(&client, &jar).await, 200, "the same cookie is still good");
    assert_eq!(proxy.events("store_unavailable").len(), 1, "said once");
    assert_eq!(proxy.events("store_recovered").len(), 1);
}

#[tokio::test]
async fn a_proxy_starts_without_redis_and_finds_it_later() {
    let upstream = upstream().await;
    let mut redis = RedisServer::start();
    redis.kill();
    let proxy = proxy(&upstream)
        .route("/", "")
        .route("/public", "access = \"public\"")
        .store(&format!("url = \"{}\"", redis.url()))
        .start();
    let client = proxy.client();
    assert_eq!(client.get("/public", &Jar::default()).await.status, 200);
    assert_eq!(client.log_in(&mut Jar::default(), ALICE, "").await.status, 503);
    redis.restart();
    let started = Stopwatch::start();
    let mut jar = Jar::default();
    while client.log_in(&mut jar, ALICE, "").await.status == 503 {
        assert!(started.elapsed() < Duration::from_secs(3), "it recovers by itself");
    }
    assert_eq!(client.get("/", &jar).await.status, 200);
}

#[tokio::test]
async fn a_strict_cookie_comes_on_the_second_navigation() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).section("[session.cookie]\nsame_site = \"strict\"").start();
    let client = proxy.client();
    let head = "GET /page?x=1\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\nSec-Fetch-Site: ";
    let first = client.send(&format!("{head}cross-site"), "").await;
    assert_eq!(first.status, 200);
    assert!(
        first.body.contains("http-equiv=\"refresh\"") && first.body.contains("/page?x=1"),
        "{}",
        first.body
    );
    let second = client.send(&format!("{head}same-origin"), "").await;
    assert_eq!(second.status, 303);
}
