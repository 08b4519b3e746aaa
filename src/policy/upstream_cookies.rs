//! The cookies that applications set.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::http::cookies::{self, LOGIN_COOKIE};

/// The proxy's own cookies: they never go upstream, and an application cannot set them.
#[derive(Clone, Debug)]
pub struct OwnCookies {
    names: [String; 2],
}

impl OwnCookies {
    /// The session cookie of this name, and the login form's.
    pub fn new(session: &str) -> Self {
        Self { names: [session.to_owned(), LOGIN_COOKIE.to_owned()] }
    }

    /// Cuts them out of a request.
    pub fn cut(&self, headers: &mut HeaderMap) {
        cookies::remove(headers, &[&self.names[0], &self.names[1]]);
    }

    /// Drops what an application sets under their names, in any case; says how many.
    pub fn drop_foreign(&self, headers: &mut HeaderMap) -> usize {
        let is_ours = |value: &HeaderValue| {
            let name = cookies::set_cookie_name(value.as_bytes());
            self.names.iter().any(|ours| name.eq_ignore_ascii_case(ours.as_bytes()))
        };
        let dropped = headers.get_all(SET_COOKIE).iter().filter(|value| is_ours(value)).count();
        if dropped > 0 {
            let kept: Vec<HeaderValue> =
                headers.get_all(SET_COOKIE).iter().filter(|value| !is_ours(value)).cloned().collect();
            headers.remove(SET_COOKIE);
            headers.extend(kept.into_iter().map(|value| (SET_COOKIE, value)));
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_keeps_its_own_cookies_and_cannot_set_ours() {
        let mut headers = HeaderMap::new();
        for value in [
            "JSESSIONID=1; Path=/",
            "__Host-session=planted; Path=/; Secure",
            "__HOST-SESSION=planted; Domain=example.com",
            " __Host-session =planted",
            "__host-foregate-LOGIN=planted",
            "__Host-sessions=mine",
        ] {
            headers.append(SET_COOKIE, HeaderValue::from_static(value));
        }
        assert_eq!(OwnCookies::new("__Host-session").drop_foreign(&mut headers), 4);
        let kept: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(kept, ["JSESSIONID=1; Path=/", "__Host-sessions=mine"]);
    }
}
