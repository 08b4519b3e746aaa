//! Base64url without padding (RFC 4648 §5), read in its canonical form only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text for `bytes`.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes that `text` stands for; `None` where another text, or none, would be their canonical form
/// (padding, foreign characters, non-zero trailing bits).
pub fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// As [`decode`], for a value of exactly `N` bytes.
pub fn decode_array<const N: usize>(text: impl AsRef<[u8]>) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_read() {
        assert_eq!(decode("_-8"), Some(vec![0xff, 0xef]));
        for text in ["_-9", "_-8=", "/+8", "_-8 ", "_", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn an_array_has_exactly_its_length() {
        assert_eq!(decode_array::<2>("_-8"), Some([0xff, 0xef]));
        assert_eq!(decode_array::<3>("_-8"), None);
    }
}
