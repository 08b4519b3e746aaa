//! The documents are true.

use std::path::Path;

use foregate::config::{self, Environment};
use foregate::http::Problem;

fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_problem_is_documented_with_its_status_and_nothing_else_is() {
    let text = std::fs::read_to_string(house().join("docs/problems.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
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
fn the_readmes_configuration_lacks_nothing_but_its_files() {
    let readme = std::fs::read_to_string(house().join("README.md")).unwrap();
    let toml = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    std::fs::write(&path, toml).unwrap();
    let faults = config::load(&path, &Environment::from_pairs::<String, String>([])).unwrap_err();
    let keys: Vec<&str> = faults.as_slice().iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["session.secret"], "{faults}");
}

#[test]
fn ci_runs_the_readmes_test_command_and_nothing_else() {
    let readme = std::fs::read_to_string(house().join("README.md")).unwrap();
    let command = readme.split("## Test it\n\n```sh\n").nth(1).unwrap().lines().next().unwrap();
    let ci = std::fs::read_to_string(house().join(".ci/run")).unwrap();
    assert!(ci.lines().last().unwrap() == format!("exec {command}"), "{ci}");
}
