//! The names of applications' cookies.

use super::super::reader::Complaint;

/// Which cookies are meant. Browsers tell upper from lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// `JSESSIONID`
    Exact(String),
    /// `_csrf*`, kept as `_csrf`.
    Prefix(String),
}

impl NamePattern {
    /// Whether it means the cookie of this name.
    pub fn fits(&self, name: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == name,
            Self::Prefix(start) => name.starts_with(start.as_bytes()),
        }
    }

    /// Whether it means all cookies that `other` means.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(name)) => self.fits(name.as_bytes()),
            (Self::Prefix(ours), Self::Prefix(theirs)) => theirs.starts_with(ours),
            (Self::Exact(_), Self::Prefix(_)) => false,
        }
    }

    /// The whole name, or how it begins.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
        }
    }
}

pub(super) fn parse(text: &str) -> Result<NamePattern, Complaint> {
    let (name, pattern) = match text.strip_suffix('*') {
        Some(start) => (start, NamePattern::Prefix(start.to_owned())),
        None => (text, NamePattern::Exact(text.to_owned())),
    };
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ';' | '=' | '*');
    if name.contains(is_odd) {
        let remedy = "write the name alone, or how names begin and a * at the end";
        return Err(Complaint::new(format!("{text:?} is not a cookie's name"), remedy));
    }
    Ok(pattern)
}
