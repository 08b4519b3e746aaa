//! The public name of a session.

use std::fmt;
use std::str::FromStr;

use super::base64url;

/// Names a session in the store, in logs, in metrics and to its user; 22 characters of base64url. It is
/// derived one-way from the session id and is no credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle([u8; 16]);

impl Handle {
    /// From its 16 bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&base64url::encode(self.0))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Handle({self})")
    }
}

/// The text is not a session's handle: 22 characters of base64url in canonical form.
#[derive(Debug, thiserror::Error)]
#[error("not a session handle: 22 characters of base64url are expected")]
pub struct NotAHandle;

impl FromStr for Handle {
    type Err = NotAHandle;

    fn from_str(text: &str) -> Result<Self, NotAHandle> {
        base64url::decode_array(text).map(Self).ok_or(NotAHandle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reads_back_as_it_is_written() {
        let handle = Handle::new([7; 16]);
        assert_eq!(handle.to_string().len(), 22);
        assert_eq!(handle.to_string().parse::<Handle>().unwrap(), handle);
        assert!("short".parse::<Handle>().is_err());
    }
}
