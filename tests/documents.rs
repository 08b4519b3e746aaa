//! The documents are true.

use std::path::Path;

use foregate::config::{self, Environment};
use foregate::http::Problem;

use crate::support::client::{Client, Jar};
use crate::support::command::{Running, foregate, run};
use crate::support::proxy::{ALICE, HOST};
use crate::support::upstream::upstream;

fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(house().join(path)).unwrap()
}

/// The fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Where the links and pictures of a document lead.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let inline = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    inline.chain(text.split("src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()))
}

/// The keys that a configuration has a fault at.
fn faults(toml: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    std::fs::write(&path, toml).unwrap();
    let faults = config::load(&path, &Environment::from_pairs::<String, String>([])).unwrap_err();
    faults.as_slice().iter().map(|fault| fault.key.clone()).collect()
}

#[test]
fn every_problem_is_documented_with_its_status_and_nothing_else_is() {
    let problems = text("docs/problems.md");
    let rows: Vec<&str> = problems.lines().filter(|line| line.starts_with("| `")).collect();
    for problem in Problem::ALL {
        let row = format!("| `{}` | {} |", problem.slug(), problem.status().as_u16());
        assert!(rows.iter().any(|line| line.starts_with(&row)), "{row}");
    }
    for row in rows {
        assert!(Problem::ALL.iter().any(|problem| row.contains(&format!("`{}`", problem.slug()))), "{row}");
    }
}

#[test]
fn each_line_of_the_projects_own_configuration_says_what_production_needs() {
    let own = text("proxy.toml");
    let keys: Vec<&str> =
        own.lines().filter(|line| line.contains(" = ") && !line.starts_with("# ")).collect();
    assert!(keys.len() > 6, "{keys:?}");
    for line in keys {
        assert!(line.contains("  # "), "{line}");
    }
}

/// As it stands, but for its ports and its host.
#[tokio::test(flavor = "multi_thread")]
async fn the_projects_own_configuration_passes_its_check_and_leads_to_the_application_on_port_9000() {
    let application = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let mut own = text("proxy.toml");
    for (written, here) in [
        ("127.0.0.1:9000", application.address().to_string()),
        ("127.0.0.1:8443", "127.0.0.1:0".to_owned()),
        ("127.0.0.1:8080", "127.0.0.1:0".to_owned()),
        ("[\"localhost\"]", format!("[{HOST:?}]")),
        ("[server]\n", "[server]\nadmin = \"127.0.0.1:0\"\n".to_owned()),
    ] {
        assert_eq!(own.matches(written).count(), 1, "{written}");
        own = own.replace(written, &here);
    }
    std::fs::write(folder.path().join("proxy.toml"), own).unwrap();
    assert_eq!(run(folder.path(), &["users", "add", ALICE.0], &format!("{}\n", ALICE.1)).code, 0);
    let check = run(folder.path(), &["check"], "");
    assert_eq!((check.code, check.stderr.as_str()), (0, ""), "{check:?}");

    let mut running = Running::start(foregate(folder.path(), &["run"]));
    let log = running.logged("serving https");
    let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let address = line["address"].as_str().unwrap().parse().unwrap();
    let client = Client::new(address, &folder.path().join(format!("certs/{HOST}.crt")));
    let mut jar = Jar::default();
    assert_eq!(client.log_in(&mut jar, ALICE, "").await.status, 303);
    assert_eq!(client.get("/", &jar).await.status, 200);
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0));
}

#[test]
fn the_readmes_configuration_has_ten_lines_and_lacks_nothing_but_its_files() {
    let readme = text("README.md");
    let toml = blocks(&readme, "toml")[0];
    assert_eq!(toml.lines().count(), 10);
    assert_eq!(faults(toml), ["session.secret"]);
}

#[test]
fn what_is_to_be_deployed_lacks_nothing_but_its_files() {
    assert_eq!(faults(&text("deploy/container/proxy.toml")), ["session.secret", "session.store.password"]);
    let tutorial = text("docs/tutorial.md");
    let server =
        blocks(&tutorial, "sh").into_iter().find(|block| block.starts_with("cat > /etc/foregate/proxy.toml"));
    let (_, toml) = server.unwrap().split_once('\n').unwrap();
    assert_eq!(faults(toml.strip_suffix("TOML\n").unwrap()), ["session.secret"]);
}

#[test]
fn every_link_of_a_document_leads_to_a_file() {
    let folders = [".", "docs"].map(|folder| std::fs::read_dir(house().join(folder)).unwrap());
    let documents = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    for document in documents.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in links(&text).filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let target = document.with_file_name(link.split('#').next().unwrap());
            assert!(target.exists(), "{}: {link}", document.display());
        }
    }
}

#[test]
fn ci_runs_the_readmes_test_command_and_nothing_else() {
    let readme = text("README.md");
    let command = readme.split("## Test it\n\n```sh\n").nth(1).unwrap().lines().next().unwrap();
    let ci = text(".ci/run");
    assert!(ci.lines().last().unwrap() == format!("exec {command}"), "{ci}");
}
