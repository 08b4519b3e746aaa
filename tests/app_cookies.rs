//! The cookies that applications set, over real sockets: what goes out of them, what comes back, and what is told.

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::sessions_api::{ask, json};
use crate::support::captured_log;
use crate::support::client::{Answer, Jar};
use crate::support::command::run;
use crate::support::proxy::{ALICE, HOST, Proxy, Setup, proxy};
use crate::support::upstream::{Received, Upstream, answer};
use crate::support::websocket::{asking, granting, read_head};

const FINDINGS: &str = "/api/v1/findings";

/// A cookie with every mistake that is one for itself.
const SLOPPY: &str = "sid=s3cret; Domain=app.test; Path=/shop";

/// What `[cookies]` makes of it.
const HARDENED: &str = "sid=s3cret; Path=/shop; SameSite=Lax; Secure; HttpOnly";

/// The cases of the list that stand in a header as they are, and that have nothing to do with our own: what is set,
/// and what goes out; `None` where nothing does.
fn cases() -> impl Iterator<Item = (String, Option<String>)> {
    let lines = include_str!("fixtures/set_cookies.txt").lines();
    let cases = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" => "));
    let whole = cases.filter(|(set, out)| !set.contains('\\') && !set.trim().is_empty() && *out != "ours");
    whole.map(|(set, out)| (expanded(set), (!out.starts_with("dropped: ")).then(|| expanded(out))))
}

/// `{N}` is N letters.
fn expanded(text: &str) -> String {
    let Some((before, rest)) = text.split_once('{') else { return text.to_owned() };
    let Some((number, after)) = rest.split_once('}') else { return text.to_owned() };
    match number.parse() {
        Ok(number) => format!("{before}{}{after}", "x".repeat(number)),
        Err(_) => text.to_owned(),
    }
}

/// An application that sets these cookies.
async fn setting(cookies: Vec<String>) -> Upstream {
    Upstream::answering(move |_| {
        let lines: Vec<(&str, &str)> = cookies.iter().map(|cookie| ("Set-Cookie", &**cookie)).collect();
        answer("200 OK", &lines, "hello")
    })
    .await
}

fn open_to_all(upstream: &Upstream, cookies: &str) -> Setup {
    proxy(upstream).route("/", "access = \"public\"").section(&format!("[cookies]\n{cookies}"))
}

async fn get(proxy: &Proxy, cookies: &str) -> Answer {
    proxy.client().send(&format!("GET /shop\nCookie: {cookies}"), "").await
}

async fn findings(proxy: &Proxy, query: &str) -> Vec<Value> {
    let answer = ask(proxy, "GET", &format!("{FINDINGS}{query}")).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    json(&answer).as_array().unwrap().clone()
}

#[tokio::test]
async fn hostile_cookies_come_out_as_the_list_says_each_on_a_line_of_its_own() {
    let (set, expected): (Vec<String>, Vec<Option<String>>) = cases().unzip();
    assert!(set.len() > 50, "{}", set.len());
    let expected: Vec<String> = expected.into_iter().flatten().collect();
    let upstream = setting(set).await;
    let proxy = open_to_all(&upstream, "").start();
    assert_eq!(get(&proxy, "a=1").await.all("set-cookie"), expected);

    let request = http::Request::get(format!("https://{HOST}/shop")).body(()).unwrap();
    let answer = proxy.client().send_h2(request, b"", None).await.unwrap();
    assert_eq!(answer.all("set-cookie"), expected, "by HTTP/2");
    proxy.stopped().await;
}

#[tokio::test]
async fn every_kind_of_answer_is_looked_at() {
    for status in ["200 OK", "204 No Content", "302 Found", "404 Not Found", "500 Internal Server Error"] {
        let upstream =
            Upstream::answering(move |_| answer(status, &[("set-COOKIE", SLOPPY), ("SET-cookie", "b")], ""))
                .await;
        let proxy = open_to_all(&upstream, "").start();
        let cookies = get(&proxy, "").await;
        assert_eq!(cookies.all("set-cookie"), [HARDENED, "=b; SameSite=Lax; Secure; HttpOnly"], "{status}");
    }
}

#[tokio::test]
async fn no_cookie_slips_by_before_an_answer_or_behind_it() {
    let upstream = Upstream::answering(|_| {
        format!(
            "HTTP/1.1 103 Early Hints\r\nSet-Cookie: {SLOPPY}\r\n\r\n\
             HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n\
             2\r\nhi\r\n0\r\nSet-Cookie: {SLOPPY}\r\n\r\n"
        )
        .into_bytes()
    })
    .await;
    let proxy = open_to_all(&upstream, "").start();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n");
    let all = proxy.client().raw(request).await;
    assert!(all.contains("\r\n\r\n2\r\nhi\r\n0\r\n"), "{all}");
    assert!(!all.to_ascii_lowercase().contains("set-cookie: "), "{all}");
}

#[tokio::test]
async fn a_websockets_101_is_an_answer_like_any_other() {
    let upstream = Upstream::talking(|_, mut line| async move {
        let head = granting();
        let planted = format!("Set-Cookie: {SLOPPY}\r\nSet-Cookie: __Host-session=x\r\n\r\n");
        line.send(head.trim_end().to_owned() + "\r\n" + &planted).await;
        line.ended().await;
    })
    .await;
    let rule = "[[cookies.rule]]\nname = \"sid\"\nhost_prefix = true";
    let proxy = proxy(&upstream).section(rule).start();
    let mut alice = proxy.logged_in(ALICE).await;
    alice.0.push(("__Host-sid".to_owned(), "mine".to_owned()));
    alice.0.push(("sid".to_owned(), "planted".to_owned()));
    let mut stream = proxy.client().connect(b"http/1.1").await;
    stream.write_all(asking("/chat", &alice).as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let set: Vec<&str> =
        head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie")).collect();
    assert_eq!(set.len(), 1, "{head}");
    assert!(set[0].ends_with("__Host-sid=s3cret; Path=/; SameSite=Lax; Secure; HttpOnly"), "{head}");
    assert_eq!(upstream.only().header("cookie").as_deref(), Some("sid=mine"));
}

#[tokio::test]
async fn a_cookie_goes_out_under_a_prefix_and_comes_back_without() {
    let upstream = setting(vec![SLOPPY.to_owned(), "other=1".to_owned()]).await;
    let rule = "\n[[cookies.rule]]\nname = \"sid\"\nhost_prefix = true\nmax_age = \"1h\"";
    let proxy = open_to_all(&upstream, rule).start();
    let answer = get(&proxy, "").await;
    let mut jar = Jar::default();
    jar.take(&answer);
    assert_eq!(jar.header(), "__Host-sid=s3cret; other=1");
    get(&proxy, &jar.header()).await;
    assert_eq!(upstream.last().header("cookie").as_deref(), Some("sid=s3cret; other=1"));

    // What another site under the same domain can plant has no prefix.
    for planted in
        ["sid=evil; __Host-sid=s3cret", "__Host-sid=s3cret; SID=evil", "s%69d=evil; __Host-sid=s3cret"]
    {
        get(&proxy, planted).await;
        assert_eq!(upstream.last().header("cookie").as_deref(), Some("sid=s3cret"), "{planted}");
    }
    let mut request = http::Request::get(format!("https://{HOST}/shop")).body(()).unwrap();
    for crumb in ["sid=evil", "a=1", "__Host-sid=s3cret"] {
        request.headers_mut().append("cookie", crumb.parse().unwrap());
    }
    proxy.client().send_h2(request, b"", None).await.unwrap();
    assert_eq!(upstream.last().header("cookie").as_deref(), Some("a=1; sid=s3cret"), "by HTTP/2");
    get(&proxy, "sid=evil").await;
    assert_eq!(upstream.last().header("cookie"), None);
}

#[tokio::test]
async fn an_age_is_cut_by_the_proxys_own_clock() {
    let upstream = setting(vec!["a=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT".to_owned()]).await;
    let proxy = open_to_all(&upstream, "\n[[cookies.rule]]\nname = \"a\"\nmax_age = \"30d\"").start();
    let cut = "a=1; Max-Age=2592000; SameSite=Lax; Secure; HttpOnly";
    assert_eq!(get(&proxy, "").await.all("set-cookie"), [cut]);
    proxy.clock.advance(std::time::Duration::from_secs(100 * 366 * 86_400));
    let gone = "a=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT; SameSite=Lax; Secure; HttpOnly";
    assert_eq!(get(&proxy, "").await.all("set-cookie"), [gone]);
}

#[tokio::test]
async fn report_changes_nothing_and_lists_what_enforce_would() {
    let (log, _guard) = captured_log();
    let rule = "\n[[cookies.rule]]\nname = \"sid\"\nhost_prefix = true\n";
    let set = [SLOPPY, "tab\tbed=1", "__Host-bad=1", "__Host-session=planted"].map(str::to_owned);
    let upstream = setting(set.to_vec()).await;
    let proxy = open_to_all(&upstream, &format!("mode = \"report\"{rule}")).start();
    for _ in 0..3 {
        let out = get(&proxy, "sid=1; __Host-sid=2").await;
        assert_eq!(out.all("set-cookie"), [SLOPPY, "tab\tbed=1", "__Host-bad=1"], "but for ours");
        assert_eq!(upstream.last().header("cookie").as_deref(), Some("sid=1; __Host-sid=2"));
    }

    let listed = findings(&proxy, "").await;
    let told: Vec<(&str, &str)> =
        listed.iter().map(|it| (it["subject"].as_str().unwrap(), it["change"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("__Host-bad", "dropped: does not hold what its prefix promises"),
            ("sid", "Domain removed"),
            ("sid", "HttpOnly added"),
            ("sid", "SameSite=Lax added"),
            ("sid", "Secure added"),
            ("sid", "goes out as __Host-NAME, with Path=/"),
            ("tab\tbed", "HttpOnly added"),
            ("tab\tbed", "SameSite=Lax added"),
            ("tab\tbed", "Secure added"),
        ]
    );
    for finding in &listed {
        assert_eq!((&finding["count"], &finding["outcome"]), (&3.into(), &"reported".into()), "{finding}");
        assert_eq!((&finding["policy"], &finding["application"]), (&"cookies".into(), &"app".into()));
    }
    assert_eq!(findings(&proxy, "?policy=csrf").await, [Value::Null; 0]);
    assert_eq!(proxy.count("foregate_policy_findings_total{policy=\"cookies\",application=\"app\"}"), 27);

    let log = log.text();
    // `tracing` may lose a line of one thread while another begins to capture its own.
    assert!(log.matches("a cookie would be put right").count() <= 9, "once each: {log}");
    assert!(!log.contains("s3cret") && !log.contains("tab\tbed"), "no value and no control character: {log}");
}

#[tokio::test]
async fn what_is_enforced_is_listed_and_what_is_good_is_not() {
    let good = "fine=1; Secure; HttpOnly; SameSite=Strict";
    let upstream = setting(vec![good.to_owned(), "csrftoken=1; Secure; SameSite=None".to_owned()]).await;
    let proxy = open_to_all(&upstream, "").start();
    get(&proxy, "").await;
    let listed = findings(&proxy, "?policy=cookies").await;
    let [finding] = &listed[..] else { panic!("one is good: {listed:#?}") };
    assert_eq!((&finding["subject"], &finding["change"]), (&"csrftoken".into(), &"made SameSite=Lax".into()));
    assert_eq!(finding["outcome"], "enforced");
}

#[tokio::test]
async fn off_and_exempt_leave_all_but_our_own_alone() {
    let odd = ["legacy=1;Domain=.app.test;;SameSite=None , x", "__Host-session=planted"].map(str::to_owned);
    for keys in ["mode = \"off\"", "exempt = [\"legacy*\"]"] {
        let upstream = setting(odd.to_vec()).await;
        let proxy = open_to_all(&upstream, keys).start();
        assert_eq!(get(&proxy, "").await.all("set-cookie"), [&odd[0]], "{keys}");
        assert_eq!(findings(&proxy, "").await, [Value::Null; 0], "{keys}");
    }
}

#[tokio::test]
async fn a_rule_is_for_its_hosts_alone() {
    let upstream = setting(vec!["a=1".to_owned()]).await;
    let rule = "\n[[cookies.rule]]\nname = \"a\"\nhost = \"*.shop.test\"\ndrop = true";
    let proxy = open_to_all(&upstream, rule).start();
    for (host, is_kept) in [("app.test", true), ("shop.test", true), ("eu.Shop.test:8443", false)] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = proxy.client().raw(request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(answer.contains("a=1; SameSite=Lax"), is_kept, "{host}: {answer}");
    }
}

/// On loopback browsers keep what is `Secure` by http, too, as they do with the session's cookie.
#[tokio::test]
async fn a_plain_listener_for_development_hands_out_what_https_does() {
    use tokio::io::AsyncReadExt;
    let upstream = setting(vec![SLOPPY.to_owned()]).await;
    let proxy = open_to_all(&upstream, "").server("plain = [\"127.0.0.1:0\"]").start();
    let mut stream = tokio::net::TcpStream::connect(proxy.plain.unwrap()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(HARDENED), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_read_the_findings_as_a_table_and_as_json() {
    let upstream = Upstream::answering(|request: &Received| {
        let cookie = if request.target() == "/none" { "" } else { "\u{9b}31m=1; Secure; HttpOnly" };
        let set: &[(&str, &str)] = if cookie.is_empty() { &[] } else { &[("Set-Cookie", cookie)] };
        answer("200 OK", set, "")
    })
    .await;
    let proxy = open_to_all(&upstream, "mode = \"report\"").start();
    let command = |args: &'static [&'static str]| {
        let folder = proxy.folder().to_owned();
        async move { tokio::task::spawn_blocking(move || run(&folder, args, "")).await.unwrap() }
    };
    let none = command(&["findings"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (0, ""), "{none:?}");
    assert!(none.stderr.contains("nothing was found"), "{none:?}");

    get(&proxy, "").await;
    let table = command(&["findings", "--policy", "cookies"]).await;
    assert_eq!((table.code, table.stderr.as_str()), (0, ""), "{table:?}");
    assert_eq!(
        table.stdout,
        "APPLICATION  ABOUT      CHANGE              OUTCOME   TIMES\n\
         app          \\u{9b}31m  SameSite=Lax added  reported  1\n"
    );
    let json = command(&["findings", "--json"]).await;
    assert!(!json.stdout.contains('\u{9b}'), "{json:?}");
    let listed: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&listed[0]["subject"], &listed[0]["count"]), (&"\u{9b}31m".into(), &1.into()));
    let others = command(&["findings", "--policy", "csrf", "--json"]).await;
    assert_eq!(others.stdout, "[]\n");
    assert_eq!(command(&["findings", "--policy", "other"]).await.code, 2);
    let folder = proxy.folder().to_owned();
    std::fs::remove_file(folder.join("foregate.sock")).unwrap();
    let away = command(&["findings"]).await;
    assert!(away.code == 3 && away.stderr.contains("nobody answers"), "{away:?}");
}
