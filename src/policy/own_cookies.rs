//! The cookies that are nobody's but the proxy's.

use http::HeaderMap;

use crate::http::cookies;

/// The proxy's own cookies: they never go upstream, and an application cannot set them.
#[derive(Clone, Debug)]
pub struct OwnCookies {
    names: Vec<String>,
}

impl OwnCookies {
    /// The session cookie of this name, and those beside it.
    pub fn new(session: &str) -> Self {
        Self { names: [session].into_iter().chain(cookies::OWN).map(str::to_owned).collect() }
    }

    /// Cuts them out of a request.
    pub fn cut(&self, headers: &mut HeaderMap) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        cookies::remove(headers, &names);
    }

    /// Whether the value of a `Set-Cookie` line sets one of them, in any case, by its name or by what it is sent back as.
    pub fn is_set_by(&self, line: &[u8]) -> bool {
        self.contains(cookies::set_cookie_name(line))
    }

    /// Whether this is the name of one, in any case.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.names.iter().any(|ours| name.eq_ignore_ascii_case(ours.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_keeps_its_own_cookies_and_cannot_set_ours() {
        let own = OwnCookies::new("__Host-session");
        for line in [
            "__Host-session=planted; Path=/; Secure",
            "__HOST-SESSION=planted; Domain=example.com",
            " __Host-session =planted",
            "__host-foregate-LOGIN=planted",
            "__host-foregate-BROWSER=planted",
            "__host-foregate-UNSENT=planted",
            "=__Host-session=planted",
            "__Host-session",
        ] {
            assert!(own.is_set_by(line.as_bytes()), "{line}");
        }
        for line in
            ["JSESSIONID=1; Path=/", "__Host-sessions=mine", "a=1, __Host-session=x", "a=__Host-session=x"]
        {
            assert!(!own.is_set_by(line.as_bytes()), "{line}");
        }
    }
}
