//! The command line, as people and scripts meet it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::client::{Client, Jar};
use crate::support::command::{Running, foregate, run};
use crate::support::proxy::{ALICE, HOST, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::upstream;

#[test]
fn the_demo_needs_nothing_and_its_lines_work_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Running::start(foregate(folder.path(), &["demo", "--listen", "127.0.0.1:0"]));
    let script = demo.said("Ctrl-C ends the demo");
    let rows: usize = script.lines().map(|line| line.chars().count().div_ceil(80).max(1)).sum();
    assert!(rows <= 23, "one screen of 80 by 24, with a line to type in: {rows}\n{script}");
    let fingerprint = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(folder.path().join("certs/localhost.crt"))
        .output()
        .unwrap();
    let fingerprint = String::from_utf8(fingerprint.stdout).unwrap();
    assert!(script.contains(fingerprint.trim().split('=').nth(1).unwrap()), "{script}");

    let answers: Vec<String> = script
        .lines()
        .filter(|line| line.starts_with("  curl") || line.starts_with("  sh"))
        .map(|line| {
            let output = Command::new("sh").args(["-c", line]).current_dir(folder.path()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    let [refused, public, tour] = answers.as_slice() else { panic!("{script}") };
    assert!(refused.starts_with("HTTP/2 401") && refused.contains("login-required"), "{refused}");
    assert!(public.contains("x-forwarded-proto") && !public.contains("x-forwarded-user"), "{public}");
    let steps: Vec<&str> = tour.split("\n--- ").skip(1).collect();
    let [login, received, logout, copy] = steps.as_slice() else { panic!("{tour}") };
    assert!(login.contains("HTTP/2 303") && login.contains("__Host-session="), "{login}");
    assert!(received.contains("\"x-forwarded-user\": \"alice\""), "{received}");
    assert!(!received.contains("\"cookie\""), "{received}");
    assert!(logout.contains("HTTP/2 303") && logout.contains("signed_out=1"), "{logout}");
    assert!(copy.contains("HTTP/2 401") && copy.contains("login-required"), "{copy}");

    let config = script.lines().find_map(|line| line.trim().strip_prefix("config  ")).unwrap();
    let temporary = Path::new(config).parent().unwrap();
    assert!(temporary.is_dir());
    demo.signal("INT");
    assert_eq!(demo.ended(), Some(0));
    assert!(!temporary.exists(), "what it wrote is removed");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["certs"]);
}

#[test]
fn the_demo_is_for_this_machine_only() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), &["demo", "--listen", "0.0.0.0:0"], "");
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("127.0.0.1:PORT"), "{outcome:?}");
}

#[test]
fn a_secret_is_64_hexadecimal_digits() {
    let folder = tempfile::tempdir().unwrap();
    let secret = run(folder.path(), &["secret"], "").stdout;
    assert!(secret.len() == 65 && secret.trim_end().chars().all(|c| c.is_ascii_hexdigit()), "{secret}");
    assert_ne!(secret, run(folder.path(), &["secret"], "").stdout);
}

#[test]
fn a_password_is_read_from_a_line_and_its_hash_printed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), &["password"], "correct horse\n");
    assert_eq!(outcome.code, 0);
    assert!(outcome.stdout.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{outcome:?}");
    assert_eq!(outcome.stdout.lines().count(), 1);
    assert_eq!(run(folder.path(), &["password"], "\n").code, 2);
}

#[test]
fn an_htpasswd_file_is_checked_but_left_to_its_own_tool() {
    let folder = tempfile::tempdir().unwrap();
    let text = "alice:$apr1$Qn0jdJEl$lYNjmhx1H4A1f6zNM1o8J.\n";
    std::fs::write(folder.path().join("people"), text).unwrap();
    for (args, input) in
        [(["add", "bob"], "lion\n"), (["passwd", "alice"], "lion\n"), (["remove", "alice"], "")]
    {
        let refused = run(folder.path(), &[&["users", "--file", "people"], &args[..]].concat(), input);
        assert_eq!((refused.code, refused.stderr.lines().count()), (2, 1), "{refused:?}");
        assert!(
            refused.stderr.contains("people is an htpasswd file, which foregate reads but does not change")
        );
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("people")).unwrap(), text);
}

#[test]
fn users_are_kept_in_a_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let users = |args: &[&str], input: &str| {
        run(folder.path(), &[&["users", "--file", "people.toml"], args].concat(), input)
    };
    let added = users(
        &["add", "alice", "--email", "a@example.com", "--group", "staff", "--group", "admins"],
        "tiger\n",
    );
    assert_eq!((added.code, added.stderr.as_str()), (0, ""), "{added:?}");
    let path = folder.path().join("people.toml");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(users(&["add", "bob"], "lion\n").code, 0);
    let again = users(&["add", "alice"], "x\n");
    assert!(again.code == 2 && again.stderr.contains("users passwd alice"), "{again:?}");

    let before = fs::read_to_string(&path).unwrap();
    assert_eq!(users(&["passwd", "alice"], "puma\n").code, 0);
    assert_ne!(fs::read_to_string(&path).unwrap(), before);
    let disabled = users(&["disable", "bob"], "");
    assert!(disabled.code == 0 && disabled.stdout.contains("sessions revoke --user bob"), "{disabled:?}");
    let listed = users(&["list", "--json"], "");
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed[0]["user"], "alice");
    assert_eq!(listed[0]["groups"], serde_json::json!(["staff", "admins"]));
    assert_eq!((&listed[1]["user"], &listed[1]["disabled"]), (&"bob".into(), &true.into()));
    assert_eq!(users(&["enable", "bob"], "").code, 0);
    let removed = users(&["remove", "alice"], "");
    assert!(removed.code == 0 && removed.stdout.contains("sessions revoke --user alice"), "{removed:?}");
    assert_eq!(users(&["list"], "").stdout.trim(), "bob");
    let nobody = users(&["remove", "alice"], "");
    assert!(nobody.code == 2 && nobody.stderr.contains("foregate users list"), "{nobody:?}");
}

#[test]
fn users_are_found_by_the_configuration_wherever_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("my.toml"), SMALL).unwrap();
    let add = run(folder.path(), &["--config", "my.toml", "users", "add", "alice"], "tiger\n");
    assert_eq!((add.code, add.stderr.as_str()), (0, ""), "{add:?}");
    let list = run(folder.path(), &["users", "list", "--config", "my.toml"], "");
    assert_eq!((list.code, list.stdout.trim()), (0, "alice"), "{list:?}");
    assert!(folder.path().join("users.toml").exists());
}

#[test]
fn without_a_configuration_the_way_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["run", "check"] {
        let outcome = run(folder.path(), &[command], "");
        assert_eq!(outcome.code, 2);
        assert_eq!(outcome.stderr, "no proxy.toml: try 'foregate demo', or pass --config FILE\n");
    }
    assert_eq!(run(folder.path(), &["--config", "none.toml"], "").code, 2);
    assert_eq!(run(folder.path(), &["no-such-command"], "").code, 2);
}

const SMALL: &str = "mode = \"development\"\n[server]\nhttps = [\"127.0.0.1:0\"]\nhttp = []\nadmin = \"off\"\n\
    [tls]\nself_signed = [\"localhost\"]\n[session.store]\nurl = \"memory:\"\n\
    [upstream.app]\nservers = [\"http://127.0.0.1:9\"]\n[[route]]\nupstream = \"app\"\n";

#[test]
fn check_says_all_that_is_wrong_at_once_and_nothing_where_all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    fs::write(&path, SMALL).unwrap();
    let good = run(folder.path(), &["check"], "");
    assert!(good.code == 0 && good.stdout.starts_with("proxy.toml: ok\n"), "{good:?}");
    assert_eq!(good.stderr, "no users yet: foregate users add NAME\n");

    fs::write(&path, SMALL.replace("https", "htps").replace("memory:", "memry:") + "\n[sesion]\n").unwrap();
    let bad = run(folder.path(), &["check"], "");
    assert_eq!(bad.code, 2);
    assert_eq!(bad.stderr.lines().filter(|line| line.contains(": error: ")).count(), 3, "{}", bad.stderr);
    assert!(bad.stderr.contains("did you mean \"https\"?"), "{}", bad.stderr);
    let json = run(folder.path(), &["check", "--json"], "");
    let outcome: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &outcome["ok"]), (2, &false.into()));
    assert_eq!(outcome["checks"][0]["status"], "fail");
    assert!(outcome["checks"][0]["fix"].as_str().unwrap().contains("did you mean"));
}

#[test]
fn check_says_what_is_no_default_and_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("proxy.toml"), SMALL).unwrap();
    let check = |args: &[&str]| {
        let mut command = foregate(folder.path(), args);
        command.env("FOREGATE__SESSION__IDLE_TIMEOUT", "2h").env("SESSION_COOKIE_NAME", "sid");
        command.env("SECRET_KEY", "hunter2 hunter2 hunter2 hunter2 hunter2");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let told = check(&["check"]);
    assert!(told.starts_with("proxy.toml: ok\nvalues that are not defaults:\n"), "{told}");
    for line in [
        "mode = \"development\"|proxy.toml:1:8",
        "server.http = []|proxy.toml:4:8",
        "session.idle_timeout = 2h|FOREGATE__SESSION__IDLE_TIMEOUT",
        "session.cookie.name = sid|SESSION_COOKIE_NAME",
        "session.secret = [redacted]|SECRET_KEY",
    ] {
        let (value, origin) = line.split_once('|').unwrap();
        let is_it = |line: &str| line.trim().starts_with(value) && line.ends_with(&format!("  {origin}"));
        assert!(told.lines().any(is_it), "{line}\n{told}");
    }
    let json = check(&["check", "--json"]);
    let outcome: serde_json::Value = serde_json::from_str(&json).unwrap();
    let expected = serde_json::json!({
        "key": "session.idle_timeout", "value": "2h", "origin": "FOREGATE__SESSION__IDLE_TIMEOUT"
    });
    assert!(outcome["values"].as_array().unwrap().contains(&expected), "{json}");
    assert!(!told.contains("hunter2") && !json.contains("hunter2"), "{told}{json}");
}

#[test]
fn what_cannot_be_used_ends_the_start_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |name: &str| {
        let (key, cert) = (format!("{name}.key"), format!("{name}.crt"));
        let args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let subject = ["-subj", "/CN=x", "-addext", "subjectAltName=DNS:app.test", "-days", "2"];
        let mut command = Command::new("openssl");
        command.args(args).args(subject).args(["-keyout", &key, "-out", &cert]).current_dir(folder.path());
        let made = command.output().unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    openssl("one");
    openssl("two");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("https = [\"{}\"]", taken.local_addr().unwrap());
    let production =
        SMALL.replace("mode = \"development\"\n", "").replace("self_signed = [\"localhost\"]", "");
    let pair = |cert: &str, key: &str| {
        SMALL.replace(
            "[tls]\nself_signed = [\"localhost\"]",
            &format!("[[tls.certificate]]\ncert = \"{cert}\"\nkey = \"{key}\""),
        )
    };
    for (text, complaint, way_out) in [
        (
            SMALL.replace("https = [\"127.0.0.1:0\"]", &taken),
            "cannot listen on 127.0.0.1",
            "choose another port",
        ),
        (pair("one.crt", "two.key"), "one.crt does not fit the key in", "each certificate goes with the key"),
        (pair("one.crt", "none.key"), "cannot read", "must exist and be readable"),
        (pair("one.key", "one.key"), "one.key", "BEGIN CERTIFICATE"),
        (
            SMALL.replace("[session.store]", "[session]\nsecret = \"short\"\n[session.store]"),
            "session.secret",
            "foregate secret",
        ),
        (production, "session.secret", "foregate secret"),
    ] {
        fs::write(folder.path().join("proxy.toml"), &text).unwrap();
        let outcome = run(folder.path(), &["run"], "");
        assert_eq!(outcome.code, 2, "{text}: {outcome:?}");
        assert!(outcome.stderr.contains(complaint) && outcome.stderr.contains(way_out), "{outcome:?}");
    }
}

#[test]
fn pages_of_ones_own_are_tried_by_a_check_and_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let text = SMALL.replace("[session.store]", "[login]\ntemplates = \"pages\"\n[session.store]");
    fs::write(folder.path().join("proxy.toml"), text).unwrap();
    fs::create_dir(folder.path().join("pages")).unwrap();
    assert_eq!(run(folder.path(), &["check"], "").code, 0);
    fs::write(folder.path().join("pages/problem.html"), "<h1>{{ heading }}</h1>\n{{ reqest_id }}").unwrap();
    fs::write(folder.path().join("pages/logout.html"), "<p>{{ user }}</p>").unwrap();
    for command in ["check", "run"] {
        let outcome = run(folder.path(), &[command], "");
        assert_eq!(outcome.code, 2, "{outcome:?}");
        for fault in ["pages/problem.html:2: error: undefined value", "pages/logout.html:1: error: lacks"] {
            assert!(outcome.stderr.contains(fault), "{command}: {outcome:?}");
        }
    }
}

#[test]
fn a_file_of_sessions_serves_one_process_and_is_not_made_by_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let text = SMALL.replace("memory:", "file:state/sessions.redb");
    fs::write(folder.path().join("proxy.toml"), &text).unwrap();
    assert_eq!(run(folder.path(), &["check"], "").code, 0);
    assert!(!folder.path().join("state").exists());
    let mut running = Running::start(foregate(folder.path(), &["run"]));
    running.logged("serving https");
    assert_eq!(run(folder.path(), &["check"], "").code, 0, "a check does not ask for the file");
    let second = run(folder.path(), &["run"], "");
    assert_eq!(second.code, 2);
    assert!(second.stderr.contains("state/sessions.redb is in use by another foregate"), "{second:?}");
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0));

    fs::write(folder.path().join("state/sessions.redb"), "no database").unwrap();
    let damaged = run(folder.path(), &["run"], "");
    assert!(damaged.code == 2 && damaged.stderr.contains("move it away"), "{damaged:?}");
    fs::write(folder.path().join("proxy.toml"), text.replace("state/", "proxy.toml/")).unwrap();
    let nowhere = run(folder.path(), &["check"], "");
    assert!(nowhere.code == 2 && nowhere.stderr.contains("must be writable"), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_a_kill_and_the_program_ends_well_when_told() {
    let upstream = upstream().await;
    let redis = RedisServer::start();
    let setup = proxy(&upstream).store(&format!("url = \"{}\"", redis.url()));
    let config = setup.write();
    let folder = config.parent().unwrap();
    let start = || {
        let mut running = Running::start(foregate(folder, &["run", "--config", config.to_str().unwrap()]));
        let log = running.logged("serving https");
        let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        let address = line["address"].as_str().unwrap().parse().unwrap();
        (running, Client::new(address, &folder.join(format!("certs/{HOST}.crt"))))
    };
    let (mut first, client) = start();
    let mut jar = Jar::default();
    assert_eq!(client.log_in(&mut jar, ALICE, "").await.status, 303);
    first.signal("KILL");
    assert_eq!(first.ended(), None);

    let (mut second, client) = start();
    assert_eq!(client.get("/", &jar).await.status, 200, "the same cookie still works");
    second.signal("TERM");
    assert_eq!(second.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_at_any_level_holds_a_secret() {
    let upstream = upstream().await;
    let redis = RedisServer::builder().password("redis-password-in-the-url").start();
    let url = redis.url();
    let setup = proxy(&upstream).store(&format!("url = \"{url}\"")).section("[log]\nlevel = \"trace\"");
    let config = setup.write();
    let folder = config.parent().unwrap();
    let mut running = Running::start(foregate(folder, &["run", "--config", config.to_str().unwrap()]));
    let log = running.logged("serving https");
    let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let address = line["address"].as_str().unwrap().parse().unwrap();
    let client = Client::new(address, &folder.join(format!("certs/{HOST}.crt")));
    let mut jar = Jar::default();
    client.log_in(&mut jar, (ALICE.0, "a-wrong-password"), "").await;
    client.log_in(&mut jar, ALICE, "").await;
    let cookies = jar.header();
    assert_eq!(client.get("/?query-with-a-secret", &jar).await.status, 200);
    client.log_out(&mut jar).await;
    redis.cli(&["PING"]);
    running.signal("TERM");
    let log = log + &running.rest();
    assert!(log.contains("\"event\":\"revoked\""), "{log}");
    let mut secrets = vec!["redis-password-in-the-url", "a-wrong-password", ALICE.1, "query-with-a-secret"];
    secrets.extend(cookies.split(['=', ';', '.']).filter(|part| part.len() > 40));
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
