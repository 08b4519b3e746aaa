//! The documents are true.

use std::path::Path;

use foregate::config::{self, Environment};
use foregate::http::Problem;

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
fn the_projects_own_configuration_passes_its_check() {
    let loaded = config::load(&house().join("proxy.toml"), &Environment::from_pairs::<String, String>([]));
    assert!(loaded.unwrap_or_else(|faults| panic!("{faults}")).warnings.is_empty());
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
