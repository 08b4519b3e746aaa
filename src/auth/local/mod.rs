//! Users in a file.

mod editor;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod htpasswd;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

pub use editor::{Details, EditError, Listed, UsersEditor};
pub use file::UsersFileError;

use super::password::{Check, Cost, PasswordQueue};
use super::{AuthError, Refusal};
use crate::base::file_version::FileVersion;
use crate::base::identity::{Account, Identity};
use crate::base::lock::lock;
use crate::base::secret::Secret;
use crate::config::LocalAuth;
use file::{User, UsersFile};

/// The users of `[auth.local]`, as their file says; read again when it changes.
#[derive(Debug)]
pub struct LocalUsers {
    path: PathBuf,
    users: ArcSwap<UsersFile>,
    version: Mutex<Option<FileVersion>>,
    queue: PasswordQueue,
}

impl LocalUsers {
    /// Reads the file; one that does not exist counts as empty.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn open(config: &LocalAuth, queue: PasswordQueue) -> Result<Self, UsersFileError> {
        let version = FileVersion::of(&config.users);
        let users = UsersFile::read(&config.users)?;
        let path = config.users.clone();
        Ok(Self { path, users: ArcSwap::from_pointee(users), version: Mutex::new(version.ok()), queue })
    }

    /// Whether nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.users.load().is_empty()
    }

    /// Reads the file again where it has changed; says whether it has.
    ///
    /// # Errors
    /// Where it is no good now: the users stay as they were. It is not looked at again before it changes.
    pub fn reload_if_changed(&self) -> Result<bool, UsersFileError> {
        let now = FileVersion::of(&self.path).ok();
        let mut last = lock(&self.version);
        if *last == now {
            return Ok(false);
        }
        *last = now;
        self.users.store(Arc::new(UsersFile::read(&self.path)?));
        Ok(true)
    }

    /// The identity of whoever knows `user`'s password. Unknown and disabled users cost the same work.
    ///
    /// # Errors
    /// Where the password is not proven to be the user's.
    pub async fn authenticate(&self, user: &str, password: Secret<String>) -> Result<Identity, AuthError> {
        let users = self.users.load_full();
        // What a password may be is no secret, whoever's it is.
        if !users.can_hold(password.expose()) {
            return Err(AuthError::Refused(Refusal::ImpossiblePassword));
        }
        let found = users.find(user);
        let check = match found {
            Some(found) => Check::Against(found.password.clone()),
            None => Check::Pretend(users.cost_as_if_for(user)),
        };
        let is_right = self.queue.verify(password, check).await?;
        match found {
            None => Err(AuthError::Refused(Refusal::UnknownUser)),
            Some(_) if !is_right => Err(AuthError::Refused(Refusal::WrongPassword)),
            Some(found) if found.disabled => Err(AuthError::Refused(Refusal::Disabled)),
            Some(found) => Ok(identity(user, found)),
        }
    }
}

impl UsersFile {
    /// The cost of checking an unknown user's password: that of some user of the file, the same one each time, so
    /// that in a file of several costs the time tells nobody which users exist.
    fn cost_as_if_for(&self, user: &str) -> Cost {
        let digest = Sha256::digest(user.as_bytes());
        let number = u64::from_be_bytes(std::array::from_fn(|at| digest[at]));
        let count = u64::try_from(self.all().count()).unwrap_or(u64::MAX);
        let at = number.checked_rem(count).and_then(|at| usize::try_from(at).ok());
        let somebody = at.and_then(|at| self.all().nth(at));
        somebody.map_or_else(Cost::standard, |(_, user)| user.password.cost())
    }
}

fn identity(name: &str, user: &User) -> Identity {
    Identity {
        account: Account::local(name),
        user: name.to_owned(),
        name: user.name.clone(),
        email: user.email.clone(),
        groups: user.groups.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::password::LONGEST_PASSWORD;
    use super::*;
    use argon2::{Algorithm, Argon2, Params, Version as Argon2Version};
    use password_hash::PasswordHasher;
    use password_hash::phc::PasswordHash;

    fn hash(password: &str, memory: u32) -> String {
        let params = Params::new(memory, 1, 1, None).unwrap();
        let hasher = Argon2::new(Algorithm::Argon2id, Argon2Version::V0x13, params);
        let hash: PasswordHash =
            hasher.hash_password_with_salt(password.as_bytes(), b"saltsaltsaltsalt").unwrap();
        hash.to_string()
    }

    /// "tiger" and 72 times "x", as libxcrypt hashed them.
    const TIGER: &str = "$2y$04$abcdefghijklmnopqrstuuoXEAgIDjMnun1kq3xCCZC6132Y0COXS";
    const LONGEST: &str = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";

    fn users(text: &str) -> (tempfile::TempDir, LocalUsers) {
        let folder = tempfile::tempdir().unwrap();
        let config = LocalAuth { users: folder.path().join("users.toml") };
        fs::write(&config.users, text).unwrap();
        let users = LocalUsers::open(&config, PasswordQueue::new(None)).unwrap();
        (folder, users)
    }

    async fn refusal(users: &LocalUsers, name: &str, password: &str) -> AuthError {
        users.authenticate(name, Secret::new(password.to_owned())).await.unwrap_err()
    }

    #[tokio::test]
    async fn only_the_right_password_of_an_enabled_user_lets_in() {
        let text = format!(
            "[users.alice]\npassword = \"{}\"\nname = \"Alice\"\ngroups = [\"staff\"]\n\
             [users.bob]\npassword = \"{}\"\ndisabled = true\n",
            hash("tiger", 8),
            hash("lion", 8)
        );
        let (_folder, users) = users(&text);
        let alice = users.authenticate("alice", Secret::new("tiger".to_owned())).await.unwrap();
        assert_eq!((alice.user.as_str(), alice.name.as_deref()), ("alice", Some("Alice")));
        assert_eq!(alice.account, Account::local("alice"));
        for (name, password, why) in [
            ("alice", "lion", Refusal::WrongPassword),
            ("Alice", "tiger", Refusal::UnknownUser),
            ("nobody", "tiger", Refusal::UnknownUser),
            ("bob", "lion", Refusal::Disabled),
            ("bob", "tiger", Refusal::WrongPassword),
            ("alice", "", Refusal::ImpossiblePassword),
            ("alice", &"x".repeat(LONGEST_PASSWORD + 1), Refusal::ImpossiblePassword),
        ] {
            assert_eq!(refusal(&users, name, password).await, AuthError::Refused(why), "{name}");
        }
    }

    #[tokio::test]
    async fn a_changed_file_counts_and_a_broken_one_changes_nothing() {
        let (folder, users) = users(&format!("[users.alice]\npassword = \"{}\"\n", hash("tiger", 8)));
        assert!(!users.reload_if_changed().unwrap());
        let path = folder.path().join("users.toml");
        fs::write(&path, format!("[users.carol]\npassword = \"{}\"\n", hash("puma", 8))).unwrap();
        assert!(users.reload_if_changed().unwrap());
        assert!(users.authenticate("carol", Secret::new("puma".to_owned())).await.is_ok());
        assert_eq!(refusal(&users, "alice", "tiger").await, AuthError::Refused(Refusal::UnknownUser));

        fs::write(&path, "[users.carol]\npassword = \"plain\"\n").unwrap();
        assert!(users.reload_if_changed().is_err());
        assert!(!users.reload_if_changed().unwrap(), "it is complained of once");
        assert!(users.authenticate("carol", Secret::new("puma".to_owned())).await.is_ok());
        fs::remove_file(&path).unwrap();
        assert!(users.reload_if_changed().unwrap());
        assert!(users.is_empty());
    }

    #[test]
    fn an_unknown_users_password_costs_what_a_known_ones_does() {
        let text = format!(
            "[users.alice]\npassword = \"{}\"\n[users.bob]\npassword = \"{}\"\n",
            hash("tiger", 8),
            hash("lion", 16)
        );
        let cost = |memory| Cost::Argon2(Params::new(memory, 1, 1, Some(32)).unwrap());
        assert_costs(&text, &[cost(8), cost(16)]);
        let text = format!("alice:{TIGER}\nbob:{}\n", TIGER.replace("$04$", "$06$"));
        assert_costs(&text, &[Cost::Bcrypt(4), Cost::Bcrypt(6)]);
        assert_costs("", &[Cost::standard()]);
    }

    /// Among many unknown users each of these costs is met, and no other; one name always costs the same.
    fn assert_costs(text: &str, costs: &[Cost]) {
        let (_folder, users) = users(text);
        let users = users.users.load();
        let met: Vec<Cost> = (0..100).map(|number| users.cost_as_if_for(&format!("user{number}"))).collect();
        assert!(met.iter().all(|cost| costs.contains(cost)), "{:?}", met[0]);
        assert!(costs.iter().all(|cost| met.contains(cost)), "{:?}", met[0]);
        assert_eq!(users.cost_as_if_for("nobody"), users.cost_as_if_for("nobody"));
    }

    #[tokio::test]
    async fn users_of_an_htpasswd_file_log_in_with_passwords_that_bcrypt_takes_whole() {
        let (_folder, users) = users(&format!("# people\nalice:{TIGER}\nbob:{LONGEST}\n"));
        let log_in = |name, password: &str| users.authenticate(name, Secret::new(password.to_owned()));
        let alice = log_in("alice", "tiger").await.unwrap();
        assert_eq!((alice.account, alice.email), (Account::local("alice"), None));
        assert!(alice.groups.is_empty());
        let longest = "x".repeat(72);
        assert!(log_in("bob", &longest).await.is_ok());
        for (name, password, why) in [
            ("alice", "Tiger", Refusal::WrongPassword),
            ("nobody", "tiger", Refusal::UnknownUser),
            ("bob", &format!("{longest}y"), Refusal::ImpossiblePassword),
            ("nobody", &format!("{longest}y"), Refusal::ImpossiblePassword),
            ("alice", "tiger\0tiger", Refusal::ImpossiblePassword),
            ("alice", "", Refusal::ImpossiblePassword),
        ] {
            assert_eq!(refusal(&users, name, password).await, AuthError::Refused(why), "{name} {password}");
        }
    }

    #[test]
    fn a_file_that_does_not_exist_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let config = LocalAuth { users: folder.path().join("none.toml") };
        assert!(LocalUsers::open(&config, PasswordQueue::new(None)).unwrap().is_empty());
    }
}
