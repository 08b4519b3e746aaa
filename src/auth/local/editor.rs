//! What `foregate users` does to the file: comments and order survive, two editors at once lose nothing, and a
//! crash leaves the old file or the new one.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use super::file::{Form, UsersFile, UsersFileError, check_name, check_text};
use crate::config::Faults;
use crate::config::reader::Complaint;

/// The file, open for changes; others wait until this one is done.
#[derive(Debug)]
pub struct UsersEditor {
    path: PathBuf,
    document: DocumentMut,
    /// Held until the editor is dropped.
    _lock: File,
}

/// What is said of a user beside the password.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// The e-mail address.
    pub email: Option<String>,
    /// The full name.
    pub name: Option<String>,
    /// The groups.
    pub groups: Vec<String>,
}

/// A user as `foregate users list` shows them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// The name.
    pub user: String,
    /// The full name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The groups.
    pub groups: Vec<String>,
    /// Whether the user cannot log in.
    pub disabled: bool,
}

/// The file cannot be changed so.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It cannot be read or written.
    #[error("cannot change {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is in it already is no good.
    #[error(transparent)]
    File(#[from] UsersFileError),
    /// It is somebody else's to change.
    #[error("{} is an htpasswd file, which foregate reads but does not change (htpasswd -B {} NAME adds a user or changes a password, htpasswd -D removes one)", .0.display(), .0.display())]
    Htpasswd(PathBuf),
    /// It is TOML that cannot be edited.
    #[error("cannot change {}: {source}", path.display())]
    Toml {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: toml_edit::TomlError,
    },
    /// Somebody has the name.
    #[error("user {0:?} exists already (to change the password: foregate users passwd {0})")]
    Exists(String),
    /// Nobody has it.
    #[error("there is no user {0:?} (foregate users list shows who there is)")]
    Unknown(String),
    /// A name or a detail that cannot be.
    #[error("{0}: {1}")]
    Unfit(String, Complaint),
}

impl From<Faults> for EditError {
    fn from(faults: Faults) -> Self {
        Self::File(faults.into())
    }
}

impl UsersEditor {
    /// Opens the file and waits for others that change it. A file that does not exist is made when it is saved.
    ///
    /// # Errors
    /// Where it cannot be read, or holds what nobody can make sense of.
    pub fn open(path: &Path) -> Result<Self, EditError> {
        // A link is followed here, so that the file it leads to is replaced and not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let failed = |source| EditError::Io { path: path.clone(), source };
        let lock = lock_beside(&path).map_err(failed)?;
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(failed)?,
        };
        if Form::of(&text) == Form::Htpasswd {
            return Err(EditError::Htpasswd(path));
        }
        UsersFile::parse(&path, &text)?;
        let document = text.parse().map_err(|source| EditError::Toml { path: path.clone(), source })?;
        Ok(Self { path, document, _lock: lock })
    }

    /// Who there is.
    ///
    /// # Errors
    /// None after [`UsersEditor::open`], which has read the same text.
    pub fn list(&self) -> Result<Vec<Listed>, EditError> {
        let file = UsersFile::parse(&self.path, &self.document.to_string())?;
        let listed = file.all().map(|(name, user)| Listed {
            user: name.clone(),
            name: user.name.clone(),
            email: user.email.clone(),
            groups: user.groups.clone(),
            disabled: user.disabled,
        });
        Ok(listed.collect())
    }

    /// Adds a user with this hash.
    ///
    /// # Errors
    /// Where the name is taken or cannot be one, or a detail cannot be told to applications.
    pub fn add(&mut self, name: &str, hash: &str, details: &Details) -> Result<(), EditError> {
        check_name(name).map_err(|complaint| EditError::Unfit(format!("{name:?}"), complaint))?;
        for text in details.email.iter().chain(&details.name).chain(&details.groups) {
            check_text(text).map_err(|complaint| EditError::Unfit(format!("{text:?}"), complaint))?;
        }
        if self.user(name).is_ok() {
            return Err(EditError::Exists(name.to_owned()));
        }
        let mut user = Table::new();
        user["password"] = value(hash);
        for (key, text) in [("email", &details.email), ("name", &details.name)] {
            if let Some(text) = text {
                user[key] = value(text);
            }
        }
        if !details.groups.is_empty() {
            user["groups"] = value(details.groups.iter().collect::<Array>());
        }
        self.users().insert(name, Item::Table(user));
        Ok(())
    }

    /// Gives a user another hash.
    ///
    /// # Errors
    /// Where there is no such user.
    pub fn set_password(&mut self, name: &str, hash: &str) -> Result<(), EditError> {
        self.set(name, "password", hash.into())
    }

    /// Lets a user log in no more.
    ///
    /// # Errors
    /// Where there is no such user.
    pub fn disable(&mut self, name: &str) -> Result<(), EditError> {
        self.set(name, "disabled", true.into())
    }

    /// Lets a disabled user log in again.
    ///
    /// # Errors
    /// Where there is no such user.
    pub fn enable(&mut self, name: &str) -> Result<(), EditError> {
        self.set(name, "disabled", false.into())
    }

    /// Takes a user out of the file.
    ///
    /// # Errors
    /// Where there is no such user.
    pub fn remove(&mut self, name: &str) -> Result<(), EditError> {
        self.user(name)?;
        self.users().remove(name);
        Ok(())
    }

    /// Writes the file: whole under another name first, and then at once. A new one is for its owner alone (0600),
    /// who is its folder's where root writes it; one that exists keeps its owner and group, so that the service that
    /// reads it still can, and is closed to everybody else.
    ///
    /// # Errors
    /// Where it cannot be written; then the old one stands.
    pub fn save(&self) -> Result<(), EditError> {
        self.replace().map_err(|source| EditError::Io { path: self.path.clone(), source })
    }

    fn replace(&self) -> io::Result<()> {
        let folder = folder_of(&self.path);
        let mut new = tempfile::Builder::new().prefix(".users-").tempfile_in(folder)?;
        new.write_all(self.document.to_string().as_bytes())?;
        if let Ok(old) = fs::metadata(&self.path) {
            std::os::unix::fs::fchown(new.as_file(), Some(old.uid()), Some(old.gid()))?;
            new.as_file().set_permissions(Permissions::from_mode(old.mode() & 0o640))?;
        } else {
            let folder = fs::metadata(folder)?;
            // Nobody but root can give a file away, and nobody else needs to.
            let _ = std::os::unix::fs::fchown(new.as_file(), Some(folder.uid()), Some(folder.gid()));
        }
        new.as_file().sync_all()?;
        new.persist(&self.path)?;
        File::open(folder)?.sync_all()
    }

    fn users(&mut self) -> &mut dyn TableLike {
        let users = self.document.entry("users").or_insert_with(|| {
            let mut users = Table::new();
            users.set_implicit(true);
            Item::Table(users)
        });
        users.as_table_like_mut().expect("the file was read with a section for each user")
    }

    fn user(&mut self, name: &str) -> Result<&mut Item, EditError> {
        self.users().get_mut(name).ok_or_else(|| EditError::Unknown(name.to_owned()))
    }

    fn set(&mut self, name: &str, key: &str, new: toml_edit::Value) -> Result<(), EditError> {
        let user =
            self.user(name)?.as_table_like_mut().expect("the file was read with a section for each user");
        user.insert(key, Item::Value(new));
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// The lock is a file of its own, since the users' file is replaced at each change.
fn lock_beside(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".lock");
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder_of(path).join(name))?;
    lock.lock()?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$VFFNHbNUd7+zpj1BEqGq0Zk5lC6jbBzHx0nNmLJl5DM";

    fn names(path: &Path) -> Vec<String> {
        let listed = UsersEditor::open(path).unwrap().list().unwrap();
        listed.into_iter().map(|user| user.user).collect()
    }

    #[test]
    fn a_file_that_did_not_exist_is_made_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let mut editor = UsersEditor::open(&path).unwrap();
        editor.add("alice", HASH, &Details::default()).unwrap();
        editor.save().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("[users.alice]\npassword = \"{HASH}\"\n"));
    }

    #[test]
    fn an_htpasswd_file_is_left_to_its_own_tool() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people");
        fs::write(&path, "alice:{SHA}x\n").unwrap();
        let error = UsersEditor::open(&path).unwrap_err().to_string();
        let path = path.display();
        assert!(error.starts_with(&format!("{path} is an htpasswd file, ")), "{error}");
        assert!(error.contains(&format!("htpasswd -B {path} NAME adds")), "{error}");
    }

    #[test]
    fn comments_and_the_order_of_users_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let text = format!(
            "# Ours.\n[users.zoe] # first\npassword = \"{HASH}\"\n\n# the boss\n[users.adam]\npassword = \"{HASH}\"\n"
        );
        fs::write(&path, &text).unwrap();
        let mut editor = UsersEditor::open(&path).unwrap();
        let details = Details { groups: vec!["a,b".to_owned()], ..Details::default() };
        editor.add("mia@example.com", HASH, &details).unwrap();
        editor.disable("zoe").unwrap();
        editor.save().unwrap();
        let saved = fs::read_to_string(&path).unwrap();
        assert!(saved.starts_with("# Ours.\n[users.zoe] # first\n"), "{saved}");
        assert!(saved.contains("disabled = true\n\n# the boss\n[users.adam]"), "{saved}");
        assert!(saved.contains("[users.\"mia@example.com\"]"), "{saved}");
        drop(editor);

        let mut editor = UsersEditor::open(&path).unwrap();
        editor.remove("mia@example.com").unwrap();
        editor.enable("zoe").unwrap();
        editor.save().unwrap();
        drop(editor);
        assert_eq!(names(&path), ["adam", "zoe"]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut editor = UsersEditor::open(&folder.path().join("users.toml")).unwrap();
        editor.add("alice", HASH, &Details::default()).unwrap();
        let again = editor.add("alice", HASH, &Details::default()).unwrap_err();
        assert!(again.to_string().contains("foregate users passwd alice"), "{again}");
        assert!(editor.set_password("bob", HASH).unwrap_err().to_string().contains("foregate users list"));
        let break_in = Details { name: Some("x\r\ny".to_owned()), ..Details::default() };
        assert!(matches!(editor.add("bob", HASH, &break_in), Err(EditError::Unfit(..))));
        assert!(matches!(editor.add("a:b", HASH, &Details::default()), Err(EditError::Unfit(..))));
    }

    #[test]
    fn a_new_file_that_root_makes_belongs_to_whom_its_folder_belongs_to() {
        let folder = tempfile::tempdir().unwrap();
        // As root the folder can be given away; else it stays ours, and so does the file.
        let _ = std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534));
        let owner = fs::metadata(folder.path()).unwrap().uid();
        let path = folder.path().join("users.toml");
        UsersEditor::open(&path).unwrap().save().unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (owner, 0o600));
    }

    #[test]
    fn a_file_keeps_its_owner_and_group_and_is_closed_to_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        // As root the file can be given away; else it stays ours.
        let _ = std::os::unix::fs::chown(&path, Some(65_534), Some(65_534));
        let owner = fs::metadata(&path).unwrap().uid();
        let mut editor = UsersEditor::open(&path).unwrap();
        editor.add("alice", HASH, &Details::default()).unwrap();
        editor.save().unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (owner, 0o640));
    }

    #[test]
    fn users_in_one_line_are_users_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        fs::write(&path, format!("users = {{ alice = {{ password = \"{HASH}\" }} }}\n")).unwrap();
        let mut editor = UsersEditor::open(&path).unwrap();
        editor.disable("alice").unwrap();
        editor.remove("alice").unwrap();
        editor.save().unwrap();
        drop(editor);
        assert!(names(&path).is_empty());
    }

    #[test]
    fn editors_at_once_lose_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        std::thread::scope(|scope| {
            for number in 0..16 {
                let path = &path;
                scope.spawn(move || {
                    let mut editor = UsersEditor::open(path).unwrap();
                    editor.add(&format!("user{number}"), HASH, &Details::default()).unwrap();
                    editor.save().unwrap();
                });
            }
        });
        assert_eq!(names(&path).len(), 16);
    }

    #[test]
    fn a_link_leads_to_the_file_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("link.toml"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut editor = UsersEditor::open(&link).unwrap();
        editor.add("alice", HASH, &Details::default()).unwrap();
        editor.save().unwrap();
        drop(editor);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(names(&real), ["alice"]);
    }
}
