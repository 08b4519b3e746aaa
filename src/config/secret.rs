//! Secrets: inline, in a file, or in the environment.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::context::Context;
use super::reader::{Section, kind};
use crate::base::secret::Secret;

/// Longer than any secret; keeps a slip such as `/dev/zero` from filling the memory.
const MAX_BYTES: u64 = 64 * 1024;

const WAYS_OUT: &str = "write { file = \"PATH\" } or { env = \"NAME\" }";

/// Where a secret comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The configuration itself.
    Inline(Secret<String>),
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// What the variable says that stands for the key itself.
    Variable(Secret<String>),
}

/// What `key` of the section names as its secret's source.
pub(super) fn source(section: &mut Section<'_>, key: &'static str, context: Context<'_>) -> Option<Source> {
    if let Some(text) = section.hidden_variable(key) {
        return Some(Source::Variable(Secret::new(text)));
    }
    if !section.has_table(key) {
        return section.hidden(key, kind::text).map(|text| Source::Inline(Secret::new(text)));
    }
    let named = section
        .table(key, |table| (table.optional("file", context.path()), table.optional("env", kind::text)));
    match named {
        (Some(path), None) => Some(Source::File(path)),
        (None, Some(name)) => Some(Source::Env(name)),
        _ => {
            section.error(key, "does not name one place", WAYS_OUT);
            None
        }
    }
}

/// The secret that lies at `source`, less one trailing newline; what hinders is reported at `key`.
pub(super) fn resolve(
    section: &Section<'_>,
    key: &str,
    source: Source,
    context: Context<'_>,
) -> Option<Secret<Vec<u8>>> {
    refuse_inline(section, key, context);
    if !section.sound(key) {
        return None;
    }
    let bytes = match source {
        Source::Inline(text) | Source::Variable(text) => text.expose().as_bytes().to_vec(),
        Source::File(path) => from_file(section, key, &path)?,
        Source::Env(name) => from_variable(section, key, &name, context)?,
    };
    let mut bytes = Zeroizing::new(bytes);
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    if bytes.is_empty() {
        section.error(key, "is empty", "put a secret there");
        return None;
    }
    Some(Secret::new(std::mem::take(&mut *bytes)))
}

/// Refuses in production what stands in the file: a variable that counts instead hides it from nobody who reads that.
pub(super) fn refuse_inline(section: &Section<'_>, key: &str, context: Context<'_>) {
    if context.in_production() && section.written(key).next().is_some() {
        section.error_in_file(key, "stands in the configuration, which production refuses", WAYS_OUT);
    }
}

fn from_file(section: &Section<'_>, key: &str, path: &Path) -> Option<Vec<u8>> {
    let shown = path.display();
    match read(path) {
        Ok((bytes, mode)) => {
            if mode & 0o077 != 0 {
                section.warn(
                    key,
                    format!("others than its owner may open {shown}"),
                    format!("chmod 600 {shown}"),
                );
            }
            Some(bytes)
        }
        Err(error) => {
            section.error(
                key,
                format!("{shown} cannot be read: {error}"),
                "check the path and its permissions",
            );
            None
        }
    }
}

fn read(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 64 KiB"));
    }
    Ok((std::mem::take(&mut *bytes), mode))
}

fn from_variable(section: &Section<'_>, key: &str, name: &str, context: Context<'_>) -> Option<Vec<u8>> {
    match context.environment.get(name) {
        None => section.error(key, format!("the variable {name:?} is not set"), "set it, or name a file"),
        Some("") => section.error(key, format!("the variable {name:?} is set, but empty"), "give it a value"),
        Some(value) => return Some(value.as_bytes().to_vec()),
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use tempfile::TempDir;

    use super::super::testing::{development, lines, outcome, production};
    use super::*;

    fn secret(text: &str, context: Context<'_>) -> Result<Vec<u8>, Vec<String>> {
        let (secret, warnings) = outcome(text, |root| {
            let source = source(root, "secret", context)?;
            resolve(root, "secret", source, context)
        })?;
        let shown: Vec<String> = lines(&warnings);
        assert!(shown.is_empty(), "{shown:?}");
        Ok(secret.unwrap().expose().clone())
    }

    #[test]
    fn a_secret_is_taken_from_each_of_its_places_less_one_newline() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "from a file\n\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let context = Context { folder: folder.path(), ..development(&[("NAME", "from outside\n")]) };
        assert_eq!(secret("secret = \"inline\"", context).unwrap(), b"inline");
        assert_eq!(secret("secret = { file = \"secret\" }", context).unwrap(), b"from a file\n");
        assert_eq!(secret("secret = { env = \"NAME\" }", context).unwrap(), b"from outside");
    }

    #[test]
    fn a_file_that_others_may_open_is_a_warning() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let context = Context { folder: folder.path(), ..production(&[]) };
        let (_, warnings) = outcome("secret = { file = \"secret\" }", |root| {
            let source = source(root, "secret", context)?;
            resolve(root, "secret", source, context)
        })
        .unwrap();
        assert!(lines(&warnings)[0].contains("warning: secret: others than its owner may open"));
    }

    #[test]
    fn what_gives_no_secret_says_why() {
        let context = production(&[("EMPTY", ""), ("NEWLINE", "\n")]);
        for (text, says) in [
            ("secret = \"hunter2\"", "which production refuses (write { file"),
            ("secret = \"\"", "secret: is empty"),
            ("secret = 5", "where text is expected"),
            ("secret = {}", "secret: does not name one place (write { file"),
            ("secret = { file = \"a\", env = \"b\" }", "secret: does not name one place"),
            ("secret = { evn = \"b\" }", "secret.evn: unknown key (did you mean \"env\"?)"),
            ("secret = { env = \"UNSET\" }", "the variable \"UNSET\" is not set"),
            ("secret = { env = \"EMPTY\" }", "the variable \"EMPTY\" is set, but empty"),
            ("secret = { env = \"NEWLINE\" }", "secret: is empty"),
            ("secret = { file = \"nowhere\" }", "nowhere cannot be read"),
            ("secret = { file = \"/dev/zero\" }", "longer than 64 KiB"),
        ] {
            let faults = secret(text, context).unwrap_err();
            assert!(faults.iter().any(|fault| fault.contains(says)), "{text}: {faults:?}");
            assert!(!faults.concat().contains("hunter2"));
        }
    }
}
