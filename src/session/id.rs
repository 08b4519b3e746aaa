//! Session ids.

use sha2::{Digest, Sha256};

use crate::base::base64url;
use crate::base::handle::Handle;
use crate::base::random::Random;
use crate::base::secret::{Secret, same_bytes};

/// 32 random bytes: the first 16 are the *selector*, which names the session, the last 16 the *verifier*,
/// which proves that the bearer may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionId(Secret<[u8; 32]>);

impl SessionId {
    /// A new one.
    pub(super) fn new(random: Random) -> Self {
        Self(Secret::new(random.bytes()))
    }

    /// A new id for the same session: another verifier under the same selector.
    pub(super) fn successor(&self, random: Random) -> Self {
        let mut bytes = *self.0.expose();
        bytes[16..].copy_from_slice(&random.bytes::<16>());
        Self(Secret::new(bytes))
    }

    /// From the bytes that a signed value vouched for.
    pub(super) const fn from_bytes(bytes: Secret<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Its bytes, for the signed value.
    pub(super) const fn bytes(&self) -> &Secret<[u8; 32]> {
        &self.0
    }

    /// The session's name: the first 16 bytes of SHA-256 of the selector.
    pub(super) fn handle(&self) -> Handle {
        let digest: [u8; 32] = Sha256::digest(&self.0.expose()[..16]).into();
        Handle::new(std::array::from_fn(|at| digest[at]))
    }

    /// What the record keeps to recognise the verifier by.
    pub(super) fn key(&self) -> VerifierKey {
        VerifierKey(Sha256::digest(&self.0.expose()[16..]).into())
    }
}

/// SHA-256 of a verifier.
#[derive(Clone, Debug)]
pub(super) struct VerifierKey([u8; 32]);

impl VerifierKey {
    /// From the record.
    pub(super) fn parse(text: &str) -> Option<Self> {
        base64url::decode_array(text).map(Self)
    }

    /// For the record.
    pub(super) fn text(&self) -> String {
        base64url::encode(self.0)
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        same_bytes(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_has_the_handle_and_another_key() {
        let id = SessionId::new(Random::system());
        let next = id.successor(Random::system());
        assert_eq!(id.handle(), next.handle());
        assert_ne!(id.key(), next.key());
        assert_ne!(next.key(), id.successor(Random::system()).key());
    }

    #[test]
    fn the_handle_depends_on_the_selector_and_the_key_on_the_verifier() {
        let mut bytes = [7; 32];
        let id = SessionId(Secret::new(bytes));
        bytes[31] ^= 1;
        let rotated = SessionId(Secret::new(bytes));
        assert_eq!(id.handle(), rotated.handle());
        assert_ne!(id.key(), rotated.key());
        bytes[0] ^= 1;
        assert_ne!(id.handle(), SessionId(Secret::new(bytes)).handle());
    }
}
