//! What holds of everything that reads what an attacker may write: a function a target, which takes any bytes and
//! panics where something does not hold.
//!
//! No part of the program: only `cargo test` compiles this, and builds with `--cfg fuzzing`, as those of `fuzz/` are.
//! Each function stands in a `fuzzing.rs` of the room whose rule it is about, so that what is private to that room
//! stays private.

mod connection;
mod recorder;
mod wire;

pub use crate::auth::fuzzing::htpasswd;
pub use crate::config::fuzzing::configuration;
pub use crate::http::fuzzing::{cookies, forwarding, set_cookie, target, websocket};
pub use crate::listener::fuzzing::proxy_header;
pub use crate::policy::fuzzing::return_to;
pub use crate::session::fuzzing::{record, session_cookie};
pub use connection::connection;

/// The name of `fuzz/fuzz_targets/NAME.rs` and of `fuzz/corpus/NAME/`, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 12] = [
    ("configuration", configuration),
    ("connection", connection),
    ("cookies", cookies),
    ("forwarding", forwarding),
    ("htpasswd", htpasswd),
    ("proxy_header", proxy_header),
    ("record", record),
    ("return_to", return_to),
    ("session_cookie", session_cookie),
    ("set_cookie", set_cookie),
    ("target", target),
    ("websocket", websocket),
];

#[cfg(test)]
mod fuzz_corpus {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use super::*;

    fn files(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn names(folder: &str) -> Vec<String> {
        files(folder).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_target_has_its_program_and_its_inputs() {
        let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names("fuzz_targets"), targets);
        assert_eq!(names("corpus"), targets);
    }

    #[test]
    fn what_holds_of_a_target_holds_of_every_input_in_its_corpus() {
        let mut failed = Vec::new();
        for (name, holds) in TARGETS {
            let inputs = files(&format!("corpus/{name}"));
            assert!(!inputs.is_empty(), "{name} has no inputs");
            for path in inputs {
                let input = fs::read(&path).unwrap();
                if catch_unwind(|| holds(&input)).is_err() {
                    failed.push(path);
                }
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }
}
