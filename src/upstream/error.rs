//! Why there is no answer from an upstream.

use std::io;

use super::identity::UnfitForHeader;
use super::intake::BodyFault;
use crate::outgoing::TlsError;

/// Why there is no answer from an upstream.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// It cannot be reached.
    #[error("the upstream cannot be reached")]
    Connect(#[source] io::Error),
    /// There is no TLS with it.
    #[error("the upstream cannot be reached by TLS")]
    Tls(#[source] TlsError),
    /// It did not accept the connection in time.
    #[error("the upstream did not accept the connection in time")]
    ConnectTimeout,
    /// It closed the connection, or answered what is no HTTP.
    #[error("the upstream broke off or answered garbage")]
    Broken(#[source] hyper::Error),
    /// It switched protocols although nobody asked, or to another one.
    #[error("the upstream switched to a protocol that nobody asked for")]
    UnaskedSwitch,
    /// Its answer says in two ways where it ends.
    #[error("the upstream's answer can be framed in two ways")]
    TwoLengths,
    /// A header of its answer has a name that HTTP/1 cannot write.
    #[error("the upstream's answer has a header whose name is no token")]
    HeaderName,
    /// The request's own body is at fault.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// The session that the request was permitted to ended before its answer began.
    #[error("the session ended before the answer began")]
    SessionOver,
    /// Its answer did not begin in time.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// As many requests as may wait for it already.
    #[error("as many requests as may wait for the upstream already")]
    Full,
    /// The checks of all its servers fail.
    #[error("none of the upstream's servers passes its checks")]
    Down,
    /// What it has to be told about the user cannot be told.
    #[error(transparent)]
    Identity(#[from] UnfitForHeader),
}

impl ForwardError {
    /// The word for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::ConnectTimeout => "connect-timeout",
            Self::Broken(_) => "broken",
            Self::UnaskedSwitch => "switch",
            Self::TwoLengths => "framing",
            Self::HeaderName => "header-name",
            Self::Body(_) => "body",
            Self::SessionOver => "session",
            Self::Timeout => "timeout",
            Self::Full => "full",
            Self::Down => "down",
            Self::Identity(_) => "identity",
        }
    }

    /// Whether the server is to blame. Whoever breaks an upload off, breaks the request off too.
    pub(super) fn is_the_servers(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Tls(_)
            | Self::ConnectTimeout
            | Self::UnaskedSwitch
            | Self::TwoLengths
            | Self::HeaderName
            | Self::Timeout => true,
            Self::Broken(error) => !error.is_user() && !error.is_body_write_aborted(),
            Self::Body(_) | Self::SessionOver | Self::Full | Self::Down | Self::Identity(_) => false,
        }
    }
}
