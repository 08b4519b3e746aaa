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
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::SessionCookie => "session-cookie",
            Self::LoginCookie => "login-cookie",
            Self::LoginForm => "login-form",
            Self::SessionForm => "session-form",
            Self::Record => "record",
        }
    }
}

/// Makes and checks tags for one purpose: HMAC-SHA256 over length-prefixed fields.
#[derive(Clone)]
pub struct Signer {
    purpose: Purpose,
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// The signer for `purpose`; its key is HKDF-SHA256 (RFC 5869) of `secret`, which its reader has taken one
    /// trailing newline from, with an empty salt and `foregate/v1/` and the purpose's name as info.
    pub fn derive(secret: &Secret<Vec<u8>>, purpose: Purpose) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let info = format!("foregate/v1/{}", purpose.name());
        Hkdf::<Sha256>::new(None, secret.expose())
            .expand(info.as_bytes(), key.as_mut_slice())
            .expect("32 bytes are within HKDF's bound of 255 hashes");
        Self { purpose, keyed: Hmac::new_from_slice(key.as_slice()).expect("HMAC takes keys of any length") }
    }

    /// The tag over the purpose's name and `fields`, each preceded by its length as four big-endian bytes, so
    /// that no two lists of fields read alike.
    pub fn tag(&self, fields: &[&[u8]]) -> [u8; 32] {
        self.absorb(fields).finalize().into_bytes().into()
    }

    /// Whether `tag` was made over these `fields` under this key; takes constant time.
    pub fn verify(&self, fields: &[&[u8]], tag: &[u8]) -> bool {
        self.absorb(fields).verify_slice(tag).is_ok()
    }

    fn absorb(&self, fields: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for field in std::iter::once(self.purpose.name().as_bytes()).chain(fields.iter().copied()) {
            let length = u32::try_from(field.len()).expect("what is signed is far below 4 GiB");
            mac.update(&length.to_be_bytes());
            mac.update(field);
        }
        mac
    }
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
        Signer::derive(&Secret::new(secret.as_bytes().to_vec()), purpose)
    }

    #[test]
    fn a_tag_is_bound_to_its_purpose_secret_and_fields() {
        let tag = signer("secret", Purpose::SessionCookie).tag(&[b"a", b"bc"]);
        assert!(signer("secret", Purpose::SessionCookie).verify(&[b"a", b"bc"], &tag));
        assert!(!signer("secret", Purpose::LoginForm).verify(&[b"a", b"bc"], &tag));
        assert!(!signer("other", Purpose::SessionCookie).verify(&[b"a", b"bc"], &tag));
        assert!(!signer("secret", Purpose::SessionCookie).verify(&[b"ab", b"c"], &tag));
        assert!(!signer("secret", Purpose::SessionCookie).verify(&[b"a", b"bc", b""], &tag));
        assert!(!signer("secret", Purpose::SessionCookie).verify(&[b"a", b"bc"], &tag[..31]));
    }
}
