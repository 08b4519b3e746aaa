//! What the sections' tests share.

use std::path::Path;

use super::context::Context;
use super::reader::{Document, Fault, Section};
use super::{Environment, Mode};

/// What `read` makes of `text`, or the lines of its faults.
pub(super) fn outcome<T>(
    text: &str,
    read: impl FnOnce(&mut Section<'_>) -> T,
) -> Result<(T, Vec<Fault>), Vec<String>> {
    match Document::parse(Path::new("f"), text).read(read) {
        Ok(reading) => Ok((reading.value, reading.warnings)),
        Err(faults) => Err(lines(faults.as_slice())),
    }
}

/// The lines of faults, without where they are.
pub(super) fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|fault| format!("{}: {}: {}", fault.severity, fault.key, fault.complaint)).collect()
}

/// A context of production; the environment lives as long as the test program.
pub(super) fn production(pairs: &[(&str, &str)]) -> Context<'static> {
    let environment = Box::leak(Box::new(Environment::from_pairs(pairs.iter().copied())));
    Context { mode: Mode::Production, folder: Path::new("/etc/foregate"), environment }
}

/// A context of development.
pub(super) fn development(pairs: &[(&str, &str)]) -> Context<'static> {
    Context { mode: Mode::Development, ..production(pairs) }
}
