//! The end of an application's cookies: who logs out, or logs in as somebody else, leaves none of them to the next user.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::cookies::CookiePolicy;
use crate::config::PolicyMode;
use crate::http::cookies;

/// So many are expired by one answer; no application has more.
const MOST: usize = 100;

impl CookiePolicy {
    /// `Set-Cookie` lines that expire those of a request's cookies that are an application's, under the path `/` and for
    /// this host: where others lie, no request tells. Exempt ones stay, and all do where the policy is not kept.
    pub fn expire(&self, headers: &HeaderMap) -> Vec<HeaderValue> {
        if self.mode() != PolicyMode::Enforce {
            return Vec::new();
        }
        let mut names: Vec<&str> = Vec::new();
        for name in cookies::names(headers).filter_map(|name| str::from_utf8(name).ok()) {
            if names.len() < MOST && self.is_expired_with_a_user(name) && !names.contains(&name) {
                names.push(name);
            }
        }
        let expired = |name: &str| format!("{name}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
        names.into_iter().filter_map(|name| HeaderValue::from_str(&expired(name)).ok()).collect()
    }

    fn is_expired_with_a_user(&self, name: &str) -> bool {
        let given = name.strip_prefix("__Host-").unwrap_or(name);
        let is_exempt = self.is_exempt(name.as_bytes()) || self.is_exempt(given.as_bytes());
        // A cookie's name is a token, as a header's is (RFC 6265 §4.1.1).
        HeaderName::from_bytes(name.as_bytes()).is_ok() && !self.is_own(name.as_bytes()) && !is_exempt
    }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;
    use crate::config::{self, NamePattern};
    use crate::http::SameSite;
    use crate::policy::OwnCookies;

    fn expired(mode: PolicyMode, cookie: &'static str) -> Vec<String> {
        let config = config::Cookies {
            mode,
            secure: true,
            http_only: true,
            script_readable: Vec::new(),
            same_site: SameSite::Lax,
            drop_domain: true,
            exempt: vec![NamePattern::Exact("theme".to_owned())],
            rules: Vec::new(),
        };
        let policy = CookiePolicy::new(config, OwnCookies::new("__Host-session"));
        let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(cookie))]);
        let lines = policy.expire(&headers);
        lines.iter().map(|line| line.to_str().unwrap().split('=').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn an_applications_cookies_end_and_ours_and_exempt_ones_do_not() {
        let cookies = "PHPSESSID=1; __Host-session=x; theme=dark; __Host-theme=dark; PHPSESSID=2; __Host-basket=3; \
                       __Host-foregate-browser=y; b\"d=4; =5; ;";
        assert_eq!(expired(PolicyMode::Enforce, cookies), ["PHPSESSID", "__Host-basket", "5"]);
        for mode in [PolicyMode::Report, PolicyMode::Off] {
            assert_eq!(expired(mode, "PHPSESSID=1"), [""; 0]);
        }
    }
}
