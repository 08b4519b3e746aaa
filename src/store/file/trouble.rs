//! What the file's errors mean.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::store::{Trouble, Unavailable};

/// An error that everybody is told of who waits for the same transaction.
pub(super) type Shared = Arc<redb::Error>;

impl From<Shared> for Unavailable {
    fn from(error: Shared) -> Self {
        Self { kind: trouble(&error), source: Some(Box::new(error)) }
    }
}

fn trouble(error: &redb::Error) -> Trouble {
    match error {
        redb::Error::Io(error) => of_io(error),
        redb::Error::Corrupted(_) => Trouble::Protocol,
        // The next transaction opens the file again.
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => Trouble::NotReady,
        _ => Trouble::Connection,
    }
}

fn of_io(error: &io::Error) -> Trouble {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Trouble::Full,
        ErrorKind::ReadOnlyFilesystem => Trouble::ReadOnly,
        ErrorKind::PermissionDenied => Trouble::Denied,
        _ => Trouble::Connection,
    }
}

/// No answer in time.
pub(super) fn overdue() -> Unavailable {
    Unavailable { kind: Trouble::Timeout, source: None }
}

/// The thread that writes, or a reader, is gone.
pub(super) fn stopped() -> Unavailable {
    Unavailable { kind: Trouble::Connection, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_system_says_is_told_as_what_it_means() {
        for (kind, trouble) in [
            (ErrorKind::StorageFull, Trouble::Full),
            (ErrorKind::QuotaExceeded, Trouble::Full),
            (ErrorKind::FileTooLarge, Trouble::Full),
            (ErrorKind::ReadOnlyFilesystem, Trouble::ReadOnly),
            (ErrorKind::PermissionDenied, Trouble::Denied),
            (ErrorKind::Other, Trouble::Connection),
        ] {
            let unavailable = Unavailable::from(Shared::new(redb::Error::Io(kind.into())));
            assert_eq!(unavailable.kind, trouble, "{kind}");
        }
        let corrupted = redb::Error::Corrupted("a page".to_owned());
        assert_eq!(Unavailable::from(Shared::new(corrupted)).kind, Trouble::Protocol);
    }
}
