//! The API: over the admin socket alone, and as its own description says.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admin;
use crate::support::client::{Answer, Jar, parse};
use crate::support::proxy::{ALICE, BOB, FIREFOX, Proxy, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::{Upstream, answer, upstream};

const SESSIONS: &str = "/api/v1/sessions";
const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// What the admin socket answers.
pub(crate) async fn ask(proxy: &Proxy, method: &str, path: &str) -> Answer {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = proxy.folder().join("foregate.sock");
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    parse(&text)
}

pub(crate) fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:#?}"))
}

async fn get(proxy: &Proxy, path: &str) -> Value {
    let answer = ask(proxy, "GET", path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:#?}");
    json(&answer)
}

async fn is_signed_in(proxy: &Proxy, jar: &Jar) -> bool {
    proxy.client().get("/", jar).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_counted_and_ended_in_every_store() {
    let (upstream, folder, redis) = (upstream().await, tempfile::tempdir().unwrap(), RedisServer::start());
    let file = format!("url = \"file:{}/sessions.redb\"", folder.path().display());
    for store in ["url = \"memory:\"".to_owned(), file, format!("url = \"{}\"", redis.url())] {
        let proxy = proxy(&upstream).store(&store).start();
        let (first, bob) = (proxy.logged_in_from(FIREFOX, ALICE).await, proxy.logged_in(BOB).await);
        proxy.clock.advance(std::time::Duration::from_secs(1));
        let second = proxy.logged_in(ALICE).await;

        assert_eq!(get(&proxy, &format!("{SESSIONS}/count")).await["count"], 3, "{store}");
        assert_eq!(get(&proxy, SESSIONS).await.as_array().unwrap().len(), 3, "{store}");
        assert_eq!(get(&proxy, &format!("{SESSIONS}?limit=2")).await.as_array().unwrap().len(), 2, "{store}");
        let alices = get(&proxy, &format!("{SESSIONS}?user=alice")).await;
        assert_eq!(alices[1]["device"], "Firefox on Linux", "the latest use comes first: {store}");
        assert_eq!((&alices[1]["user"], &alices[1]["address"]), (&"alice".into(), &"127.0.0.1".into()));
        let handle = alices[1]["handle"].as_str().unwrap();
        assert_eq!(get(&proxy, &format!("{SESSIONS}/{handle}")).await, alices[1]);
        assert_eq!(get(&proxy, &format!("{SESSIONS}?user=nobody")).await, Value::Array(Vec::new()));

        let ended = ask(&proxy, "DELETE", &format!("{SESSIONS}/{handle}")).await;
        assert_eq!((ended.status, &json(&ended)["revoked"]), (200, &1.into()), "{store}");
        assert!(!is_signed_in(&proxy, &first).await && is_signed_in(&proxy, &second).await, "{store}");
        let revoked = proxy.events("revoked");
        assert_eq!((&revoked[0]["reason"], &revoked[0]["user"]), (&"admin".into(), &"alice".into()));
        assert_eq!(revoked[0]["request_id"], ended.header("x-request-id").unwrap());

        let ended = ask(&proxy, "DELETE", &format!("{SESSIONS}?user=alice")).await;
        assert_eq!(json(&ended)["revoked"], 1, "{store}");
        assert!(!is_signed_in(&proxy, &second).await && is_signed_in(&proxy, &bob).await, "{store}");
        let ended = ask(&proxy, "DELETE", &format!("{SESSIONS}?all=true")).await;
        assert_eq!(json(&ended)["revoked"], 1, "{store}");
        assert!(!is_signed_in(&proxy, &bob).await, "{store}");
        assert_eq!(get(&proxy, &format!("{SESSIONS}/count")).await["count"], 0, "{store}");
        proxy.stopped().await;
    }
}

#[tokio::test]
async fn what_goes_wrong_is_a_problem() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start());
    let proxy = proxy(&upstream).store(&format!("url = \"{}\"", redis.url())).start();
    let jar = proxy.logged_in(ALICE).await;
    for (method, path, status) in [
        ("GET", format!("{SESSIONS}/{UNKNOWN}"), 404),
        ("DELETE", format!("{SESSIONS}/{UNKNOWN}"), 404),
        ("GET", "/api/v1/nothing".to_owned(), 404),
        ("GET", "/api/v1".to_owned(), 404),
        ("GET", "/api/v10/sessions".to_owned(), 404),
        ("DELETE", SESSIONS.to_owned(), 400),
        ("DELETE", format!("{SESSIONS}?all=true&user=alice"), 400),
        ("POST", SESSIONS.to_owned(), 405),
    ] {
        let answer = ask(&proxy, method, &path).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:#?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        assert_eq!(json(&answer)["request_id"], answer.header("x-request-id").unwrap());
    }
    assert!(is_signed_in(&proxy, &jar).await);
    redis.kill();
    for (method, path) in [("GET", SESSIONS), ("DELETE", "/api/v1/sessions?all=true")] {
        let away = ask(&proxy, method, path).await;
        assert_eq!((away.status, away.header("retry-after")), (503, Some("2")), "{method} {path}");
        assert_eq!(json(&away)["type"], "urn:foregate:problem:store-unavailable");
    }
    assert!(proxy.events("revoked").is_empty());
}

#[tokio::test]
async fn over_the_network_there_is_none() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    proxy.logged_in(ALICE).await;
    for path in
        [SESSIONS, "/api/v1/sessions/count", "/api/v1/findings", "/api/v1/traces", "/api/v1/openapi.json"]
    {
        assert_eq!(admin::get(&proxy, path).await.status, 404, "{path}");
        assert_eq!(proxy.client().get(path, &Jar::default()).await.status, 401, "{path}");
    }
    let deleted = admin::ask(&proxy, "DELETE /api/v1/sessions?all=true HTTP/1.1\r\nHost: localhost").await;
    assert_eq!((deleted.status, proxy.events("revoked").len()), (405, 0));
}

/// Whether `value` is what `schema` of the document says; what is wrong, where it is not.
pub(crate) fn misfit(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return misfit(document, document.pointer(&reference[1..]).unwrap(), value);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        kind => vec![kind.as_str().unwrap()],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !kinds.contains(&kind) {
        return Some(format!("{value} is none of {kinds:?}"));
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| misfit(document, &schema["items"], item)),
        Value::Object(members) if schema["additionalProperties"] == false => {
            let names: BTreeSet<&str> = members.keys().map(String::as_str).collect();
            let required = schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            if names != required.collect() {
                return Some(format!("members {names:?}"));
            }
            members.iter().find_map(|(name, value)| misfit(document, &schema["properties"][name], value))
        }
        _ => None,
    }
}

#[tokio::test]
async fn the_description_is_true() {
    let upstream = Upstream::answering(|_| answer("200 OK", &[("Set-Cookie", "a=1")], "")).await;
    let proxy = proxy(&upstream).start();
    let jar = proxy.logged_in(BOB).await;
    assert!(is_signed_in(&proxy, &jar).await, "and there is a finding");
    let document = get(&proxy, "/api/v1/openapi.json").await;
    let mut tried = 0;
    let paths = document["paths"].as_object().unwrap();
    // What they answer depends on what was traced before: `traces` tries them.
    for (path, operations) in paths.iter().filter(|(path, _)| !path.contains("/traces")) {
        for method in ["GET", "DELETE", "PUT", "POST", "PATCH"] {
            proxy.logged_in_from(FIREFOX, ALICE).await;
            let listed = get(&proxy, SESSIONS).await;
            let handle = listed[0]["handle"].as_str().unwrap();
            let query = if method == "DELETE" && path == SESSIONS { "?user=alice" } else { "" };
            let operation = &operations[method.to_lowercase()];
            for (handle, status) in [(handle, "200"), (UNKNOWN, "404")] {
                let answer = ask(&proxy, method, &(path.replace("{handle}", handle) + query)).await;
                if operation.is_null() {
                    assert_eq!(answer.status, 405, "{method} {path} is there and not described");
                    continue;
                }
                let expected = if path.contains("{handle}") { status } else { "200" };
                assert_eq!(answer.status.to_string(), expected, "{method} {path}: {answer:#?}");
                let content =
                    &operation["responses"][expected]["content"][answer.header("content-type").unwrap()];
                let wrong = misfit(&document, &content["schema"], &json(&answer));
                assert_eq!(wrong, None, "{method} {path}");
                tried += 1;
            }
            if let Some(parameters) = operation["parameters"].as_array() {
                for parameter in parameters {
                    let value = match &parameter["schema"]["enum"][0] {
                        Value::String(word) => word,
                        _ if parameter["name"] == "limit" => "1",
                        _ => "alice",
                    };
                    let answer = ask(
                        &proxy,
                        method,
                        &format!("{path}?{}={value}", parameter["name"].as_str().unwrap()),
                    )
                    .await;
                    assert_eq!(answer.status, 200, "{method} {path} {parameter}");
                }
            }
        }
    }
    assert_eq!(tried, 14);
}
