//! What was set, and where.

use super::fault::Origin;

/// What stands for a secret where settings are told.
const REDACTED: &str = "[redacted]";

/// A value that is not its key's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The dotted path of the key.
    pub key: String,
    /// The value as it was written, without secrets.
    pub text: String,
    /// Where it was written.
    pub origin: Origin,
}

/// Whether a value may be told.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// All but the login of a URL.
    Plainly,
    /// That there is one.
    Hidden,
}

impl Told {
    /// `written` on one line, as it may be told.
    pub(super) fn text(self, written: &str) -> String {
        match self {
            Self::Plainly => without_login(&written.lines().map(str::trim).collect::<Vec<_>>().join(" ")),
            Self::Hidden => REDACTED.to_owned(),
        }
    }
}

/// Without what stands between the first `://` and the last `@`: a password holds whatever it likes.
fn without_login(text: &str) -> String {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, place)) => format!("{scheme}://{REDACTED}@{place}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_a_url_is_not_told() {
        for (written, told) in [
            ("\"redis://host:6379/0\"", "\"redis://host:6379/0\""),
            ("\"redis://me:a@b/c@host/0\"", "\"redis://[redacted]@host/0\""),
            ("[\n  \"a\",\n  \"b\",\n]", "[ \"a\", \"b\", ]"),
        ] {
            assert_eq!(Told::Plainly.text(written), told);
        }
        assert_eq!(Told::Hidden.text("\"hunter2\""), "[redacted]");
    }
}
