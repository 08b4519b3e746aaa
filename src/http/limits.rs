//! How large a request's head may be.

use http::HeaderMap;
use http::request::Parts;

/// Bounds on a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of path and query.
    pub uri_bytes: u64,
    /// Bytes of all header lines.
    pub header_bytes: u64,
    /// Header lines.
    pub header_count: usize,
}

/// A head is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadTooLarge {
    /// Its target (414).
    #[error("the target is too long")]
    Uri,
    /// Its headers (431).
    #[error("the headers are too large")]
    Headers,
}

impl HeadLimits {
    /// Judges a head's size.
    ///
    /// # Errors
    /// With the first bound that it exceeds.
    pub fn check(&self, parts: &Parts) -> Result<(), HeadTooLarge> {
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        if target.len() as u64 > self.uri_bytes {
            return Err(HeadTooLarge::Uri);
        }
        if parts.headers.len() > self.header_count || bytes(&parts.headers) > self.header_bytes {
            return Err(HeadTooLarge::Headers);
        }
        Ok(())
    }
}

/// As HTTP/1.1 would write them: `name: value` and the line's end.
fn bytes(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { uri_bytes: 10, header_bytes: 30, header_count: 2 };

    fn check(target: &str, headers: &[(&'static str, &'static str)]) -> Result<(), HeadTooLarge> {
        let (mut parts, ()) = Request::get(target).body(()).unwrap().into_parts();
        for (name, value) in headers {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        LIMITS.check(&parts)
    }

    #[test]
    fn each_bound_has_its_edge() {
        assert_eq!(check("/12345?789", &[]), Ok(()));
        assert_eq!(check("/12345?7890", &[]), Err(HeadTooLarge::Uri));
        assert_eq!(check("https://a-long-host.example/12345?789", &[]), Ok(()));
        assert_eq!(check("/", &[("a", "1"), ("a", "2")]), Ok(()));
        assert_eq!(check("/", &[("a", "1"), ("a", "2"), ("a", "3")]), Err(HeadTooLarge::Headers));
        assert_eq!(check("/", &[("name", "1234567890123456789012")]), Ok(()));
        assert_eq!(check("/", &[("name", "12345678901234567890123")]), Err(HeadTooLarge::Headers));
    }
}
