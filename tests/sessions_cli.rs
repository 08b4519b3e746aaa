//! `foregate sessions`: with and without a proxy that runs.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::client::Jar;
use crate::support::command::{Outcome, run};
use crate::support::proxy::{ALICE, BOB, FIREFOX, Proxy, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::upstream;

const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// `foregate sessions ARGS` beside the proxy's configuration.
async fn sessions(folder: &Path, args: &[&str]) -> Outcome {
    let folder = folder.to_owned();
    let args: Vec<String> = ["sessions"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run(&folder, &args, "")
    });
    ran.await.unwrap()
}

fn json(outcome: &Outcome) -> Value {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

async fn is_signed_in(proxy: &Proxy, jar: &Jar) -> bool {
    proxy.client().get("/", jar).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_list_show_count_and_end_sessions_in_every_store() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    for store in ["memory:".to_owned(), "file:sessions.redb".to_owned(), redis.url()] {
        let proxy = proxy(&upstream).store(&format!("url = \"{store}\"")).start();
        let folder = proxy.folder();
        let (first, bob) = (proxy.logged_in_from(FIREFOX, ALICE).await, proxy.logged_in(BOB).await);
        let second = proxy.logged_in_from("\u{9b}31m\u{202e}", ALICE).await;

        let counted = sessions(folder, &["count"]).await;
        assert_eq!(
            (counted.code, counted.stdout.as_str(), counted.stderr.as_str()),
            (0, "3\n", ""),
            "{store}"
        );
        assert_eq!(json(&sessions(folder, &["count", "--json"]).await)["count"], 3, "{store}");
        let table = sessions(folder, &["list"]).await.stdout;
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(
            table.starts_with("HANDLE ") && table.contains("alice") && table.contains("Firefox on Linux")
        );
        let listed = sessions(folder, &["list", "--user", "alice", "--json"]).await;
        assert!(!listed.stdout.contains(['\u{9b}', '\u{202e}']), "{listed:?}");
        let alices = json(&listed);
        let handle_of = |agent: &str| {
            let mine = alices.as_array().unwrap().iter().find(|session| session["user_agent"] == agent);
            mine.unwrap_or_else(|| panic!("{alices}"))["handle"].as_str().unwrap().to_owned()
        };
        let handle = handle_of(FIREFOX);
        let shown = sessions(folder, &["show", &handle]).await;
        assert!(shown.stdout.contains("device            Firefox on Linux\n"), "{shown:?}");
        assert_eq!(json(&sessions(folder, &["show", &handle, "--json"]).await)["user"], "alice");
        let few = sessions(folder, &["list", "--limit", "1"]).await;
        assert!(few.stdout.lines().count() == 2 && few.stderr.contains("there may be more"), "{few:?}");

        let ended = sessions(folder, &["revoke", &handle]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "1 session ended\n"), "{ended:?}");
        let is_direct = store.starts_with("redis");
        assert_eq!(ended.stderr.contains("no proxy's audit log"), is_direct, "{ended:?}");
        assert_eq!(proxy.events("revoked").len(), usize::from(!is_direct), "{store}");
        while is_signed_in(&proxy, &first).await {
            tokio::task::yield_now().await;
        }
        for args in [&["revoke", &handle][..], &["show", UNKNOWN]] {
            let unknown = sessions(folder, args).await;
            assert!(unknown.code == 1 && unknown.stderr.contains("there is no session"), "{unknown:?}");
        }
        assert!(is_signed_in(&proxy, &second).await && is_signed_in(&proxy, &bob).await, "{store}");
        let ended = sessions(folder, &["revoke", "--user", "alice", "--json"]).await;
        assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap()["revoked"], 1, "{ended:?}");
        let ended = sessions(folder, &["revoke", "--all", "--yes"]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "1 session ended\n"), "{ended:?}");
        let ended = sessions(folder, &["revoke", "--user", "alice"]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "no session was there to end\n"), "{ended:?}");
        assert_eq!(sessions(folder, &["list"]).await.stdout, "");
        proxy.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_redis_are_reached_without_a_proxy_and_those_of_a_proxy_are_not() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start());
    let setup = proxy(&upstream).store(&format!("url = \"{}\"", redis.url()));
    let proxy = setup.start();
    proxy.logged_in(ALICE).await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["proxy.toml", "users.toml"] {
        std::fs::copy(proxy.folder().join(name), folder.path().join(name)).unwrap();
    }
    proxy.stopped().await;
    let listed = json(&sessions(folder.path(), &["list", "--json"]).await);
    assert_eq!(listed[0]["user"], "alice");
    redis.kill();
    for args in [&["list"][..], &["count"], &["revoke", UNKNOWN], &["revoke", "--all", "--yes"]] {
        let away = sessions(folder.path(), args).await;
        assert!(away.code == 3 && away.stderr.contains("the store does not answer"), "{args:?}: {away:?}");
        assert_eq!(away.stdout, "");
    }

    let config = std::fs::read_to_string(folder.path().join("proxy.toml")).unwrap();
    let config = config.replace(&redis.url(), "memory:");
    std::fs::write(folder.path().join("proxy.toml"), &config).unwrap();
    let nobody = sessions(folder.path(), &["list"]).await;
    assert!(
        nobody.code == 3
            && nobody.stderr.contains("foregate.sock")
            && nobody.stderr.contains("is it running"),
        "{nobody:?}"
    );
    let off = config.replace("[server]\n", "[server]\nadmin_socket = \"off\"\n");
    std::fs::write(folder.path().join("proxy.toml"), off).unwrap();
    let off = sessions(folder.path(), &["list"]).await;
    assert!(off.code == 2 && off.stderr.contains("server.admin_socket is off"), "{off:?}");
}

#[tokio::test]
async fn a_command_that_could_end_too_much_is_refused() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let jar = proxy.logged_in(ALICE).await;
    for (args, says) in [
        (&["revoke"][..], "required"),
        (&["revoke", "--all"], "pass --yes"),
        (&["revoke", "--all", "--json"], "pass --yes"),
        (&["revoke", "--all", "--user", "alice", "--yes"], "cannot be used with"),
        (&["revoke", UNKNOWN, "--all", "--yes"], "cannot be used with"),
        (&["revoke", "short"], "22 characters"),
        (&["list", "--limit", "0"], "1..=10000"),
    ] {
        let refused = sessions(proxy.folder(), args).await;
        assert!(refused.code == 2 && refused.stderr.contains(says), "{args:?}: {refused:?}");
    }
    assert!(is_signed_in(&proxy, &jar).await);
}

/// What `foregate sessions COMMAND` says on a terminal on which `typed` is typed, and its exit code.
fn on_a_terminal(folder: &Path, command: &str, typed: &str) -> (i32, String) {
    let script = format!(
        "printf '{typed}\\n' | script --quiet --return --command '{} sessions {command}' /dev/null",
        env!("CARGO_BIN_EXE_foregate")
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder).env("TERM", "xterm").env_remove("FOREGATE_CONFIG");
    let output = shell.stdin(Stdio::null()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_all_is_asked_for_and_tables_fit() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let (folder, jar) = (proxy.folder(), proxy.logged_in(ALICE).await);
    let (code, listed) = on_a_terminal(folder, "list", "");
    assert!(code == 0 && listed.contains("HANDLE"), "{listed}");
    assert!(listed.lines().all(|line| line.chars().count() <= 80), "{listed}");
    let (code, declined) = on_a_terminal(folder, "revoke --all", "n");
    assert!(code == 1 && declined.contains("[y/N]") && declined.contains("nothing was ended"), "{declined}");
    assert!(is_signed_in(&proxy, &jar).await);
    let (code, ended) = on_a_terminal(folder, "revoke --all", "y");
    assert!(code == 0 && ended.contains("1 session ended"), "{ended}");
    assert!(!is_signed_in(&proxy, &jar).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_it_is_is_told_to_whoever_watches_and_nobody_else() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let setup = proxy(&upstream).store(&format!("url = \"{}\"", redis.url()));
    let folder = setup.write().parent().unwrap().to_owned();
    let many = "for i = 1, 3000 do redis.call('SET', 'session:' .. string.format('%021dA', i), 'x') end";
    redis.cli(&["EVAL", many, "0"]);
    let (code, counted) = on_a_terminal(&folder, "count", "");
    assert!(code == 0 && counted.contains(" counted\r\u{1b}[K3000\r\n"), "{counted:?}");
    let (code, counted) = on_a_terminal(&folder, "count --json", "");
    assert!(code == 0 && !counted.contains('\u{1b}') && counted.contains("{\"count\":3000}"), "{counted:?}");
    let silent = sessions(&folder, &["count"]).await;
    assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), ("3000\n", ""));
    let (code, ended) = on_a_terminal(&folder, "revoke --all --yes", "");
    assert!(code == 0 && ended.contains(" ended\r\u{1b}[K"), "{ended:?}");
    assert!(ended.contains("3000 sessions ended"), "garbage goes with the rest: {ended:?}");
}
