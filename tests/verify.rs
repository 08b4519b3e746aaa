//! `foregate verify`: what passes, and that every check fails where a site is built to fail it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::authority::Authority;
use crate::support::command::{Outcome, Running, foregate, run};
use crate::support::proxy::{ALICE, HOST, proxy};
use crate::support::redis::RedisServer;
use crate::support::upstream::upstream;

/// A site of our own making that has one fault, or none.
struct Site {
    _running: Running,
    authority: Authority,
    folder: TempDir,
    https: String,
    http: String,
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify")
}

fn site(faults: &[&str]) -> Site {
    let mut command = Command::new("python3");
    command.arg(tests().join("site.py"));
    start(command, faults)
}

/// Flask-Session as its documentation begins.
fn flask() -> Site {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flask-session");
    let installed = Command::new(tests().join("flask-install")).arg(&folder).output().unwrap();
    assert!(installed.status.success(), "{installed:?}");
    let mut command = Command::new("python3");
    command.arg(tests().join("flask_app.py")).env("PYTHONPATH", folder.join("python"));
    start(command, &[])
}

fn start(mut command: Command, more: &[&str]) -> Site {
    let authority = Authority::new();
    let pair = authority.issue("localhost");
    let folder = tempfile::tempdir().unwrap();
    command.args([&pair.cert, &pair.key]).args(more).current_dir(folder.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command);
    let ports = running.said("\n");
    let (https, http) = ports.trim().split_once(' ').unwrap();
    Site {
        authority,
        folder,
        https: format!("https://localhost:{https}/"),
        http: format!("http://localhost:{http}/"),
        _running: running,
    }
}

impl Site {
    fn verify(&self, more: &[&str]) -> Outcome {
        let bundle = self.authority.bundle();
        let mut args = vec!["verify", &self.https, "--http", &self.http, "--connect", "127.0.0.1", "--json"];
        args.extend(["--ca", bundle.to_str().unwrap(), "--user", "alice"]);
        args.extend(more);
        run(self.folder.path(), &args, "correct horse\n")
    }
}

/// The ids of the checks that came to `status`.
fn with(outcome: &Outcome, status: &str) -> Vec<String> {
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"));
    let checks = told["checks"].as_array().unwrap();
    let fitting = checks.iter().filter(|check| check["status"] == status);
    fitting.map(|check| check["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_site_that_does_everything_right_passes_every_check() {
    let outcome = site(&[]).verify(&["--intrusive", "--idle", "14s"]);
    assert_eq!((outcome.code, with(&outcome, "fail").len()), (0, 0), "{outcome:?}");
    assert_eq!(with(&outcome, "skip"), [""; 0], "{outcome:?}");
    assert_eq!(with(&outcome, "warn"), [""; 0], "{outcome:?}");
}

/// The faults of a site, what more is asked for, and the checks that fail.
type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str]);

/// All at once: each takes its time, at ten requests a second.
fn each_is_found(cases: &[Case<'_>]) {
    std::thread::scope(|scope| {
        for (faults, more, failing) in cases {
            scope.spawn(move || {
                let outcome = site(faults).verify(more);
                assert_eq!(
                    (outcome.code, with(&outcome, "fail")),
                    (1, owned(failing)),
                    "{faults:?}: {outcome:?}"
                );
            });
        }
    });
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn each_fault_of_a_site_fails_its_check_and_no_other() {
    each_is_found(&[
        (&["tls"], &[], &["tls.versions"]),
        (&["hsts"], &[], &["hsts"]),
        (&["http"], &[], &["http.redirect"]),
        (&["http_cookie"], &[], &["http.cookie"]),
        (&["framing"], &[], &["headers.framing"]),
        (&["nosniff"], &[], &["headers.nosniff"]),
        (&["referrer"], &[], &["headers.referrer"]),
        (&["caching"], &[], &["headers.caching"]),
        (&["prefix", "secure"], &[], &["cookie.secure"]),
        (&["http_only"], &[], &["cookie.http_only"]),
        (&["same_site"], &[], &["cookie.same_site"]),
        (&["prefix", "domain"], &[], &["cookie.domain"]),
        (&["lifetime"], &[], &["cookie.lifetime"]),
    ]);
}

#[test]
fn each_fault_of_a_session_fails_its_check_and_no_other() {
    each_is_found(&[
        (&["entropy"], &[], &["session.entropy"]),
        (&["regeneration"], &[], &["session.regeneration"]),
        (&["logout"], &[], &["session.logout"]),
        (&["idle"], &["--idle", "14s"], &["session.idle"]),
        (&["login_csrf"], &[], &["csrf.login"]),
        (&["redirects"], &[], &["redirects"]),
        (&["identity_headers"], &[], &["identity_headers"]),
        (&["believed_headers"], &[], &["identity_headers"]),
        (&["limit"], &["--intrusive"], &["login.limit"]),
        // Nothing is sent to another host, not even by the site's own form.
        (&["action"], &[], &["session.login"]),
        (&["fixation"], &[], &["session.regeneration", "session.fixation"]),
        (&["csrf", "same_site"], &[], &["cookie.same_site", "csrf.request"]),
    ]);
}

#[test]
fn a_certificate_that_nobody_trusts_ends_the_visit() {
    let site = site(&[]);
    let other = Authority::new();
    let bundle = other.bundle();
    let args = ["verify", &site.https, "--connect", "127.0.0.1", "--ca", bundle.to_str().unwrap(), "--json"];
    let outcome = run(site.folder.path(), &args, "");
    assert_eq!((outcome.code, with(&outcome, "fail")), (1, owned(&["tls.certificate"])), "{outcome:?}");
}

#[test]
fn a_plain_flask_session_application_is_told_what_it_gets_wrong() {
    let outcome = flask().verify(&["--intrusive"]);
    let expected = [
        "hsts",
        "headers.framing",
        "headers.nosniff",
        "cookie.secure",
        "cookie.same_site",
        "cookie.lifetime",
        "headers.caching",
        "session.regeneration",
        "csrf.login",
        "csrf.request",
        "redirects",
        "login.limit",
    ];
    assert_eq!(with(&outcome, "fail"), expected, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_in_production_passes_every_check() {
    let (upstream, redis, authority) = (upstream().await, RedisServer::start(), Authority::new());
    let store = format!("url = \"{}\"\ncommand_timeout = \"5s\"", redis.url());
    let proxy = proxy(&upstream).store(&store).production(&authority).start();
    let (https, http) = (proxy.https.port(), proxy.http.port());
    let (site, plain) = (format!("https://{HOST}:{https}/"), format!("http://{HOST}:{http}/"));
    let bundle = authority.bundle();
    let folder = tempfile::tempdir().unwrap();
    let verifying = tokio::task::spawn_blocking(move || {
        let bundle = bundle.to_str().unwrap();
        let args = [
            "verify",
            &site,
            "--http",
            &plain,
            "--connect",
            "127.0.0.1",
            "--ca",
            bundle,
            "--json",
            "--intrusive",
        ];
        let args = [&args[..], &["--user", ALICE.0]].concat();
        run(folder.path(), &args, &format!("{}\n", ALICE.1))
    });
    let outcome = verifying.await.unwrap();
    assert_eq!((outcome.code, with(&outcome, "fail").len()), (0, 0), "{outcome:?}");
    assert!(with(&outcome, "pass").len() > 20, "{outcome:?}");
}

#[test]
fn the_demo_passes_every_check() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Running::start(foregate(folder.path(), &["demo", "--listen", "127.0.0.1:0"]));
    let script = demo.said("Ctrl-C ends the demo");
    let word = |start: &str| script.split_whitespace().find(|word| word.starts_with(start)).unwrap();
    let password =
        script.split("alice").nth(1).unwrap().split_whitespace().find(|word| word.len() > 10).unwrap();
    let args = ["verify", word("https://"), "--ca", "certs/localhost.crt", "--user", "alice", "--json"];
    let outcome = run(folder.path(), &args, &format!("{password}\n"));
    assert_eq!((with(&outcome, "fail"), outcome.code), (Vec::new(), 0), "{script}{outcome:?}");
    assert!(with(&outcome, "pass").contains(&"session.logout".to_owned()), "{outcome:?}");
}

#[test]
fn a_password_goes_nowhere_but_to_the_site_by_https() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), &["verify", "http://localhost/", "--user", "alice"], "secret\n");
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.stderr.contains("https address"), "{outcome:?}");
    let outcome = run(folder.path(), &["verify", "https://localhost:1/", "--user", "alice"], "secret\n");
    assert_eq!(outcome.code, 3, "{outcome:?}");
}
