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

/// Removes managed names in every spelling, names with an underscore, what belongs to the connection,
/// `Expect`, which is ours to meet, and `Trailer`, since the trailers stay behind. A `Connection` header that names them hides no managed ones from the report.
pub fn cleanse(headers: &mut HeaderMap, managed: &ManagedNames) -> Cleansed {
    let unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_') || managed.contains(name))
        .cloned()
        .collect();
    for name in &unwanted {
        headers.remove(name);
    }
    hop_by_hop::remove(headers);
    headers.remove(EXPECT);
    headers.remove(TRAILER);
    let spoofed = unwanted.into_iter().filter(|name| managed.is_identity(name.as_str())).collect();
    Cleansed { spoofed }
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
        assert_eq!(cleanse(&mut headers, &managed()), Cleansed::default());
        assert_eq!(headers, before);
    }

    #[test]
    fn who_poses_as_somebody_is_reported() {
        let mut headers = headers(&["x-forwarded-user", "x_forwarded.user", "x-forwarded-for", "a_b"]);
        headers.append("x-forwarded-user", HeaderValue::from_static("admin"));
        let mut spoofed = cleanse(&mut headers, &managed()).spoofed;
        spoofed.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        assert_eq!(spoofed, ["x-forwarded-user", "x_forwarded.user"]);
        assert!(headers.is_empty());
    }

    #[test]
    fn connection_hides_nobody() {
        let mut headers = headers(&["x-forwarded-user"]);
        headers.append("connection", HeaderValue::from_static("X-Forwarded-User"));
        assert_eq!(cleanse(&mut headers, &managed()).spoofed, ["x-forwarded-user"]);
        assert!(headers.is_empty());
    }
}
