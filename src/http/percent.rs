//! Percent-encoding (RFC 3986 §2.1), read once and read as often as anybody might.

/// A `%` that no two hexadecimal digits follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidEscape;

/// The byte that the escape at the start of `text` stands for.
pub(super) fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Replaces the escapes of unreserved characters (§2.3), which never needed any, and leaves the others as they
/// came.
pub(super) fn decode_unreserved(text: &str) -> Result<String, InvalidEscape> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, escaped) = rest.split_at(at);
        decoded.push_str(before);
        let byte = escape(escaped.as_bytes()).ok_or(InvalidEscape)?;
        let (escaped, after) = escaped.split_at(3);
        if is_unreserved(byte) {
            decoded.push(char::from(byte));
        } else {
            decoded.push_str(escaped);
        }
        rest = after;
    }
    decoded.push_str(rest);
    Ok(decoded)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Decodes until nothing is left to decode, in linear time.
///
/// Two escapes never overlap, as `%` is no digit, so the order of decoding does not change where it ends; here
/// each escape is decoded as soon as its last digit is there. Each decoding shortens the text by two bytes, so
/// there are fewer of them than the text has bytes.
pub(super) fn decode_fully(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    for &byte in text {
        decoded.push(byte);
        while let Some(start) = decoded.len().checked_sub(3)
            && let Some(byte) = escape(&decoded[start..])
        {
            decoded.truncate(start);
            decoded.push(byte);
        }
    }
    decoded
}

/// Whether a longer UTF-8 sequence than it takes (RFC 3629 §3) stands for an ASCII character somewhere: lax
/// decoders read `C0 AE` as a dot. Other bytes that are no UTF-8 are somebody's Latin-1.
pub(super) fn has_overlong_ascii(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| match &bytes[at..] {
        [0xc0 | 0xc1, last, ..]
        | [0xe0, 0x80 | 0x81, last, ..]
        | [0xf0, 0x80, 0x80 | 0x81, last, ..]
        | [0xf8, 0x80, 0x80, 0x80 | 0x81, last, ..]
        | [0xfc, 0x80, 0x80, 0x80, 0x80 | 0x81, last, ..] => matches!(last, 0x80..=0xbf),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_no_escape_is_decoded() {
        assert_eq!(decode_unreserved("/%61%2E%7e%2f%25%32e"), Ok("/a.~%2f%252e".to_owned()));
        for text in ["%", "%4", "%zz", "%u002e", "%2%65", "%+1", "%é1"] {
            assert_eq!(decode_unreserved(text), Err(InvalidEscape), "{text}");
        }
    }

    #[test]
    fn decoding_ends_where_nothing_is_left() {
        for (text, decoded) in [
            ("%2525252e", "."),
            ("%25%32%65", "."),
            ("%2%35%32%65", "."),
            ("100%25", "100%"),
            ("%2541%zz", "A%zz"),
        ] {
            assert_eq!(decode_fully(text.as_bytes()), decoded.as_bytes(), "{text}");
        }
    }

    #[test]
    fn decoding_takes_linear_time() {
        let nested = format!("%{}2e", "25".repeat(1 << 20));
        assert_eq!(decode_fully(nested.as_bytes()), b".");
        let flat = "%25".repeat(1 << 20);
        assert_eq!(decode_fully(flat.as_bytes()).len(), 1 << 20);
    }

    #[test]
    fn overlong_sequences_are_known_from_old_encodings() {
        for overlong in [
            b"\xc0\xae".as_slice(),
            b"a\xc1\x9cb",
            b"\xe0\x80\xaf",
            b"\xe0\x81\x81",
            b"\xf0\x80\x80\xae",
            b"\xf8\x80\x80\x80\xae",
            b"\xfc\x80\x80\x80\x80\xae",
        ] {
            assert!(has_overlong_ascii(overlong), "{overlong:x?}");
        }
        for other in
            ["\u{e9}".as_bytes(), "\u{20ac}\u{1f600}".as_bytes(), b"\xc0 la carte", b"\xe0\xa0\x80", b"\xc0"]
        {
            assert!(!has_overlong_ascii(other), "{other:x?}");
        }
    }
}
