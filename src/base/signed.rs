//! Purpose-bound message authentication: a tag made for one purpose never verifies for another.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::secret::Secret;

/// What a tag vouches for. Each purpose has a key of its own, and its name is part of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The session cookie's value.
    SessionCookie,
    /// The cookie that binds the login form to one browser.
    LoginCookie,
    /// The login form's token.
    LoginForm,
    /// The token of forms that act on a session: logout.
    SessionForm,
    /// A session's record in the store.
    Record,
    /// The cookie by which a browser is known again.
    BrowserCookie,
    /// Whose a known browser is.
    BrowserOwner,
    /// The cookie by which a browser comes for a form that met an ended session.
    UnsentCookie,
    /// What stands for such a form when it is sent after all.
    UnsentForm,
    /// The names of the buckets in which such forms are counted.
    UnsentRoom,
    /// The names of the buckets in which attempts to log in are counted.
    LoginAttempts,
}

impl Purpose {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SessionCookie => "session-cookie",
            Self::LoginCookie => "login-cookie",
            Self::LoginForm => "login-form",
            Self::SessionForm => "session-form",
            Self::Record => "record",
            Self::BrowserCookie => "browser-cookie",
            Self::BrowserOwner => "browser-owner",
            Self::UnsentCookie => "unsent-cookie",
            Self::UnsentForm => "unsent-form",
            Self::UnsentRoom => "unsent-room",
            Self::LoginAttempts => "login-attempts",
        }
    }
}

/// The secrets that all keys are derived from.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// What is signed now is signed under this one.
    pub current: Secret<Vec<u8>>,
    /// What was signed under these still counts.
    pub previous: Vec<Secret<Vec<u8>>>,
}

/// Under which secret a tag was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The one that signs.
    Current,
    /// One that no longer signs.
    Previous,
}

/// Makes and checks tags for one purpose: HMAC-SHA256 over length-prefixed fields.
#[derive(Clone)]
pub struct Signer {
    purpose: Purpose,
    current: Hmac<Sha256>,
    previous: Vec<Hmac<Sha256>>,
}

impl Signer {
    /// The signer for `purpose`; its keys are HKDF-SHA256 (RFC 5869) of each secret, which its reader has
    /// taken one trailing newline from, with an empty salt and `foregate/v1/` and the purpose's name as info.
    pub fn derive(secrets: &Secrets, purpose: Purpose) -> Self {
        let keyed = |secret| keyed(secret, purpose);
        Self {
            purpose,
            current: keyed(&secrets.current),
            previous: secrets.previous.iter().map(keyed).collect(),
        }
    }

    /// The tag over the purpose's name and `fields`, each preceded by its length as four big-endian bytes, so
    /// that no two lists of fields read alike.
    pub fn tag(&self, fields: &[&[u8]]) -> [u8; 32] {
        self.absorb(&self.current, fields).finalize().into_bytes().into()
    }

    /// Under which secret `tag` was made over these `fields`, if under any: the current one is tried first, and
    /// each takes constant time.
    pub fn verify(&self, fields: &[&[u8]], tag: &[u8]) -> Option<Verified> {
        let fits = |key| self.absorb(key, fields).verify_slice(tag).is_ok();
        if fits(&self.current) {
            return Some(Verified::Current);
        }
        self.previous.iter().any(fits).then_some(Verified::Previous)
    }

    fn absorb(&self, key: &Hmac<Sha256>, fields: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = key.clone();
        for field in std::iter::once(self.purpose.name().as_bytes()).chain(fields.iter().copied()) {
            let length = u32::try_from(field.len()).expect("what is signed is far below 4 GiB");
            mac.update(&length.to_be_bytes());
            mac.update(field);
        }
        mac
    }
}

fn keyed(secret: &Secret<Vec<u8>>, purpose: Purpose) -> Hmac<Sha256> {
    let mut key = Zeroizing::new([0; 32]);
    let info = format!("foregate/v1/{}", purpose.name());
    Hkdf::<Sha256>::new(None, secret.expose())
        .expand(info.as_bytes(), key.as_mut_slice())
        .expect("32 bytes are within HKDF's bound of 255 hashes");
    Hmac::new_from_slice(key.as_slice()).expect("HMAC takes keys of any length")
}

impl fmt::Debug for Signer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Signer({:?}, [redacted])", self.purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secret: &str, purpose: Purpose) -> Signer {
        rotated(&[secret], purpose)
    }

    /// The first secret signs.
    fn rotated(secrets: &[&str], purpose: Purpose) -> Signer {
        let mut secrets = secrets.iter().map(|secret| Secret::new(secret.as_bytes().to_vec()));
        let current = secrets.next().unwrap();
        Signer::derive(&Secrets { current, previous: secrets.collect() }, purpose)
    }

    #[test]
    fn a_tag_is_bound_to_its_purpose_secret_and_fields() {
        let tag = signer("secret", Purpose::SessionCookie).tag(&[b"a", b"bc"]);
        let verify = |secret, purpose, fields: &[&[u8]]| signer(secret, purpose).verify(fields, &tag);
        assert_eq!(verify("secret", Purpose::SessionCookie, &[b"a", b"bc"]), Some(Verified::Current));
        assert_eq!(verify("secret", Purpose::LoginForm, &[b"a", b"bc"]), None);
        assert_eq!(verify("other", Purpose::SessionCookie, &[b"a", b"bc"]), None);
        assert_eq!(verify("secret", Purpose::SessionCookie, &[b"ab", b"c"]), None);
        assert_eq!(verify("secret", Purpose::SessionCookie, &[b"a", b"bc", b""]), None);
        assert_eq!(signer("secret", Purpose::SessionCookie).verify(&[b"a", b"bc"], &tag[..31]), None);
    }

    #[test]
    fn previous_secrets_verify_but_never_sign() {
        let (old, older) = (signer("old", Purpose::Record), signer("older", Purpose::Record));
        let rotated = rotated(&["new", "old", "older"], Purpose::Record);
        assert_eq!(rotated.verify(&[b"x"], &old.tag(&[b"x"])), Some(Verified::Previous));
        assert_eq!(rotated.verify(&[b"x"], &older.tag(&[b"x"])), Some(Verified::Previous));
        assert_eq!(rotated.verify(&[b"y"], &old.tag(&[b"x"])), None);
        assert_eq!(rotated.tag(&[b"x"]), signer("new", Purpose::Record).tag(&[b"x"]));
        assert_eq!(old.verify(&[b"x"], &rotated.tag(&[b"x"])), None);
    }
}
