//! The names of keys, all derived from `key_prefix`.

use crate::base::handle::Handle;
use crate::store::BucketName;

/// Names keys.
#[derive(Debug)]
pub(super) struct Keys {
    session: String,
    index: String,
    bucket: String,
    parcel: String,
}

impl Keys {
    /// Keys under `prefix`, which ends with a colon. Sessions have it to themselves: the others' prefixes differ
    /// before the colon.
    pub(super) fn new(prefix: &str) -> Self {
        let stem = prefix.strip_suffix(':').unwrap_or(prefix);
        let beside = |what| format!("{stem}-{what}:");
        let (index, bucket, parcel) = (beside("user"), beside("rate"), beside("parcel"));
        Self { session: prefix.to_owned(), index, bucket, parcel }
    }

    /// The key of a session's record.
    pub(super) fn session(&self, handle: &Handle) -> String {
        format!("{}{handle}", self.session)
    }

    /// The handle in the key of a session's record.
    pub(super) fn handle(&self, key: &[u8]) -> Option<Handle> {
        str::from_utf8(key.strip_prefix(self.session.as_bytes())?).ok()?.parse().ok()
    }

    /// A pattern (of `SCAN`'s kind) that the keys of all sessions fit.
    pub(super) fn all_sessions(&self) -> String {
        let special = |c| matches!(c, '*' | '?' | '[' | ']' | '\\' | '^');
        let mut pattern = String::with_capacity(self.session.len() + 1);
        for c in self.session.chars() {
            if special(c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + "*"
    }

    /// The key of an account's index.
    pub(super) fn index(&self, account: &str) -> String {
        format!("{}{account}", self.index)
    }

    /// The key of a bucket of attempts.
    pub(super) fn bucket(&self, name: &BucketName) -> String {
        format!("{}{name}", self.bucket)
    }

    /// The key of a parcel.
    pub(super) fn parcel(&self, name: &Handle) -> String {
        format!("{}{name}", self.parcel)
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
        let name = BucketName { scope: "client", digest: [0; 16] };
        assert_eq!(keys.bucket(&name), "session-rate:client:AAAAAAAAAAAAAAAAAAAAAA");
        let parcel = keys.parcel(&Handle::new([0; 16]));
        assert_eq!(parcel, "session-parcel:AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(keys.handle(parcel.as_bytes()), None);
        assert_eq!(keys.handle(b"session:AAAAAAAAAAAAAAAAAAAAAA"), Some(Handle::new([0; 16])));
        for other in ["session:", "session:x", "session-user:AAAAAAAAAAAAAAAAAAAAAA", "\u{0}"] {
            assert_eq!(keys.handle(other.as_bytes()), None);
        }
        assert_eq!(Keys::new("a*[b]:").all_sessions(), "a\\*\\[b\\]:*");
        assert_eq!(Keys::new("shop:sid:").index("abc"), "shop:sid-user:abc");
    }
}
