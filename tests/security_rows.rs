//! Every attack of the security plan has its line in `fixtures/security-rows.txt`, and every test that is named there
//! exists.

use std::collections::BTreeSet;
use std::process::Command;

const ROWS: &str = include_str!("fixtures/security-rows.txt");

/// The rows of the plan: the class, and its numbers.
const PLAN: [(&str, &[u32]); 8] = [
    ("H", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ("PA-", &[1, 2, 3, 4, 5, 6, 7, 10, 11, 12]),
    ("ID-", &[1, 2, 3, 4, 6, 7, 8, 9, 11]),
    ("SM-", &[1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 14, 15]),
    ("DG-", &[1, 2, 5, 6, 7, 8, 9, 10, 11]),
    ("SE-", &[1, 2, 3, 7, 8, 9, 10, 11, 12]),
    ("DS-", &[1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 14]),
    ("AU-", &[1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20]),
];

/// A row: its name, the tests that hold it, and what of it none holds.
struct Row {
    name: &'static str,
    tests: Vec<&'static str>,
    missing: Option<&'static str>,
}

fn rows() -> impl Iterator<Item = Row> {
    ROWS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let (named, missing) = line.split_once(" - ").map_or((line, None), |(named, why)| (named, Some(why)));
        let mut words = named.split(' ');
        Row { name: words.next().unwrap(), tests: words.collect(), missing }
    })
}

#[test]
fn every_row_of_the_plan_has_one_line() {
    let plan: Vec<String> = PLAN
        .iter()
        .flat_map(|(class, numbers)| numbers.iter().map(move |number| format!("{class}{number}")))
        .collect();
    assert_eq!(rows().map(|row| row.name).collect::<Vec<_>>(), plan);
}

#[test]
fn every_test_that_holds_a_row_exists() {
    let listed = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let tests: BTreeSet<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    for Row { name, tests: named, missing } in rows() {
        assert!(!named.is_empty() || missing.is_some(), "{name} has no test, and nothing says why");
        for test in named {
            assert!(tests.contains(test), "{name}: there is no {test}");
        }
    }
}
