//! docs/configuration.md is true.

use std::collections::BTreeSet;
use std::path::Path;

use super::Environment;
use super::load::{Loaded, keys, read};
use super::well_known;

/// What no configuration goes without, and what makes a rule of those that may be left out.
const LEAST: [(&str, &str); 5] = [
    ("tls.certificate[].cert", "\"a\""),
    ("tls.certificate[].key", "\"a\""),
    ("upstream.NAME.servers", "[\"http://app\"]"),
    ("route[].upstream", "\"NAME\""),
    ("cookies.rule[].name", "\"NAME\""),
];

const SECRET: (&str, &str) = ("SECRET_KEY", "0123456789abcdef0123456789abcdef");

/// `| key | type | default | variable | meaning |`
struct Row {
    key: String,
    default: Option<String>,
    /// `FOREGATE__…`, and the usual one.
    variables: Vec<String>,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| line.starts_with("| `")).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
    let [key, _, default, variables, _] = cells[..] else { panic!("{line}") };
    let plain = |cell: &str| cell.trim_matches('`').to_owned();
    let some = |cell: &&str| *cell != "—";
    Row {
        key: plain(key),
        default: Some(default).filter(some).map(plain),
        variables: variables.split(", ").filter(some).map(plain).collect(),
    }
}

/// A file with these keys, and with what no configuration goes without.
fn file(values: &[(&str, &str)]) -> String {
    let all: Vec<_> = LEAST.iter().chain(values).collect();
    let of = |section: &str| {
        let keys = all.iter().filter_map(|(key, value)| Some((key.strip_prefix(section)?, value)));
        keys.map(|(key, value)| format!("{key} = {value}\n")).collect::<String>()
    };
    let plain = all.iter().filter(|(key, _)| !key.contains("[]"));
    let plain: String = plain.map(|(key, value)| format!("{key} = {value}\n")).collect();
    let [certificate, route, rule] = ["tls.certificate[].", "route[].", "cookies.rule[]."].map(of);
    format!("{plain}[[tls.certificate]]\n{certificate}[[route]]\n{route}[[cookies.rule]]\n{rule}")
}

fn load(values: &[(&str, &str)], variables: &[(&str, &str)]) -> Loaded {
    let environment = Environment::from_pairs([&[SECRET], variables].concat());
    read(Path::new("f"), &file(values), &environment).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The keys that are set to what is no default, but for those that have to be.
fn set(loaded: &Loaded) -> Vec<&str> {
    let keys = loaded.settings.iter().map(|setting| setting.key.as_str());
    keys.filter(|key| {
        *key != "session.secret" && !LEAST.iter().any(|(least, _)| as_documented(key) == *least)
    })
    .collect()
}

fn as_documented(key: &str) -> String {
    key.replace("[0]", "[]")
}

#[test]
fn every_key_that_is_read_has_a_row_and_no_other_has() {
    let environment = Environment::from_pairs([SECRET]);
    let read: BTreeSet<String> =
        keys(&file(&[]), &environment).iter().map(|key| as_documented(key)).collect();
    let documented: BTreeSet<String> = rows().into_iter().map(|row| row.key).collect();
    let missing: Vec<_> = read.difference(&documented).collect();
    let unread: Vec<_> = documented.difference(&read).collect();
    assert!(missing.is_empty() && unread.is_empty(), "without a row: {missing:?}; never read: {unread:?}");
}

#[test]
fn every_documented_default_is_the_default() {
    let rows = rows();
    let defaults: Vec<_> =
        rows.iter().filter_map(|row| Some((row.key.as_str(), row.default.as_deref()?))).collect();
    assert_eq!(set(&load(&defaults, &[])), [""; 0]);
}

#[test]
fn every_documented_variable_sets_its_key() {
    let rows = rows();
    let written = |default: &str| {
        let items = default.trim_matches(['[', ']']).replace('"', "");
        (!items.is_empty()).then_some(items)
    };
    let given: Vec<(&str, String)> = rows
        .iter()
        .filter_map(|row| Some((row.variables.first()?.as_str(), written(row.default.as_deref()?)?)))
        .collect();
    let given: Vec<(&str, &str)> = given.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert!(given.len() > 80, "{}", given.len());
    assert_eq!(set(&load(&[], &given)), [""; 0]);
    for row in rows.iter().filter(|row| !row.variables.is_empty()) {
        let name = format!("FOREGATE__{}", row.key.to_uppercase().replace('.', "__"));
        let usual = well_known::KEYS.iter().find(|(_, key)| *key == row.key).map(|(name, _)| *name);
        let expected: Vec<&str> = [name.as_str()].into_iter().chain(usual).collect();
        assert_eq!(row.variables, expected, "{}", row.key);
    }
}

#[test]
fn what_the_file_alone_can_set_is_documented_so() {
    for row in rows().iter().filter(|row| row.variables.is_empty()) {
        let name = format!("FOREGATE__{}", row.key.to_uppercase().replace('.', "__").replace("[]", "__0"));
        let environment = Environment::from_pairs([SECRET, (name.as_str(), "1")]);
        let told = read(Path::new("f"), &file(&[]), &environment).unwrap_err().to_string();
        assert!(told.contains("cannot be set by a variable"), "{told}");
    }
}
