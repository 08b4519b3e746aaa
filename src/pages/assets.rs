//! What pages are dressed in.

use std::fmt::Write;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file that the proxy serves itself.
#[derive(Debug)]
pub struct Asset {
    stem: &'static str,
    extension: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    name: LazyLock<String>,
}

pub(super) static STYLESHEET: Asset = Asset {
    stem: "style",
    extension: "css",
    content_type: "text/css; charset=utf-8",
    bytes: include_bytes!("assets/style.css"),
    name: LazyLock::new(|| STYLESHEET.hashed_name()),
};

impl Asset {
    /// Its name, in which its content's hash stands: a changed file has another name, so that browsers may keep
    /// it for ever.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn hashed_name(&self) -> String {
        let mut name = format!("{}.", self.stem);
        for byte in &Sha256::digest(self.bytes)[..8] {
            write!(name, "{byte:02x}").expect("a string takes all that is written");
        }
        name + "." + self.extension
    }
}

pub(super) fn find(name: &str) -> Option<&'static Asset> {
    (name == STYLESHEET.name()).then_some(&STYLESHEET)
}
