//! What a client's headers are cleansed of before the proxy adds its own.

use http::header::{EXPECT, TRAILER};
use http::{HeaderMap, HeaderName};

use super::{ManagedNames, hop_by_hop};

/// What a cleansing found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleansed {
    /// The headers, as the client spelled them, that an upstream could have taken for the user's identity:
    /// empty where nobody tried.
    pub spoofed: Vec<HeaderName>,
}

/// What becomes of header names with an underscore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// They are removed.
    #[default]
    Drop,
    /// They pass, but for those that an upstream could take for a header that means something to a proxy.
    Pass,
}

/// Removes managed names in every spelling, names with an underscore, what belongs to the connection,
/// `Expect`, which is ours to meet, and `Trailer`, since the trailers stay behind. A `Connection` header that names them hides no managed ones from the report.
pub fn cleanse(headers: &mut HeaderMap, managed: &ManagedNames, underscores: Underscores) -> Cleansed {
    let is_unwanted = |name: &&HeaderName| managed.contains(name) || !underscores.let_pass(name);
    let unwanted: Vec<HeaderName> = headers.keys().filter(is_unwanted).cloned().collect();
    for name in &unwanted {
        headers.remove(name);
    }
    hop_by_hop::remove(headers);
    headers.remove(EXPECT);
    headers.remove(TRAILER);
    let spoofed = unwanted.into_iter().filter(|name| managed.is_identity(name.as_str())).collect();
    Cleansed { spoofed }
}

impl Underscores {
    fn let_pass(self, name: &HeaderName) -> bool {
        !name.as_str().contains('_') || (self == Self::Pass && !hop_by_hop::resembles(name))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn managed() -> ManagedNames {
        ManagedNames::new(&[HeaderName::from_static("x-forwarded-user")])
    }

    fn headers(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("root"))).collect()
    }

    #[test]
    fn the_rest_passes_untouched() {
        let mut headers = headers(&["accept", "cookie", "authorization", "x-user"]);
        let before = headers.clone();
        assert_eq!(cleanse(&mut headers, &managed(), Underscores::Drop), Cleansed::default());
        assert_eq!(headers, before);
    }

    #[test]
    fn who_poses_as_somebody_is_reported() {
        let mut headers = headers(&["x-forwarded-user", "x_forwarded.user", "x-forwarded-for", "a_b"]);
        headers.append("x-forwarded-user", HeaderValue::from_static("admin"));
        let mut spoofed = cleanse(&mut headers, &managed(), Underscores::Drop).spoofed;
        spoofed.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        assert_eq!(spoofed, ["x-forwarded-user", "x_forwarded.user"]);
        assert!(headers.is_empty());
    }

    #[test]
    fn underscores_pass_where_they_may_and_nothing_behind_them() {
        let mut headers = headers(&[
            "a_b",
            "_",
            "x_forwarded_user",
            "x-forwarded_for",
            "content_length",
            "transfer_encoding",
            "keep_alive",
            "proxy_authorization",
        ]);
        let cleansed = cleanse(&mut headers, &managed(), Underscores::Pass);
        assert_eq!(cleansed.spoofed, ["x_forwarded_user"]);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["_", "a_b"]);
    }

    #[test]
    fn connection_hides_nobody() {
        let mut headers = headers(&["x-forwarded-user"]);
        headers.append("connection", HeaderValue::from_static("X-Forwarded-User"));
        assert_eq!(cleanse(&mut headers, &managed(), Underscores::Drop).spoofed, ["x-forwarded-user"]);
        assert!(headers.is_empty());
    }
}
