//! Who somebody is, by proof: each way in ends in an [`Identity`](crate::base::identity::Identity) or an
//! [`AuthError`]. Rank 6.

mod attempts;
mod local;
mod password;

pub use attempts::{Admission, Attempt, Attempts, NotAdmitted};
#[cfg(any(test, fuzzing))]
pub use local::fuzzing;
pub use local::{Details, EditError, Listed, LocalUsers, UsersEditor, UsersFileError};
pub use password::{LONGEST_PASSWORD, PasswordQueue, hash_password};

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// They did not prove who they are. The client learns no more than that.
    #[error("the login is refused: {0}")]
    Refused(Refusal),
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked")]
    Busy,
    /// Nobody vouches for anybody.
    #[error("no provider can be asked")]
    Unavailable,
}

/// Why a proof was none: for the audit log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Refusal {
    /// There is no such user.
    UnknownUser,
    /// The password is another one.
    WrongPassword,
    /// The password is right, but the user is disabled.
    Disabled,
    /// No password is empty, or so long.
    ImpossiblePassword,
}

impl Refusal {
    /// The word for the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown-user",
            Self::WrongPassword => "wrong-password",
            Self::Disabled => "disabled",
            Self::ImpossiblePassword => "impossible-password",
        }
    }
}

impl AuthError {
    /// The word for the audit log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.as_str(),
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}
