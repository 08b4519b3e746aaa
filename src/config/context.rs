//! What a check looks at besides its own section.

use std::path::{Path, PathBuf};

use super::reader::{Complaint, Value, kind};
use super::{Environment, Mode};

/// What a check looks at besides its own section.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) mode: Mode,
    pub(super) folder: &'a Path,
    pub(super) environment: &'a Environment,
}

impl Context<'_> {
    pub(super) fn in_production(self) -> bool {
        self.mode == Mode::Production
    }

    /// The path of what the program itself keeps: where it is relative, it starts from the folder that systemd has
    /// set up for that (`StateDirectory=`, of which the first counts), else from the file's.
    pub(super) fn state(self, path: &str) -> PathBuf {
        let folders = self.environment.get("STATE_DIRECTORY").unwrap_or_default();
        match folders.split(':').next() {
            Some(folder) if !folder.is_empty() => Path::new(folder).join(path),
            _ => self.folder.join(path),
        }
    }

    /// The kind of a path, which starts from the file's folder where it is relative.
    pub(super) fn path(self) -> impl Fn(&Value<'_>) -> Result<PathBuf, Complaint> {
        kind::text_as(move |text| Ok(self.folder.join(text)))
    }
}
