//! Attempts to log in: how many, whose, and what happens beyond.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::client::{Answer, Client, Jar};
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::{Upstream, upstream};

const LOGIN: &str = "/_foregate/login";
const BROWSER: &str = "__Host-foregate-browser";
const WRONG: &str = "wrong";

/// One of the two limits alone.
const BY_USER: &str = "[login]\nattempts_per_client = \"off\"";
const BY_CLIENT: &str = "[login]\nattempts_per_user = \"off\"";

/// A browser at an address, as a trusted proxy tells it.
struct Visitor {
    client: Client,
    address: String,
    jar: Jar,
    token: String,
}

impl Visitor {
    async fn at(address: &str, proxy: &Proxy) -> Self {
        Self::with(Jar::default(), address, proxy).await
    }

    /// With the cookies of `jar`.
    async fn with(mut jar: Jar, address: &str, proxy: &Proxy) -> Self {
        let client = proxy.client();
        let form = client.visit("/_foregate/login?again=1", &jar).await;
        jar.take(&form);
        Self { client, address: address.to_owned(), jar, token: form.field("csrf_token") }
    }

    /// Sends the form as a browser does; cookies that come back are left.
    async fn tries(&self, user: &str, password: &str) -> Answer {
        self.sends("Sec-Fetch-Mode: navigate\nSec-Fetch-Site: same-origin", user, password).await
    }

    async fn sends(&self, headers: &str, user: &str, password: &str) -> Answer {
        let fields = [("username", user), ("password", password), ("csrf_token", &self.token)];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let (cookies, address) = (self.jar.header(), &self.address);
        let head = format!(
            "POST {LOGIN}\nCookie: {cookies}\nOrigin: https://{HOST}\nX-Forwarded-For: {address}\n{headers}"
        );
        self.client.send(&head, &body).await
    }

    /// The statuses of so many wrong passwords in a row.
    async fn fails(&self, user: &str, times: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..times {
            statuses.push(self.tries(user, WRONG).await.status);
        }
        statuses
    }
}

/// A proxy that believes what it is told of addresses.
fn start(upstream: &Upstream, login: &str) -> Proxy {
    proxy(upstream).server("trusted_proxies = [\"127.0.0.1\"]").section(login).start()
}

fn counted(proxy: &Proxy, result: &str) -> u64 {
    proxy.count(&format!("foregate_login_attempts_total{{result=\"{result}\"}}"))
}

#[tokio::test]
async fn beyond_the_limit_every_attempt_gets_the_same_answer_and_nobody_looks_at_it() {
    let upstream = upstream().await;
    let proxy = start(&upstream, BY_USER);
    let visitor = Visitor::at("192.0.2.1", &proxy).await;
    let mut answers = Vec::new();
    for (user, right) in [ALICE, ("nobody", "as good as any")] {
        assert_eq!(visitor.fails(user, 5).await, [401; 5], "{user}");
        for password in [WRONG, right] {
            let answer = visitor.tries(user, password).await;
            assert_eq!(answer.status, 429);
            assert!(
                answer.body.contains("role=\"alert\"") && answer.body.contains(&format!("value=\"{user}\""))
            );
            assert!(!answer.body.contains(password) || password == WRONG);
            let alike = |text: &str| text.replace(user, "USER").replace(&answer.field("csrf_token"), "TOKEN");
            let mut headers = answer.headers.clone();
            headers.retain(|(name, _)| !["x-request-id", "date", "content-length"].contains(&name.as_str()));
            answers.push((headers, alike(&answer.body)));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert!(answers[0].0.contains(&("retry-after".to_owned(), "12".to_owned())), "{answers:#?}");
    assert_eq!((counted(&proxy, "refused"), counted(&proxy, "limited")), (10, 4));
    assert_eq!(proxy.events("login_failed").len(), 10);
    let limited = proxy.events("login_limited");
    assert_eq!(limited.len(), 4);
    let told = &limited[0];
    assert_eq!((&told["user"], &told["reason"]), (&"alice".into(), &"user".into()));
    assert_eq!((&told["address"], told["request_id"].is_string()), (&"192.0.2.1".into(), true));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_place_comes_back_after_each_interval() {
    let upstream = upstream().await;
    let proxy = start(&upstream, BY_USER);
    let visitor = Visitor::at("192.0.2.1", &proxy).await;
    assert_eq!(visitor.fails("alice", 6).await, [401, 401, 401, 401, 401, 429]);
    proxy.clock.advance(Duration::from_millis(11_500));
    let answer = visitor.tries("alice", WRONG).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
    proxy.clock.advance(Duration::from_millis(500));
    assert_eq!(visitor.fails("alice", 2).await, [401, 429]);
    proxy.clock.advance(Duration::from_secs(12));
    assert_eq!(visitor.tries(ALICE.0, ALICE.1).await.status, 303);
}

#[tokio::test]
async fn however_a_name_is_spelled_it_counts_for_one_user() {
    let upstream = upstream().await;
    let proxy = start(&upstream, BY_USER);
    let visitor = Visitor::at("192.0.2.1", &proxy).await;
    for spelled in ["alice", "Alice", "ALICE", " alice ", "\u{2003}alice\t"] {
        assert_eq!(visitor.fails(spelled, 1).await, [401], "{spelled:?}");
    }
    for spelled in ["alice", "aLICE", "alice\n"] {
        assert_eq!(visitor.fails(spelled, 1).await, [429], "{spelled:?}");
    }
    assert_eq!(visitor.fails("bob", 1).await, [401]);
}

#[tokio::test]
async fn one_client_has_its_number_whatever_names_it_tries() {
    let upstream = upstream().await;
    let proxy = start(&upstream, BY_CLIENT);
    for (client, same, other) in [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::1"),
    ] {
        let visitor = Visitor::at(client, &proxy).await;
        for number in 0..20 {
            assert_eq!(visitor.fails(&format!("user{number}"), 1).await, [401]);
        }
        let answer = visitor.tries(ALICE.0, ALICE.1).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("3")), "{client}");
        assert_eq!(Visitor::at(same, &proxy).await.fails("bob", 1).await, [429], "{same}");
        assert_eq!(Visitor::at(other, &proxy).await.fails("bob", 1).await, [401], "{other}");
    }
    assert!(proxy.events("login_limited").iter().all(|event| event["reason"] == "client"));
}

/// Nobody is told by a header who is not believed.
#[tokio::test]
async fn a_client_does_not_get_another_number_by_another_header() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).section(BY_CLIENT).start();
    for number in 0..20 {
        let visitor = Visitor::at(&format!("192.0.2.{number}"), &proxy).await;
        assert_eq!(visitor.fails(&format!("user{number}"), 1).await, [401]);
    }
    assert_eq!(Visitor::at("192.0.2.99", &proxy).await.fails("bob", 1).await, [429]);
}

#[tokio::test]
async fn a_success_is_no_failure_and_clears_nobody_elses() {
    let upstream = upstream().await;
    let proxy = start(&upstream, "");
    for _ in 0..30 {
        assert_eq!(Visitor::at("192.0.2.1", &proxy).await.tries(ALICE.0, ALICE.1).await.status, 303);
    }
    let guesser = Visitor::at("192.0.2.1", &proxy).await;
    for number in 0..20 {
        assert_eq!(guesser.fails(&format!("user{number}"), 1).await, [401]);
        if number < 19 {
            assert_eq!(guesser.tries(ALICE.0, ALICE.1).await.status, 303);
        }
    }
    assert_eq!(guesser.tries(ALICE.0, ALICE.1).await.status, 429);
}

#[tokio::test]
async fn nobody_is_locked_out_of_the_browser_that_they_use() {
    let upstream = upstream().await;
    let proxy = start(&upstream, "");
    let address = "192.0.2.1";
    let mut of_alice = Visitor::at(address, &proxy).await;
    let login = of_alice.tries(ALICE.0, ALICE.1).await;
    let cookie = login.all("set-cookie").into_iter().find(|line| line.starts_with(BROWSER)).unwrap();
    let (_, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=15552000");
    of_alice.jar.take(&login);

    let attacker = Visitor::at(address, &proxy).await;
    for user in ["alice", "bob", "carol", "dave", "eve"] {
        attacker.fails(user, 5).await;
    }
    assert_eq!(attacker.tries(ALICE.0, ALICE.1).await.status, 429);
    assert_eq!(of_alice.tries(ALICE.0, ALICE.1).await.status, 303);
    assert_eq!(of_alice.tries("Alice", WRONG).await.status, 401, "and so it is however she spells it");

    assert_eq!(of_alice.tries(BOB.0, BOB.1).await.status, 429, "it is known for her account alone");
    assert_eq!(of_alice.fails("alice", 5).await, [401, 401, 401, 401, 429], "and has a limit of its own");
    assert_eq!(proxy.events("login_limited").last().unwrap()["reason"], "browser");
}

#[tokio::test]
async fn a_known_browser_stays_the_one_it_is_and_is_signed_in_by_nothing_but_a_password() {
    let upstream = upstream().await;
    let proxy = start(&upstream, BY_USER);
    let mut visitor = Visitor::at("192.0.2.1", &proxy).await;
    visitor.jar.take(&visitor.tries(ALICE.0, ALICE.1).await);
    let id = |jar: &Jar| jar.value(BROWSER).unwrap().split('.').next().unwrap().to_owned();
    let first = visitor.jar.clone();
    assert_eq!(visitor.fails("alice", 3).await, [401; 3]);
    proxy.clock.advance(Duration::from_secs(1));
    visitor.jar.take(&visitor.tries(ALICE.0, ALICE.1).await);
    assert_eq!(id(&visitor.jar), id(&first), "a login is no way to another bucket");
    assert_ne!(visitor.jar.value(BROWSER), first.value(BROWSER), "but lengthens its life");
    assert_eq!(visitor.fails("alice", 3).await, [401, 401, 429]);

    assert_eq!(proxy.client().get("/", &visitor.jar).await.status, 200);
    assert_eq!(upstream.last().header("cookie"), None, "it is no business of the application's");
    let alone = Jar(vec![(BROWSER.to_owned(), visitor.jar.value(BROWSER).unwrap().to_owned())]);
    assert_eq!(proxy.client().get("/", &alone).await.status, 401);
    let as_session = Jar(vec![("__Host-session".to_owned(), visitor.jar.value(BROWSER).unwrap().to_owned())]);
    assert_eq!(proxy.client().get("/", &as_session).await.status, 401);
}

#[tokio::test]
async fn a_browser_is_known_by_our_signature_for_this_host_within_half_a_year() {
    let upstream = upstream().await;
    let proxy = start(&upstream, BY_USER);
    let alice = proxy.logged_in(ALICE).await;
    let value = alice.value(BROWSER).unwrap().to_owned();
    assert_eq!(Visitor::at("192.0.2.1", &proxy).await.fails("alice", 5).await, [401; 5]);
    let with = |value: &str| Jar(vec![(BROWSER.to_owned(), value.to_owned())]);
    let mut forged = value.clone().into_bytes();
    forged[0] ^= 1;
    let session = alice.session().to_owned();
    for other in [String::from_utf8(forged).unwrap(), session, String::new(), "a.b.c".to_owned()] {
        let visitor = Visitor::with(with(&other), "192.0.2.1", &proxy).await;
        assert_eq!(visitor.tries(ALICE.0, ALICE.1).await.status, 429, "{other}");
    }
    let known = Visitor::with(with(&value), "192.0.2.1", &proxy).await;
    assert_eq!(known.tries(ALICE.0, ALICE.1).await.status, 303);
    proxy.clock.advance(Duration::from_secs(180 * 86_400 + 1));
    let stranger = Visitor::at("192.0.2.1", &proxy).await;
    assert_eq!(stranger.fails("alice", 5).await, [401; 5]);
    let aged = Visitor::with(with(&value), "192.0.2.1", &proxy).await;
    assert_eq!(aged.tries(ALICE.0, ALICE.1).await.status, 429);
}

#[tokio::test]
async fn a_script_is_told_by_a_problem() {
    let upstream = upstream().await;
    let proxy = start(&upstream, BY_USER);
    let visitor = Visitor::at("192.0.2.1", &proxy).await;
    assert_eq!(visitor.fails("alice", 5).await, [401; 5]);
    let answer = visitor.sends("Accept: application/json", "alice", WRONG).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("12")));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["type"], "urn:foregate:problem:too-many-requests");
    let old_browser = visitor.sends("Accept: text/html,*/*", "alice", WRONG).await;
    assert_eq!((old_browser.status, old_browser.header("retry-after")), (429, Some("12")));
    assert!(old_browser.body.contains("role=\"alert\""));
}

#[tokio::test]
async fn what_is_off_counts_nothing() {
    let upstream = upstream().await;
    let login = "[login]\nattempts_per_client = \"off\"\nattempts_per_user = \"off\"";
    let proxy = start(&upstream, login);
    let visitor = Visitor::at("192.0.2.1", &proxy).await;
    assert_eq!(visitor.fails("alice", 30).await, [401; 30]);
    let login = visitor.tries(ALICE.0, ALICE.1).await;
    assert_eq!(login.status, 303);
}

#[tokio::test]
async fn a_form_that_is_not_ours_counts_for_nobody() {
    let upstream = upstream().await;
    let proxy = start(&upstream, BY_USER);
    let mut forger = Visitor::at("192.0.2.1", &proxy).await;
    forger.token = "made-up".to_owned();
    assert_eq!(forger.fails("alice", 10).await, [403; 10]);
    let large = "x".repeat(16 * 1024);
    let visitor = Visitor::at("192.0.2.1", &proxy).await;
    for _ in 0..10 {
        assert_eq!(visitor.tries("alice", &large).await.status, 413);
    }
    assert_eq!(visitor.fails("alice", 5).await, [401; 5]);
}

/// Two proxies on one Redis.
fn two(redis: &RedisServer, upstream: &Upstream, login: &str) -> [Proxy; 2] {
    let start = || {
        let keys = format!("url = \"{}\"\ncommand_timeout = \"10s\"", redis.url());
        let proxy = proxy(upstream).server("trusted_proxies = [\"127.0.0.1\"]");
        proxy.store(&keys).section(login).start()
    };
    [start(), start()]
}

/// So many wrong passwords at once, over both proxies; `name` gives the nth its user.
async fn rush(proxies: &[Proxy; 2], times: usize, name: impl Fn(usize) -> String) -> Vec<u16> {
    let mut attempts = JoinSet::new();
    for number in 0..times {
        let visitor = Visitor::at("192.0.2.1", &proxies[number % 2]).await;
        let user = name(number);
        attempts.spawn(async move { visitor.tries(&user, WRONG).await.status });
    }
    attempts.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_at_once_on_two_proxies_as_many_are_looked_at_as_may_be() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let per_user =
        two(&redis, &upstream, "[login]\nattempts_per_client = \"off\"\nattempts_per_user = \"5/h\"");
    let statuses = rush(&per_user, 200, |_| "alice".to_owned()).await;
    let refused = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!((refused, statuses.iter().filter(|status| **status == 429).count()), (5, 195));
    assert_eq!(per_user.iter().map(|proxy| counted(proxy, "refused")).sum::<u64>(), 5);

    let per_client =
        two(&redis, &upstream, "[login]\nattempts_per_client = \"20/h\"\nattempts_per_user = \"5/h\"");
    let statuses = rush(&per_client, 200, |number| format!("user{number}")).await;
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 20);
    assert_eq!(per_client.iter().map(|proxy| counted(proxy, "refused")).sum::<u64>(), 20);
}

#[tokio::test]
async fn who_reads_redis_learns_no_name_and_nothing_stays_there() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let [proxy, other] = two(&redis, &upstream, "");
    let monitor = redis.monitor();
    let visitor = Visitor::at("192.0.2.1", &proxy).await;
    assert_eq!(visitor.fails("Tr0ub4dor-and-3", 1).await, [401], "somebody types a password for a name");
    let keys = redis.cli(&["--scan", "--pattern", "session-rate:*"]);
    let mut keys: Vec<&str> = keys.lines().collect();
    keys.sort_unstable();
    let [client, user] = keys[..] else { panic!("{keys:?}") };
    for (key, scope, interval) in
        [(client, "session-rate:client:", 3_000), (user, "session-rate:user:", 12_000)]
    {
        assert_eq!(key.strip_prefix(scope).unwrap().len(), 22, "{key}");
        let life: i64 = redis.cli(&["PTTL", key]).parse().unwrap();
        assert!((1..=interval).contains(&life), "{key} lives on for {life} ms");
    }
    redis.cli(&["FLUSHALL"]);
    assert_eq!(Visitor::at("192.0.2.1", &other).await.tries(ALICE.0, ALICE.1).await.status, 303);
    assert_eq!(redis.cli(&["--scan", "--pattern", "session-rate:*"]), "", "a success leaves nothing");
    let seen = monitor.commands();
    assert!(seen.iter().all(|command| !command.to_lowercase().contains("tr0ub4dor")), "{seen:#?}");
    let counting: Vec<_> = seen.iter().filter(|command| command.contains("session-rate:")).collect();
    assert!(
        !counting.is_empty() && counting.iter().all(|command| !command.contains("192.0.2.1")),
        "{seen:#?}"
    );
}

#[tokio::test]
async fn where_nobody_can_count_nobody_is_let_in() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start());
    let [proxy, _other] = two(&redis, &upstream, "");
    let visitor = Visitor::at("192.0.2.1", &proxy).await;
    assert_eq!(visitor.fails("alice", 5).await, [401; 5]);
    redis.stop();
    for password in [WRONG, ALICE.1] {
        let answer = visitor.tries("alice", password).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
        assert!(answer.all("set-cookie").is_empty() && answer.body.contains("role=\"alert\""));
    }
    assert_eq!((counted(&proxy, "refused"), counted(&proxy, "unavailable")), (5, 2));
    assert!(proxy.events("login").is_empty());
}

#[tokio::test]
async fn a_key_that_somebody_else_wrote_is_an_empty_or_a_full_bucket_and_no_outage() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let [proxy, _other] = two(&redis, &upstream, BY_USER);
    let visitor = Visitor::at("192.0.2.1", &proxy).await;
    assert_eq!(visitor.fails("alice", 1).await, [401]);
    let key = redis.cli(&["--scan", "--pattern", "session-rate:*"]);
    for (garbage, expected) in
        [("x", 401), ("nan", 401), ("-1e300", 401), ("", 401), ("1e300", 429), ("inf", 429)]
    {
        redis.cli(&["SET", &key, garbage]);
        let answer = visitor.tries("alice", WRONG).await;
        assert_eq!(answer.status, expected, "{garbage}");
        assert!(expected == 401 || answer.header("retry-after") == Some("12"), "{answer:#?}");
    }
    redis.cli(&["DEL", &key]);
    redis.cli(&["LPUSH", &key, "a list"]);
    assert_eq!(visitor.fails("alice", 1).await, [401]);
}
