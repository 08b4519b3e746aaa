//! `users.toml`: `[users.alice] password = "$argon2id$…"`, `email`, `name`, `groups`, `disabled`; or an htpasswd
//! file, which is known by its shape.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argon2::Params;
use password_hash::phc::PasswordHash;

use super::htpasswd;
use crate::auth::password::{LONGEST_FOR_BCRYPT, LONGEST_PASSWORD, StoredHash};
use crate::config::Faults;
use crate::config::reader::{Complaint, Document, Section, Value, kind};

/// A file may not make a login eat the machine: memory in KiB, passes, lanes.
const MOST: (u32, u32, u32) = (1024 * 1024, 64, 16);

const LONGEST_NAME: usize = 128;

/// The users by name.
#[derive(Debug, Default)]
pub(super) struct UsersFile {
    form: Form,
    users: BTreeMap<String, User>,
}

/// How it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// As `foregate users` does.
    #[default]
    Toml,
    /// As Apache's `htpasswd` does.
    Htpasswd,
}

/// One of them.
#[derive(Debug)]
pub(super) struct User {
    pub(super) password: StoredHash,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) disabled: bool,
}

/// The users' file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersFileError {
    /// It cannot be read.
    #[error("cannot read the users in {}: {source} (it must be readable by the user that foregate runs as)", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds what nobody can make sense of.
    #[error(transparent)]
    Faults(#[from] Faults),
}

impl UsersFile {
    /// Reads a file; one that does not exist is empty.
    pub(super) fn read(path: &Path) -> Result<Self, UsersFileError> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(path, &text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(UsersFileError::Unreadable { path: path.to_owned(), source }),
        }
    }

    /// Reads a text; `path` is for the faults' lines.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Faults> {
        let form = Form::of(text);
        let users = match form {
            Form::Toml => {
                let users = Document::parse(path, text).read(|root| root.named("users", user))?.value;
                users.into_iter().flatten().collect()
            }
            Form::Htpasswd => htpasswd::parse(path, text)?,
        };
        Ok(Self { form, users })
    }

    /// Whether this can be a password of one of its users. bcrypt takes the first 72 bytes of a longer one for the
    /// whole of it, and what a NUL repeats for the same.
    pub(super) fn can_hold(&self, password: &str) -> bool {
        let longest = match self.form {
            Form::Toml => LONGEST_PASSWORD,
            Form::Htpasswd if password.contains('\0') => return false,
            Form::Htpasswd => LONGEST_FOR_BCRYPT,
        };
        !password.is_empty() && password.len() <= longest
    }

    pub(super) fn find(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &User)> {
        self.users.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

impl Form {
    /// By the first line that is neither empty nor a comment: `NAME:HASH` is htpasswd's. In TOML no colon stands
    /// before a bracket, a quote or an equals sign.
    pub(super) fn of(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim);
        let first = lines.find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
        match first.find(['[', '"', '\'', '=', ':']) {
            Some(at) if first[at..].starts_with(':') => Self::Htpasswd,
            _ => Self::Toml,
        }
    }
}

fn user(name: &str, section: &mut Section<'_>) -> Option<(String, User)> {
    if let Err(complaint) = check_name(name) {
        section.error("", complaint.what, complaint.remedy);
    }
    let hash = section.required("password", password, "\"$argon2id$…\", which `foregate password` prints");
    let email = section.optional("email", plain_text);
    let full_name = section.optional("name", plain_text);
    let groups = section.list("groups", plain_text, Vec::new());
    let disabled = section.value("disabled", kind::boolean, false);
    Some((name.to_owned(), User { password: hash?, email, name: full_name, groups, disabled }))
}

/// Whether somebody can have this name: it stands in headers, in logs and on command lines.
pub(super) fn check_name(name: &str) -> Result<(), Complaint> {
    let what = match name {
        _ if name.is_empty() => "the name is empty",
        _ if name.len() > LONGEST_NAME => "the name is longer than 128 bytes",
        _ if name.trim() != name => "the name begins or ends with white space",
        _ if name.contains(|c: char| c.is_control() || c == ':' || c == ',') => {
            "the name holds a colon, a comma or a control character"
        }
        _ => return Ok(()),
    };
    Err(Complaint::new(what, "choose another name"))
}

/// Text that can stand in a header.
pub(super) fn check_text(text: &str) -> Result<(), Complaint> {
    let remedy = "applications get it in a header: remove them";
    if text.contains(char::is_control) {
        return Err(Complaint::new("holds control characters", remedy));
    }
    // Whoever reads the header takes them off, and the name may then be another's.
    if text.trim() != text {
        return Err(Complaint::new("begins or ends with white space", remedy));
    }
    Ok(())
}

fn plain_text(value: &Value<'_>) -> Result<String, Complaint> {
    let text = kind::text(value)?;
    check_text(&text)?;
    Ok(text)
}

fn password(value: &Value<'_>) -> Result<StoredHash, Complaint> {
    kind::text_as(|text| {
        let remedy = "`foregate password` makes one, `foregate users passwd NAME` puts it here";
        let complain = |what: &str| Complaint::new(what, remedy);
        let hash = PasswordHash::new(text).map_err(|_| complain("is no password hash"))?;
        if hash.algorithm.as_str() != "argon2id" || hash.hash.is_none() || hash.salt.is_none() {
            return Err(complain("is no argon2id hash"));
        }
        let params =
            Params::try_from(&hash).map_err(|_| complain("has parameters that argon2id does not take"))?;
        if params.m_cost() > MOST.0 || params.t_cost() > MOST.1 || params.p_cost() > MOST.2 {
            return Err(complain("costs more than 1 GiB, 64 passes or 16 lanes"));
        }
        Ok(StoredHash::Argon2(Arc::new(hash), params))
    })(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$VFFNHbNUd7+zpj1BEqGq0Zk5lC6jbBzHx0nNmLJl5DM";

    fn faults(text: &str) -> Vec<String> {
        let faults = UsersFile::parse(Path::new("users.toml"), text).unwrap_err();
        faults.as_slice().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_with_everything_is_read() {
        let text = format!(
            "[users.alice]\npassword = \"{HASH}\"\nemail = \"a@example.com\"\nname = \"Ä\"\ngroups = [\"x\"]\n\
             [users.\"b@example.com\"]\npassword = \"{HASH}\"\ndisabled = true\n"
        );
        let file = UsersFile::parse(Path::new("users.toml"), &text).unwrap();
        assert_eq!(file.find("alice").unwrap().email.as_deref(), Some("a@example.com"));
        assert!(file.find("b@example.com").unwrap().disabled);
        assert_eq!(file.all().count(), 2);
    }

    #[test]
    fn the_first_line_that_says_something_tells_how_a_file_is_written() {
        for text in ["alice:$2y$05$x", "# people\n\n  alice:x", "a b:x", "é:x", ":", "alice:{SHA}x="] {
            assert_eq!(Form::of(text), Form::Htpasswd, "{text}");
        }
        for text in [
            "",
            "# alice:$2y$05$x\n",
            "[users.alice]\npassword = \"a:b\"",
            "[users.\"a:b\"]",
            "\"users\".alice.password = \"a:b\"",
            "'a:b' = 1",
            "users.alice.password = \"a:b\"",
            "alice",
        ] {
            assert_eq!(Form::of(text), Form::Toml, "{text}");
        }
    }

    #[test]
    fn every_fault_is_told_with_its_line_and_never_with_the_hash() {
        let text = format!(
            "[users.alice]\npassword = \"hunter2\"\nadmin = true\n\
             [users.bob]\nname = \"line\\nbreak\"\n\
             [users.\"c,d\"]\npassword = \"{HASH}\"\n\
             [users.eve]\npassword = \"{}\"\n",
            HASH.replace("m=8", "m=4194304")
        );
        let faults = faults(&text);
        assert_eq!(faults.len(), 6, "{faults:#?}");
        assert!(
            faults[0].starts_with("users.toml:2:12: error: users.alice.password: is no password hash"),
            "{faults:#?}"
        );
        assert!(faults.iter().any(|line| line.contains("users.bob.password: is missing")), "{faults:#?}");
        assert!(!faults.concat().contains("hunter2"));
    }
}
