//! What a route passes on that is refused elsewhere, and the credentials that it adds.

use super::context::Context;
use super::reader::{Section, kind};
use super::secret;
use crate::base::secret::Secret;
use crate::http::Underscores;

/// What a route passes on that is refused elsewhere, and the credentials that it adds.
#[derive(Clone, Debug, Default)]
pub struct Passing {
    /// What becomes of `%2f` and `%5c` in a path.
    pub encoded_slashes: EncodedSlashes,
    /// What becomes of header names with an underscore.
    pub underscore_headers: Underscores,
    /// The upstream's own `user:password`, which takes the place of what the client sent (RFC 7617).
    pub basic_credentials: Option<Secret<Vec<u8>>>,
}

/// What becomes of `%2f` and `%5c` in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlashes {
    /// Such a path is refused.
    #[default]
    Refuse,
    /// They are part of their segment, for the match and for the upstream alike.
    Pass,
}

const ENCODED_SLASHES: [(&str, EncodedSlashes); 2] =
    [("refuse", EncodedSlashes::Refuse), ("pass", EncodedSlashes::Pass)];

const UNDERSCORES: [(&str, Underscores); 2] = [("drop", Underscores::Drop), ("pass", Underscores::Pass)];

pub(super) fn read(section: &mut Section<'_>, context: Context<'_>) -> Passing {
    Passing {
        encoded_slashes: section.value(
            "encoded_slashes",
            kind::one_of(&ENCODED_SLASHES),
            EncodedSlashes::Refuse,
        ),
        underscore_headers: section.value(
            "underscore_headers",
            kind::one_of(&UNDERSCORES),
            Underscores::Drop,
        ),
        basic_credentials: credentials(section, context),
    }
}

fn credentials(section: &mut Section<'_>, context: Context<'_>) -> Option<Secret<Vec<u8>>> {
    const KEY: &str = "basic_credentials";
    let source = secret::source(section, KEY, context)?;
    let credentials = secret::resolve(section, KEY, source, context)?;
    let bytes = credentials.expose();
    if !bytes.contains(&b':') {
        section.error(KEY, "has no colon", "write USER:PASSWORD there");
    }
    if bytes.iter().any(u8::is_ascii_control) {
        section.error(KEY, "holds a control character", "write USER:PASSWORD there, and nothing else");
    }
    Some(credentials)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{development, outcome, production};
    use super::*;

    fn passing(text: &str) -> Result<Passing, Vec<String>> {
        outcome(text, |section| read(section, development(&[]))).map(|(passing, _)| passing)
    }

    #[test]
    fn nothing_passes_that_is_not_said_to() {
        let usual = passing("").unwrap();
        assert_eq!(usual.encoded_slashes, EncodedSlashes::Refuse);
        assert_eq!(usual.underscore_headers, Underscores::Drop);
        assert_eq!(usual.basic_credentials, None);
        let open = passing("encoded_slashes = \"pass\"\nunderscore_headers = \"pass\"").unwrap();
        assert_eq!(open.encoded_slashes, EncodedSlashes::Pass);
        assert_eq!(open.underscore_headers, Underscores::Pass);
    }

    #[test]
    fn credentials_are_a_user_and_a_password() {
        for good in ["user:pass:word", ":", "jürgen:ß"] {
            let read = passing(&format!("basic_credentials = \"{good}\"")).unwrap();
            assert_eq!(read.basic_credentials.unwrap().expose(), good.as_bytes());
        }
        for (bad, says) in [
            ("hunter2", "basic_credentials: has no colon"),
            ("user:hunter2\\r", "holds a control character"),
            ("user:hunter2\\nX: y", "holds a control character"),
        ] {
            let faults = passing(&format!("basic_credentials = \"{bad}\"")).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains(says), "{faults:?}");
            assert!(!faults[0].contains("hunter2"), "{faults:?}");
        }
    }

    #[test]
    fn production_takes_them_from_elsewhere() {
        let context = production(&[("APP", "user:password")]);
        let read = |text| outcome(text, |section| read(section, context)).map(|(passing, _)| passing);
        assert!(read("basic_credentials = \"user:password\"").unwrap_err()[0].contains("production refuses"));
        assert!(read("basic_credentials = { env = \"APP\" }").unwrap().basic_credentials.is_some());
    }
}
