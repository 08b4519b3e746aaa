//! Browsers that somebody has logged in from: each is told by a cookie, and others cannot lock its user out of it.

use std::time::Duration;

use ::cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue};

use super::account_key;
use super::carried::COOKIES_CHECKED;
use super::value::{Id, SignedValues};
use crate::base::clock::Clock;
use crate::base::identity::Account;
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::signed::{Purpose, Secrets, Signer};
use crate::http::RequestContext;
use crate::http::cookies::{self, BROWSER_COOKIE};

/// How long a browser is known after a login: half a year.
const LIFE: Duration = Duration::from_secs(180 * 86_400);

/// Knows browsers again. A cookie is good for one account on one host, and for nothing but a bucket of attempts.
#[derive(Debug)]
pub struct KnownBrowsers {
    values: SignedValues,
    clock: Clock,
    random: Random,
}

/// A browser that its account logged in from before.
#[derive(Debug)]
pub struct KnownBrowser(Id);

impl KnownBrowser {
    /// What tells it from others.
    pub fn id(&self) -> &[u8] {
        self.0.expose()
    }
}

impl KnownBrowsers {
    /// Cookies under keys of these `secrets`.
    pub fn new(secrets: &Secrets, clock: Clock, random: Random) -> Self {
        let signer = Signer::derive(secrets, Purpose::BrowserCookie);
        Self { values: SignedValues::new(signer, BROWSER_COOKIE.to_owned(), LIFE), clock, random }
    }

    /// The browser that the request comes from, where `account` logged in from it.
    pub fn find(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        account: &Account,
    ) -> Option<KnownBrowser> {
        let (scope, now) = (scope(request, account), self.clock.now());
        cookies::values(headers, BROWSER_COOKIE)
            .take(COOKIES_CHECKED)
            .find_map(|value| self.values.read(value, &scope, now).ok())
            .map(|vouched| KnownBrowser(vouched.id))
    }

    /// The cookie by which the browser is known from now on. It stays the browser that it is where it is known
    /// already: who logs in often does not collect buckets.
    pub fn remember(
        &self,
        request: &RequestContext,
        account: &Account,
        known: Option<KnownBrowser>,
    ) -> HeaderValue {
        let id = known.map_or_else(|| Secret::new(self.random.bytes()), |browser| browser.0);
        set_cookie(&self.values.issue(&id, &scope(request, account), self.clock.now()))
    }
}

/// What a value is signed for. The account's key has a fixed length, so that no two scopes read alike.
fn scope(request: &RequestContext, account: &Account) -> String {
    format!("{}@{}", account_key(account), request.authority.host())
}

/// `Strict`: only our own form needs it, and that is posted from our own page.
fn set_cookie(value: &Secret<String>) -> HeaderValue {
    let cookie = Cookie::build((BROWSER_COOKIE, value.expose().as_str()))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Strict)
        .max_age(time::Duration::try_from(LIFE).expect("half a year is a duration"))
        .build();
    let mut value = HeaderValue::from_str(&cookie.to_string()).expect("the value is base64url");
    value.set_sensitive(true);
    value
}
