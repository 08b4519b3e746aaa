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

    /// The kind of the path of what is read. Where it is relative, it is that of the credential that goes by it, else
    /// it starts from the file's folder.
    pub(super) fn path(self) -> impl Fn(&Value<'_>) -> Result<PathBuf, Complaint> {
        kind::text_as(move |text| Ok(self.credential(text).unwrap_or_else(|| self.folder.join(text))))
    }

    /// What the service manager has handed over under this path (`LoadCredential=`): so one file serves the service,
    /// which may not read what is root's, and whoever checks it by hand. The name of a credential has `_` for each
    /// `/`, as systemd names those that it takes from a folder.
    fn credential(self, path: &str) -> Option<PathBuf> {
        let folder = self.environment.get("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty())?;
        if path.starts_with('/') {
            return None;
        }
        let credential = Path::new(folder).join(path.replace('/', "_"));
        credential.is_file().then_some(credential)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{outcome, production};

    use super::*;

    #[test]
    fn a_credential_goes_before_the_file_that_it_was_loaded_from() {
        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(credentials.path().join("secrets_app.key"), "").unwrap();
        let folder = credentials.path().to_str().unwrap();
        let path = |text: &str, folder: &str| {
            let context = production(&[("CREDENTIALS_DIRECTORY", folder)]);
            let (path, _) =
                outcome(&format!("key = {text:?}"), |root| root.optional("key", context.path())).unwrap();
            path.unwrap()
        };
        assert_eq!(path("secrets/app.key", folder), credentials.path().join("secrets_app.key"));
        for other in ["secrets/other.key", "/secrets/app.key", ".."] {
            assert_eq!(path(other, folder), Path::new("/etc/foregate").join(other), "{other}");
        }
        assert_eq!(path("Cargo.toml", ""), Path::new("/etc/foregate/Cargo.toml"));
    }
}
