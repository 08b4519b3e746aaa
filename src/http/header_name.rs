//! Header names as the laxest upstream reads them: CGI, WSGI and PHP make one of `X-User`, `X_User` and `X.User`.

use http::HeaderName;

/// Names that only the proxy may set: a client's headers of these names, however spelled, go no further.
#[derive(Clone, Debug)]
pub struct ManagedNames {
    /// Folded.
    identity: Vec<String>,
}

/// What tells upstreams about the connection before the proxy, folded.
const FORWARDING: [&str; 6] =
    ["forwarded", "x-real-ip", "x-request-id", "x-original-url", "x-rewrite-url", "proxy"];

/// The same, by how they begin: there are more of these than anybody could list.
const FORWARDING_PREFIXES: [&str; 2] = ["x-forwarded-", "x-foregate-"];

impl ManagedNames {
    /// The names of headers that carry the identity, and the forwarding headers, which are always managed.
    pub fn new<'a>(identity: impl IntoIterator<Item = &'a HeaderName>) -> Self {
        Self { identity: identity.into_iter().map(|name| folded(name.as_str())).collect() }
    }

    /// Whether an upstream could take `name` for a managed one.
    pub fn contains(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        self.is_identity(name)
            || FORWARDING.iter().any(|managed| folds_to(name, managed))
            || FORWARDING_PREFIXES.iter().any(|prefix| folds_to_prefix(name, prefix))
    }

    /// Whether an upstream could take `name` for one that carries the identity.
    pub(super) fn is_identity(&self, name: &str) -> bool {
        self.identity.iter().any(|managed| folds_to(name, managed))
    }
}

/// The name in lower case, with `-` for every byte that is neither letter nor digit.
pub fn folded(name: &str) -> String {
    name.bytes().map(|byte| char::from(fold(byte))).collect()
}

const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

fn folds_to(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && folds_to_prefix(name, folded)
}

fn folds_to_prefix(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().map(fold).zip(prefix.bytes()).all(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_keeps_letters_and_digits_alone() {
        assert_eq!(folded("X_Remote.User!2"), "x-remote-user-2");
    }

    #[test]
    fn every_spelling_of_a_managed_name_is_managed() {
        let managed = ManagedNames::new(&[HeaderName::from_static("x-remote-user")]);
        for line in include_str!("../../tests/fixtures/header_aliases.txt").lines() {
            let (alias, verdict) = match line.split_once(' ') {
                Some(("#", _)) | None => continue,
                Some(columns) => columns,
            };
            let alias = HeaderName::from_bytes(alias.as_bytes()).unwrap();
            assert_eq!(managed.contains(&alias), verdict != "passes", "{alias}");
            assert_eq!(managed.is_identity(alias.as_str()), verdict == "identity", "{alias}");
        }
    }
}
