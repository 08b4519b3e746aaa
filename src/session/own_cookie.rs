//! The proxy's cookies beside the session's, as they are set.

use std::time::Duration;

use ::cookie::{Cookie, SameSite};
use http::HeaderValue;

use crate::base::secret::Secret;

/// A cookie of the proxy's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnCookie {
    /// One of [`crate::http::cookies::OWN`].
    pub(super) name: &'static str,
    pub(super) same_site: SameSite,
    /// How long a browser keeps it.
    pub(super) life: Duration,
}

impl OwnCookie {
    /// Sets it to `value`, which is base64url and dots.
    pub(super) fn set(&self, value: &Secret<String>) -> HeaderValue {
        self.line(value.expose(), self.life)
    }

    /// Has browsers forget it.
    pub(super) fn clear(&self) -> HeaderValue {
        self.line("", Duration::ZERO)
    }

    fn line(&self, value: &str, life: Duration) -> HeaderValue {
        let cookie = Cookie::build((self.name, value))
            .path("/")
            .secure(true)
            .http_only(true)
            .same_site(self.same_site)
            .max_age(time::Duration::try_from(life).expect("half a year at most"))
            .build();
        let mut set_cookie = HeaderValue::from_str(&cookie.to_string()).expect("the value is base64url");
        set_cookie.set_sensitive(true);
        set_cookie
    }
}
