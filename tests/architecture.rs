//! The house keeps its order: a room imports only from rooms of lower rank.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by rank. What stands in `src/` itself, and the command line, are the top and see everything.
const RANKS: [(u8, &[&str]); 10] = [
    (0, &["base"]),
    (1, &["http"]),
    (2, &["config"]),
    (3, &["telemetry", "outgoing"]),
    (4, &["listener", "store"]),
    (5, &["session", "pages"]),
    (6, &["policy", "auth"]),
    (7, &["upstream"]),
    (8, &["endpoints", "admin"]),
    (9, &["gateway"]),
];

const TOP: [&str; 7] = ["app", "cli", "development", "fuzzing", "lib", "main", "reload"];

fn rank(room: &str) -> Option<u8> {
    RANKS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(rank, _)| *rank)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
    files
}

/// The rooms that a source names: every `crate::ROOM`, in `use` lines and elsewhere.
fn rooms_named(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| {
        line.split("crate::").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            &rest[..end]
        })
    })
}

fn violations(room: &str, source: &str) -> Vec<String> {
    let Some(own) = rank(room) else { return Vec::new() };
    let foreign = rooms_named(source).filter(|named| *named != room);
    let upward = foreign.filter(|named| rank(named).is_none_or(|rank| rank >= own));
    upward.map(|named| format!("{room} (rank {own}) names {named} ({:?})", rank(named))).collect()
}

#[test]
fn rooms_import_only_from_lower_ranks() {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut rooms = BTreeMap::new();
    for file in sources(&house) {
        let inside = file.strip_prefix(&house).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        *rooms.entry(room.to_owned()).or_insert(0) += 1;
        assert!(
            rank(room).is_some() || TOP.contains(&room),
            "{room} has no rank: give it one, here and in ARCHITECTURE.md"
        );
        let source = fs::read_to_string(&file).unwrap();
        found.extend(
            violations(room, &source).into_iter().map(|what| format!("{}: {what}", inside.display())),
        );
    }
    assert!(rooms.len() > 10, "the rooms are read: {rooms:?}");
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn an_upward_and_a_sideways_import_are_noticed() {
    assert_eq!(violations("session", "use crate::policy::Permit;").len(), 1);
    assert_eq!(violations("store", "    let x = crate::listener::bind(a);").len(), 1);
    assert_eq!(violations("session", "use crate::store::Store;\n// crate::gateway is told").len(), 0);
}

#[test]
fn imports_from_the_crate_are_written_so_that_this_test_sees_them() {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&house) {
        let source = fs::read_to_string(&file).unwrap();
        assert!(!source.contains("use crate::{") && !source.contains("crate::*"), "{}", file.display());
    }
}
