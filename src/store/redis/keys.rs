//! The names of keys, all derived from `key_prefix`.

use crate::base::handle::Handle;

/// Names keys.
#[derive(Debug)]
pub(super) struct Keys {
    session: String,
    index: String,
}

impl Keys {
    /// Keys under `prefix`, which ends with a colon. Sessions have it to themselves: the index's prefix differs
    /// before the colon.
    pub(super) fn new(prefix: &str) -> Self {
        let stem = prefix.strip_suffix(':').unwrap_or(prefix);
        Self { session: prefix.to_owned(), index: format!("{stem}-user:") }
    }

    /// The key of a session's record.
    pub(super) fn session(&self, handle: &Handle) -> String {
        format!("{}{handle}", self.session)
    }

    /// The key of an account's index.
    pub(super) fn index(&self, account: &str) -> String {
        format!("{}{account}", self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_sessions_lies_under_the_prefix() {
        let keys = Keys::new("session:");
        assert_eq!(keys.session(&Handle::new([0; 16])), "session:AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(keys.index("abc"), "session-user:abc");
        assert_eq!(Keys::new("shop:sid:").index("abc"), "shop:sid-user:abc");
    }
}
