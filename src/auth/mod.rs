//! Who somebody is, by proof: each way in ends in an [`Identity`](crate::base::identity::Identity) or an
//! [`AuthError`]. Rank 6.

mod local;
mod password;

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
pub enum Refusal {
    /// There is no such user.
    #[error("unknown-user")]
    UnknownUser,
    /// The password is another one.
    #[error("wrong-password")]
    WrongPassword,
    /// The password is right, but the user is disabled.
    #[error("disabled")]
    Disabled,
    /// No password is empty, or so long.
    #[error("impossible-password")]
    ImpossiblePassword,
}

impl AuthError {
    /// The word for the audit log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Refused(Refusal::UnknownUser) => "unknown-user",
            Self::Refused(Refusal::WrongPassword) => "wrong-password",
            Self::Refused(Refusal::Disabled) => "disabled",
            Self::Refused(Refusal::ImpossiblePassword) => "impossible-password",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}
