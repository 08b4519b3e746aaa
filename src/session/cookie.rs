//! The session cookie on the wire (RFC 6265bis).

use std::time::Duration;

use ::cookie::{Cookie, CookieBuilder, SameSite};
use http::HeaderValue;

use super::Remember;
use crate::base::secret::Secret;
use crate::config;

/// The longest `Max-Age` that a browser takes.
const LONGEST_MAX_AGE: Duration = Duration::from_secs(400 * 86_400);

/// Writes the `Set-Cookie` headers of the session cookie.
#[derive(Clone, Debug)]
pub struct SessionCookie {
    config: config::SessionCookie,
}

impl SessionCookie {
    /// With the configured attributes.
    pub fn new(config: config::SessionCookie) -> Self {
        Self { config }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What a value is signed for: the cookie's domain, or else the `host` of the request.
    pub fn scope<'a>(&'a self, host: &'a str) -> &'a str {
        self.config.domain.as_deref().unwrap_or(host)
    }

    /// Whether the browser keeps it from all requests that come from other sites, navigations included.
    pub fn is_strict(&self) -> bool {
        self.config.same_site == config::SameSite::Strict
    }

    /// Sets the cookie to `value`; `life` is what is left of the session's absolute timeout. Unless it is
    /// persistent or its session remembered, it lives as long as the browser's own session.
    pub fn set(&self, value: &Secret<String>, life: Duration, remember: Remember) -> HeaderValue {
        let mut cookie = self.build(value.expose());
        if self.config.persistent || remember == Remember::Yes {
            cookie = cookie.max_age(max_age(life.min(LONGEST_MAX_AGE)));
        }
        if let Some(domain) = &self.config.domain {
            cookie = cookie.domain(domain.clone());
        }
        header(&cookie.build())
    }

    /// Clears the cookie: the host-only one, and the domain's where one is set.
    pub fn clear(&self) -> Vec<HeaderValue> {
        let host_only = self.build("").max_age(max_age(Duration::ZERO));
        let with_domain =
            self.config.domain.iter().map(|domain| host_only.clone().domain(domain.clone()).build());
        std::iter::once(host_only.clone().build()).chain(with_domain).map(|cookie| header(&cookie)).collect()
    }

    fn build(&self, value: &str) -> CookieBuilder<'static> {
        Cookie::build((self.config.name.clone(), value.to_owned()))
            .path(self.config.path.clone())
            .secure(self.config.secure)
            .http_only(self.config.http_only)
            .same_site(match self.config.same_site {
                config::SameSite::Strict => SameSite::Strict,
                config::SameSite::Lax => SameSite::Lax,
                config::SameSite::None => SameSite::None,
            })
    }
}

fn max_age(life: Duration) -> time::Duration {
    time::Duration::seconds(i64::try_from(life.as_secs()).unwrap_or(i64::MAX))
}

fn header(cookie: &Cookie<'_>) -> HeaderValue {
    let mut value = HeaderValue::from_str(&cookie.to_string())
        .expect("name, path and domain were checked with the configuration, the value is base64url");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie() -> config::SessionCookie {
        config::SessionCookie {
            name: "__Host-session".to_owned(),
            same_site: config::SameSite::Lax,
            secure: true,
            http_only: true,
            domain: None,
            path: "/".to_owned(),
            persistent: false,
        }
    }

    #[test]
    fn the_cookie_is_host_only_secure_and_out_of_scripts_reach() {
        let value = Secret::new("a.b.c".to_owned());
        let set = SessionCookie::new(cookie()).set(&value, Duration::from_secs(60), Remember::No);
        assert_eq!(set, "__Host-session=a.b.c; HttpOnly; SameSite=Lax; Secure; Path=/");
    }

    #[test]
    fn a_persistent_or_remembered_one_lives_as_long_as_the_session_but_400_days_at_most() {
        let persistent = config::SessionCookie { persistent: true, ..cookie() };
        for (config, remember) in
            [(persistent.clone(), Remember::No), (cookie(), Remember::Yes), (persistent, Remember::Yes)]
        {
            let cookie = SessionCookie::new(config);
            let set = |days: u64| {
                let life = Duration::from_secs(days * 86_400);
                cookie.set(&Secret::new("v".to_owned()), life, remember).to_str().unwrap().to_owned()
            };
            assert!(set(7).ends_with("; Max-Age=604800"), "{}", set(7));
            assert!(set(1000).ends_with("; Max-Age=34560000"), "{}", set(1000));
        }
    }

    #[test]
    fn clearing_reaches_the_host_only_cookie_and_the_domains() {
        assert_eq!(
            SessionCookie::new(cookie()).clear(),
            ["__Host-session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"]
        );
        let domain = Some("example.com".to_owned());
        let shared = config::SessionCookie { name: "__Secure-session".to_owned(), domain, ..cookie() };
        assert_eq!(
            SessionCookie::new(shared).clear(),
            [
                "__Secure-session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0",
                "__Secure-session=; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com; Max-Age=0",
            ]
        );
    }
}
