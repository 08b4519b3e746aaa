//! Purpose-bound encryption: what is sealed for one purpose opens for no other, and only for who knows the secret.
//!
//! AES-256-GCM (NIST SP 800-38D) under HKDF-SHA256 of the secret, with a random nonce of 96 bits before the ciphertext.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::random::Random;
use super::secret::Secret;

/// What something is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealPurpose {
    /// The id that takes an older one's place, for whoever bears the older one.
    NextSessionId,
    /// A form that met an ended session, for the browser that sent it.
    UnsentForm,
}

impl SealPurpose {
    const fn name(self) -> &'static str {
        match self {
            Self::NextSessionId => "next-session-id",
            Self::UnsentForm => "unsent-form",
        }
    }
}

/// Seals and opens under one secret.
pub struct Sealer {
    purpose: SealPurpose,
    key: LessSafeKey,
}

impl Sealer {
    /// Under a key derived from `secret`, of at least 16 random bytes.
    pub fn derive(secret: &[u8], purpose: SealPurpose) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let info = format!("foregate/v1/sealed/{}", purpose.name());
        Hkdf::<Sha256>::new(None, secret)
            .expand(info.as_bytes(), key.as_mut_slice())
            .expect("32 bytes are within HKDF's bound of 255 hashes");
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("the key has the algorithm's length");
        Self { purpose, key: LessSafeKey::new(key) }
    }

    /// The nonce, the ciphertext and its tag. It opens with the same `context` alone.
    pub fn seal(&self, plain: &[u8], context: &[u8], random: Random) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let mut sealed = plain.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut sealed)
            .expect("what is sealed is far below 64 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// What was sealed with the same `context`; `None` where it was not.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Option<Secret<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, Aad::from(context), &mut text).ok()?;
        Some(Secret::new(plain.to_vec()))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sealer({:?}, [redacted])", self.purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(secret: &[u8]) -> Sealer {
        Sealer::derive(secret, SealPurpose::NextSessionId)
    }

    #[test]
    fn what_is_sealed_opens_for_who_knows_the_secret_and_the_context() {
        let sealed = sealer(b"secret").seal(b"plain", b"context", Random::system());
        let opened = sealer(b"secret").open(&sealed, b"context").unwrap();
        assert_eq!(opened.expose(), b"plain");
        assert!(sealer(b"other").open(&sealed, b"context").is_none());
        assert!(sealer(b"secret").open(&sealed, b"another").is_none());
        assert!(!sealed.windows(5).any(|window| window == b"plain"));
    }

    #[test]
    fn a_change_of_any_bit_is_noticed() {
        let sealed = sealer(b"secret").seal(b"plain", b"", Random::system());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer(b"secret").open(&changed, b"").is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(sealer(b"secret").open(&sealed[..length], b"").is_none(), "{length} bytes");
        }
    }

    #[test]
    fn the_same_is_never_sealed_alike() {
        let seal = || sealer(b"secret").seal(b"plain", b"", Random::system());
        assert_ne!(seal(), seal());
    }
}
