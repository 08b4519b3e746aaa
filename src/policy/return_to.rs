//! Where a login leads: always a path on this very host.

use url::{Position, Url, form_urlencoded};

use crate::http::Target;

/// A longer address is not worth the risk that a header of ours grows with it.
const LONGEST: usize = 4096;

/// A path on this host, re-serialised from a parsed URL; safe in a `Location` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Reads an address that came from outside; `None` where it leads off this host, to the proxy's own pages
    /// under `prefix`, or is not plainly a path.
    pub fn parse(text: &str, prefix: &str) -> Option<Self> {
        if text.len() > LONGEST || !text.starts_with('/') || text.contains(['\\', '\t', '\n', '\r']) {
            return None;
        }
        if text.starts_with("//") {
            return None;
        }
        let (address, fragment) = match text.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (text, None),
        };
        let (path, query) = match address.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (address, None),
        };
        let target = Target::parse(path, query).ok()?;
        if target.has_encoded_separator() || target.matches_prefix(&crate::http::PathPrefix::new(prefix)) {
            return None;
        }
        serialise(&target, fragment).map(Self)
    }

    /// The address of a request of ours, where one can return to it.
    pub fn of(target: &Target, prefix: &str) -> Option<Self> {
        Self::parse(&target.path_and_query(), prefix)
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn serialise(target: &Target, fragment: Option<&str>) -> Option<String> {
    let base = Url::parse("https://host.invalid/").expect("a valid URL");
    let mut url = base.join(&target.path_and_query()).ok()?;
    url.set_fragment(fragment);
    let stays = url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
    let text = &url[Position::BeforePath..];
    (stays && !text.starts_with("//")).then(|| text.to_owned())
}

/// The login page, which leads on to `return_to`.
pub fn login_location(prefix: &str, return_to: Option<&ReturnTo>) -> String {
    match return_to {
        None => format!("{prefix}/login"),
        Some(ReturnTo(address)) => {
            let query =
                form_urlencoded::Serializer::new(String::new()).append_pair("return_to", address).finish();
            format!("{prefix}/login?{query}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_host_are_kept() {
        for address in ["/", "/a/b?c=d&e=%2F", "/a?next=//evil.com", "/a#part", "/caf%C3%A9"] {
            assert_eq!(ReturnTo::parse(address, "/_foregate").unwrap().as_str(), address);
        }
        assert_eq!(ReturnTo::parse("/café/../x y", "/_foregate"), None);
        assert_eq!(ReturnTo::parse("/a/../b", "/_foregate").unwrap().as_str(), "/b");
    }

    #[test]
    fn anything_that_leads_elsewhere_is_refused() {
        let list = include_str!("../../tests/fixtures/return_to.txt");
        let cases = list.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
        let mut count = 0;
        for case in cases {
            let address: String =
                case.replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r").replace("\\0", "\0");
            assert_eq!(ReturnTo::parse(&address, "/_foregate"), None, "{case}");
            count += 1;
        }
        assert!(count > 50, "the list is read: {count} cases");
        assert_eq!(ReturnTo::parse(&format!("/{}", "a".repeat(10_000)), "/_foregate"), None);
    }

    #[test]
    fn the_login_page_is_told_the_way_back() {
        let back = ReturnTo::parse("/a?b=c&d", "/p").unwrap();
        assert_eq!(login_location("/p", Some(&back)), "/p/login?return_to=%2Fa%3Fb%3Dc%26d");
        assert_eq!(login_location("/p", None), "/p/login");
    }
}
