//! `foregate check --production` and `--live`: what a reviewer asks of the configuration, and of the Redis behind it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::authority::Authority;
use crate::support::command::{Outcome, run};
use crate::support::redis::{Builder, RedisServer, documented_user};

const PASSWORD: &str = "6f8e2c";

fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with a configuration of production whose sessions are at `store`.
fn stage(store: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let pair = authority.issue("app.example.com");
    fs::copy(&pair.cert, folder.path().join("app.crt")).unwrap();
    fs::copy(&pair.key, folder.path().join("app.key")).unwrap();
    fs::write(folder.path().join("users.toml"), "").unwrap();
    let secret = run(folder.path(), &["secret"], "").stdout;
    fs::write(folder.path().join("session.secret"), secret).unwrap();
    for private in ["app.key", "users.toml", "session.secret"] {
        let path = folder.path().join(private);
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let text = format!(
        "hsts.include_subdomains = true\nsession.secret = {{ file = \"session.secret\" }}\n\
         session.store = {{ {store} }}\n\
         headers.content_security_policy = \"object-src 'none'\"\n\
         [[tls.certificate]]\ncert = \"app.crt\"\nkey = \"app.key\"\n\
         [upstream.app]\nservers = [\"http://127.0.0.1:9000\"]\n\
         [[route]]\nhost = \"app.example.com\"\nupstream = \"app\"\n"
    );
    fs::write(folder.path().join("proxy.toml"), text).unwrap();
    folder
}

fn at(server: &RedisServer, login: &str) -> TempDir {
    stage(&format!("url = \"redis://{login}127.0.0.1:{}/0\"", server.port()))
}

fn check(folder: &TempDir, args: &[&str]) -> Outcome {
    run(folder.path(), &[&["check"], args].concat(), "")
}

/// The lines on the store that do not pass, and the exit code.
fn live(folder: &TempDir) -> (Vec<String>, i32) {
    let outcome = check(folder, &["--live", "--json"]);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"));
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(report["ok"], checks.iter().all(|check| check["status"] != "fail"), "{report}");
    let told = checks.iter().filter(|check| check["status"] != "pass").map(|check| {
        assert!(check["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{check}");
        format!("{} {}", check["status"].as_str().unwrap(), check["id"].as_str().unwrap())
    });
    (told.collect(), outcome.code)
}

/// One as it should be; its user may give `INFO`.
fn good() -> Builder {
    nobodys().only_user(&format!("{} +info", documented_user(PASSWORD)))
}

/// The same, without a user.
fn nobodys() -> Builder {
    RedisServer::builder()
        .directive("maxmemory", "100mb")
        .directive("maxmemory-policy", "noeviction")
        .appendonly()
}

#[test]
fn a_good_deployment_passes_and_each_line_says_what_is_seen() {
    let server = good().start();
    let folder = stage(&format!(
        "url = \"redis://foregate@127.0.0.1:{}/0\", password = {{ file = \"redis.password\" }}",
        server.port()
    ));
    let path = folder.path().join("redis.password");
    fs::write(&path, PASSWORD).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let told = check(&folder, &["--production", "--live"]);
    assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{}", told.stdout);
    assert!(told.stdout.contains("pass  mode ") && told.stdout.contains("pass  redis.maxmemory_policy "));
    assert!(told.stdout.ends_with(" pass, 0 warn, 0 fail, 0 could not be looked at\n"), "{}", told.stdout);
    assert!(!told.stdout.contains(PASSWORD), "{}", told.stdout);
}

#[test]
fn a_line_that_fails_is_told_with_the_way_out_and_in_the_exit_code() {
    let folder = stage("url = \"file:s.redb\"");
    let text = fs::read_to_string(folder.path().join("proxy.toml")).unwrap();
    fs::write(folder.path().join("proxy.toml"), format!("csrf.mode = \"off\"\n{text}")).unwrap();
    let told = check(&folder, &["--production"]);
    assert_eq!(told.code, 1, "{told:?}");
    let lines: Vec<&str> = told.stdout.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("fail  csrf.mode ")).unwrap();
    assert!(lines[at + 1].contains("→ write \"enforce\""), "{}", told.stdout);
    let without = check(&folder, &[]);
    assert!(without.code == 0 && without.stdout.contains(": ok"), "{without:?}");
    fs::remove_file(folder.path().join("app.key")).unwrap();
    let broken = check(&folder, &["--production"]);
    assert!(broken.code == 2 && broken.stderr.contains("app.key"), "{broken:?}");
}

#[test]
fn each_thing_that_is_wrong_with_a_redis_has_its_line() {
    let login = format!("foregate:{PASSWORD}@");
    let of = |builder: Builder| live(&at(&builder.start(), &login));
    assert_eq!(of(good()), (vec![], 0));
    assert_eq!(
        of(good().directive("maxmemory-policy", "allkeys-lru")),
        (vec!["fail redis.maxmemory_policy".to_owned()], 1)
    );
    assert_eq!(of(good().directive("maxmemory", "0")), (vec!["warn redis.maxmemory".to_owned()], 0));
    assert_eq!(of(good().directive("maxmemory", "100kb")), (vec!["warn redis.maxmemory".to_owned()], 0));
    assert_eq!(of(good().directive("appendonly", "no")), (vec!["warn redis.appendonly".to_owned()], 0));
    let mighty = format!("foregate on >{PASSWORD} ~* +@all");
    assert_eq!(of(nobodys().only_user(&mighty)), (vec!["warn redis.user".to_owned()], 0));
    let known = format!("{} +info", documented_user(PASSWORD));
    let strangers = nobodys().user("default on nopass -@all +ping").user(&known);
    assert_eq!(of(strangers), (vec!["fail redis.strangers".to_owned()], 1));
}

#[test]
fn the_documented_user_may_not_ask_and_that_is_no_failure() {
    let server = nobodys().only_user(&documented_user(PASSWORD)).start();
    let (told, code) = live(&at(&server, &format!("foregate:{PASSWORD}@")));
    assert_eq!(code, 0);
    assert!(told.len() == 5 && told.iter().all(|line| line.starts_with("skip redis.")), "{told:?}");
}

#[test]
fn a_redis_that_is_away_or_refuses_us_is_exit_code_3() {
    let mut server = good().start();
    let folder = at(&server, "foregate:another@");
    let refused = check(&folder, &["--live"]);
    assert!(refused.code == 3 && refused.stdout.contains("fail  session.store "), "{refused:?}");
    assert!(!refused.stdout.contains("another"), "{refused:?}");
    server.stop();
    assert_eq!(live(&folder), (vec!["fail session.store".to_owned()], 3));
    let both = check(&folder, &["--production", "--live"]);
    assert!(both.code == 3 && both.stdout.contains("pass  mode "), "{both:?}");
}

#[test]
fn the_redis_that_the_manual_describes_has_nothing_against_it() {
    let folder = tempfile::tempdir().unwrap();
    let acl = fs::read_to_string(house().join("deploy/redis/users.acl")).unwrap();
    let acl = acl.replace("PASSWORD", PASSWORD).replace("+ping", "+ping +info");
    fs::write(folder.path().join("users.acl"), acl).unwrap();
    let server = RedisServer::builder()
        .configuration(&house().join("deploy/redis/redis.conf"))
        .directive("aclfile", folder.path().join("users.acl").to_str().unwrap())
        .start();
    assert_eq!(live(&at(&server, &format!("foregate:{PASSWORD}@"))), (vec![], 0));
}

#[test]
fn where_there_is_no_redis_nobody_is_asked() {
    assert_eq!(live(&stage("url = \"file:s.redb\"")), (vec![], 0));
}
