//! What metrics are told apart by.

use std::sync::Arc;

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// What the cookies of a request amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CookieVerdict {
    /// A session that is alive.
    Valid,
    /// A session that is alive, but the value is signed under a previous secret.
    OldKey,
    /// No cookie.
    Absent,
    /// Not a value of ours.
    Malformed,
    /// A signature that is not ours.
    Forged,
    /// Older than any session can be, or from the future.
    Aged,
    /// A session that is over.
    Ended,
    /// The store could not be asked.
    Unavailable,
}

impl CookieVerdict {
    /// The word for metrics and audit records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::OldKey => "old_key",
            Self::Absent => "absent",
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Aged => "aged",
            Self::Ended => "ended",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What came of reading the configuration again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// It is in force.
    Applied,
    /// The one before goes on.
    Refused,
}

impl ReloadResult {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}

/// How an attempt to log in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginResult {
    /// With a session.
    Success,
    /// With the same page again.
    Refused,
    /// It was one too many, and nobody looked at it.
    Limited,
    /// It could not be decided.
    Unavailable,
}

impl LoginResult {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Where the answer to a look-up came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheResult {
    /// Memory.
    Hit,
    /// The store, perhaps by somebody else's question.
    Miss,
    /// Memory, since the store cannot be asked.
    Outage,
}

impl CacheResult {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Outage => "outage",
        }
    }
}

pub(super) type Label = [(&'static str, &'static str); 1];
pub(super) type Words = Family<Label, Counter>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) route: Arc<str>,
    pub(super) method: &'static str,
    pub(super) status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct UpstreamLabels {
    pub(super) upstream: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct UpstreamErrorLabels {
    pub(super) upstream: Arc<str>,
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ServerLabels {
    pub(super) upstream: String,
    pub(super) server: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ListenerLabels {
    pub(super) listener: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct CertificateLabels {
    pub(super) name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ProviderLabels {
    pub(super) provider: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct FindingLabels {
    pub(super) policy: &'static str,
    pub(super) application: Arc<str>,
}

/// A client may invent methods; labels may not grow with them.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
