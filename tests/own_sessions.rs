//! Users see where they are signed in, and end what is theirs.

use std::time::Duration;

use serde_json::Value;

use crate::support::client::{Answer, Client, Jar};
use crate::support::proxy::{ALICE, BOB, FIREFOX, Proxy, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::upstream;

const SESSION: &str = "/_foregate/session";
const REVOKE: &str = "/_foregate/session/revoke";
const NAVIGATION: &str = "Sec-Fetch-Mode: navigate\nSec-Fetch-Site: same-origin";

async fn told(client: &Client, jar: &Jar) -> Value {
    let answer = client.get(SESSION, jar).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    serde_json::from_str(&answer.body).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Ends what `field` says, as the page's form does.
async fn revoke(client: &Client, jar: &Jar, field: (&str, &str)) -> Answer {
    let token = told(client, jar).await;
    client.post(REVOKE, jar, &[("csrf_token", text(&token["csrf_token"])), field]).await
}

async fn is_signed_in(proxy: &Proxy, jar: &Jar) -> bool {
    proxy.client().get("/", jar).await.status == 200
}

/// A login a second after the one before, from a browser of that name.
async fn signed_in_with(proxy: &Proxy, user: (&str, &str), agent: &str) -> Jar {
    proxy.clock.advance(Duration::from_secs(1));
    proxy.logged_in_from(agent, user).await
}

#[tokio::test]
async fn users_see_their_own_sessions_and_no_others_the_latest_use_first() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let desk = signed_in_with(&proxy, ALICE, FIREFOX).await;
    signed_in_with(&proxy, BOB, FIREFOX).await;
    let phone = signed_in_with(&proxy, ALICE, "<script>alert(1)</script>").await;

    let seen = told(&proxy.client(), &desk).await;
    let sessions = seen["sessions"].as_array().unwrap();
    let of = |key: &str| sessions.iter().map(|session| session[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("current"), [false, true]);
    assert_eq!(of("device"), ["Unknown device", "Firefox on Linux"]);
    assert_eq!(of("user_agent"), ["<script>alert(1)</script>", FIREFOX]);
    assert_eq!(of("address"), ["127.0.0.1", "127.0.0.1"]);
    assert_eq!(sessions[1]["handle"], seen["handle"]);
    assert!(text(&sessions[0]["last_seen_at"]) > text(&sessions[1]["last_seen_at"]));

    let page = proxy.client().visit(SESSION, &phone).await.body;
    for said in
        ["2 sessions", "Firefox on Linux", "Sign out there", "Sign out everywhere else", "this browser"]
    {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("<script>"), "{page}");
}

#[tokio::test]
async fn whoever_is_signed_in_once_is_offered_no_others_to_end() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let jar = proxy.logged_in(ALICE).await;
    let page = proxy.client().visit(SESSION, &jar).await.body;
    assert!(!page.contains("<form") && page.contains("Sign out</a>"), "{page}");
}

#[tokio::test]
async fn one_session_is_ended_and_all_others_are() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    for store in ["url = \"memory:\"".to_owned(), format!("url = \"{}\"", redis.url())] {
        let proxy = proxy(&upstream).store(&store).start();
        let (client, bob) = (proxy.client(), proxy.logged_in(BOB).await);
        let desk = signed_in_with(&proxy, ALICE, FIREFOX).await;
        let phone = signed_in_with(&proxy, ALICE, FIREFOX).await;
        let tablet = signed_in_with(&proxy, ALICE, FIREFOX).await;

        let handle = text(&told(&client, &phone).await["handle"]).to_owned();
        let ended = revoke(&client, &desk, ("handle", &handle)).await;
        assert_eq!((ended.status, ended.header("location")), (303, Some(SESSION)), "{store}");
        assert!(ended.all("set-cookie").is_empty());
        assert!(!is_signed_in(&proxy, &phone).await && is_signed_in(&proxy, &tablet).await, "{store}");
        let again = revoke(&client, &desk, ("handle", &handle)).await;
        assert_eq!(again.status, 303, "who is faster is no error: {store}");

        let ended = revoke(&client, &desk, ("scope", "others")).await;
        assert_eq!((ended.status, ended.header("location")), (303, Some(SESSION)), "{store}");
        assert!(!is_signed_in(&proxy, &tablet).await && is_signed_in(&proxy, &desk).await, "{store}");
        assert!(is_signed_in(&proxy, &bob).await, "{store}");

        let told = proxy.events("revoked");
        let facts = |event: &Value| {
            [&event["reason"], &event["user"], &event["address"]].map(|fact| text(fact).to_owned())
        };
        assert_eq!(told.iter().map(facts).collect::<Vec<_>>(), vec![["user", "alice", "127.0.0.1"]; 2]);
        assert!(told.iter().all(|event| event["request_id"].is_string()), "{told:?}");
        proxy.stopped().await;
    }
}

#[tokio::test]
async fn ending_the_own_session_signs_out_here() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let jar = proxy.logged_in(ALICE).await;
    let handle = text(&told(&proxy.client(), &jar).await["handle"]).to_owned();
    let ended = revoke(&proxy.client(), &jar, ("handle", &handle)).await;
    assert_eq!((ended.status, ended.header("location")), (303, Some("/_foregate/login?signed_out=1")));
    assert!(ended.all("set-cookie").iter().any(|line| line.contains("Max-Age=0")), "{ended:#?}");
    assert!(!is_signed_in(&proxy, &jar).await);
}

#[tokio::test]
async fn anothers_session_is_as_unknown_as_none() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (client, alice, bob) = (proxy.client(), proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    let bobs = text(&told(&client, &bob).await["handle"]).to_owned();
    let mut answers = Vec::new();
    for handle in [bobs.as_str(), "AAAAAAAAAAAAAAAAAAAAAA"] {
        let answer = revoke(&client, &alice, ("handle", handle)).await;
        answers.push((answer.status, answer.header("location").map(str::to_owned), answer.body));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, 303);
    assert!(is_signed_in(&proxy, &bob).await && proxy.events("revoked").is_empty());
}

#[tokio::test]
async fn only_the_pages_own_form_ends_anything() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (client, alice, bob) = (proxy.client(), proxy.logged_in(ALICE).await, proxy.logged_in(BOB).await);
    let other = proxy.logged_in(ALICE).await;
    let token = text(&told(&client, &alice).await["csrf_token"]).to_owned();
    let stolen = text(&told(&client, &bob).await["csrf_token"]).to_owned();

    for origin in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Origin: https://evil.test",
        "Origin: null",
    ] {
        let head = format!("POST {REVOKE}\nCookie: {}\n{origin}", alice.header());
        let refused = client.send(&head, &format!("csrf_token={token}&scope=others")).await;
        assert_eq!(refused.status, 403, "{origin}");
    }
    for token in ["", "x", stolen.as_str()] {
        let fields = [("csrf_token", token), ("scope", "others")];
        assert_eq!(client.post(REVOKE, &alice, &fields).await.status, 403, "{token}");
    }
    for fields in [
        &[][..],
        &[("scope", "all")],
        &[("handle", "short")],
        &[("handle", "AAAAAAAAAAAAAAAAAAAAAA"), ("scope", "others")],
    ] {
        let fields = [&[("csrf_token", token.as_str())][..], fields].concat();
        assert_eq!(client.post(REVOKE, &alice, &fields).await.status, 400, "{fields:?}");
    }
    let got = client.get(REVOKE, &alice).await;
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    assert!(is_signed_in(&proxy, &other).await && proxy.events("revoked").is_empty());
}

#[tokio::test]
async fn without_a_session_a_person_is_sent_to_the_login_and_a_script_is_refused() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let client = proxy.client();
    let person = client.send(&format!("POST {REVOKE}\n{NAVIGATION}"), "scope=others").await;
    assert_eq!((person.status, person.header("location")), (303, Some("/_foregate/login")));
    let script = client.post(REVOKE, &Jar::default(), &[("scope", "others")]).await;
    assert_eq!((script.status, script.header("location")), (401, None));
}

#[tokio::test]
async fn what_cannot_be_ended_is_not_said_to_be() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start());
    let proxy = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let (client, alice) = (proxy.client(), proxy.logged_in(ALICE).await);
    let token = text(&told(&client, &alice).await["csrf_token"]).to_owned();
    redis.kill();
    let head = format!("POST {REVOKE}\nCookie: {}\n{NAVIGATION}", alice.header());
    let refused = client.send(&head, &format!("csrf_token={token}&scope=others")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert!(refused.body.contains("may still be signed in"), "{}", refused.body);
    assert!(refused.all("set-cookie").is_empty());
    assert_eq!(client.get(SESSION, &alice).await.status, 503);

    assert!(proxy.events("revoked").is_empty());
}

#[tokio::test]
async fn of_very_many_sessions_those_that_began_last_are_shown_and_the_one_that_asks() {
    let upstream = upstream().await;
    let unlimited = "[login]\nattempts_per_client = \"off\"\nattempts_per_user = \"off\"";
    let proxy = proxy(&upstream).section(unlimited).start();
    let first = signed_in_with(&proxy, ALICE, FIREFOX).await;
    assert_eq!(told(&proxy.client(), &first).await["more"], false);
    for _ in 0..101 {
        signed_in_with(&proxy, ALICE, FIREFOX).await;
    }
    let seen = told(&proxy.client(), &first).await;
    let sessions = seen["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &seen["more"]), (101, &Value::Bool(true)));
    assert_eq!((&sessions[0]["handle"], &sessions[0]["current"]), (&seen["handle"], &Value::Bool(true)));
    assert!(proxy.client().visit(SESSION, &first).await.body.contains("there are others"));

    assert_eq!(revoke(&proxy.client(), &first, ("scope", "others")).await.status, 303);
    assert_eq!(told(&proxy.client(), &first).await["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_applications_cookies_end_with_their_users_session() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).section("[cookies]\nexempt = [\"theme\"]").start();
    let client = proxy.client();
    let mut jar = proxy.logged_in(ALICE).await;
    jar.0.extend(
        [("basket", "7"), ("theme", "dark")].map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let ended = |answer: &Answer| -> Vec<String> {
        let lines = answer.all("set-cookie").into_iter().filter(|line| line.contains("Max-Age=0"));
        lines.map(|line| line.split('=').next().unwrap().to_owned()).collect()
    };
    let mut same = jar.clone();
    let again = client.log_in(&mut same, ALICE, "").await;
    assert_eq!((again.status, ended(&again)), (303, Vec::new()), "the same user goes on");
    let other = client.log_in(&mut same, BOB, "").await;
    assert_eq!((other.status, ended(&other)), (303, vec!["basket".to_owned()]));
    same.0.push(("basket".to_owned(), "8".to_owned()));
    let out = client.log_out(&mut same).await;
    assert_eq!(ended(&out), ["__Host-session", "basket"]);
    let line = out.all("set-cookie").into_iter().find(|line| line.starts_with("basket=")).unwrap();
    assert_eq!(line, "basket=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
}
