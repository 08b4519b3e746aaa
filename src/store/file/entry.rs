//! What lies under a handle in the file.

use crate::base::clock::Timestamp;
use crate::store::{NewSession, Touch};

/// A session's bytes, and what the store itself has to know about it. In the file: the expiry in milliseconds
/// (eight bytes), the length of the account (four), the account, the record; numbers big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) expires_at: Timestamp,
    pub(super) account: Vec<u8>,
    pub(super) record: Vec<u8>,
}

impl Entry {
    pub(super) fn of(session: &NewSession<'_>) -> Self {
        let (account, record) = (session.account.as_bytes().to_vec(), session.record.to_vec());
        Self { expires_at: session.expires_at, account, record }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let account_length = u32::try_from(self.account.len()).expect("an account's hash is short");
        let (expiry, length) = (self.expires_at.millis().to_be_bytes(), account_length.to_be_bytes());
        [expiry.as_slice(), &length, &self.account, &self.record].concat()
    }

    /// `None` where the bytes are not what [`Self::encode`] makes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (expiry, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (account, record) = rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
        let expires_at = Timestamp::from_millis(i64::from_be_bytes(*expiry));
        Some(Self { expires_at, account: account.to_vec(), record: record.to_vec() })
    }

    /// What nobody can make sense of is loaded as an empty record.
    pub(super) fn garbage() -> Self {
        Self { expires_at: Timestamp::from_millis(i64::MAX), account: Vec::new(), record: Vec::new() }
    }

    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        self.expires_at > now
    }

    /// Records a use. Says whether it was due.
    pub(super) fn touch(&mut self, touch: &Touch) -> bool {
        let digits = self.record.get_mut(touch.offset..).and_then(|tail| tail.first_chunk_mut());
        let Some(stored) = digits.filter(|stored| **stored <= touch.due) else {
            return false;
        };
        *stored = touch.digits;
        self.expires_at = touch.expires_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_as_it_is_written_and_nothing_else_does() {
        let entry = Entry {
            expires_at: Timestamp::from_millis(-1),
            account: b"account".to_vec(),
            record: (0..=255).collect(),
        };
        let bytes = entry.encode();
        assert_eq!(Entry::decode(&bytes), Some(entry));
        for end in 0..8 + 4 + "account".len() {
            assert_eq!(Entry::decode(&bytes[..end]), None, "{end} bytes");
        }
    }
}
