//! Browsers that somebody has logged in from: each is told by a cookie, and others cannot lock its user out of it.

use std::time::Duration;

use ::cookie::SameSite;
use http::{HeaderMap, HeaderValue};

use super::account_key;
use super::carried::COOKIES_CHECKED;
use super::own_cookie::OwnCookie;
use super::value::{Id, SignedValues};
use crate::base::clock::Clock;
use crate::base::identity::Account;
use crate::base::random::Random;
use crate::base::secret::{Secret, same_bytes};
use crate::base::signed::{Purpose, Secrets, Signer};
use crate::http::RequestContext;
use crate::http::cookies::{self, BROWSER_COOKIE};

/// How long a browser is known after a login: half a year.
const LIFE: Duration = Duration::from_secs(180 * 86_400);

/// A cookie's id has two halves: the browser's own, and one that tells apart whose names differ in their spelling alone.
const HALF: usize = 16;

/// `Strict`: only our own form needs it, and that is posted from our own page.
const COOKIE: OwnCookie = OwnCookie { name: BROWSER_COOKIE, same_site: SameSite::Strict, life: LIFE };

/// Knows browsers again. A cookie is good for one account on one host: for a bucket of attempts, and for
/// what was kept for its user. It logs nobody in.
#[derive(Debug)]
pub struct KnownBrowsers {
    values: SignedValues,
    owners: Signer,
    clock: Clock,
    random: Random,
}

/// A browser that its account logged in from before.
#[derive(Debug)]
pub struct KnownBrowser([u8; HALF]);

impl KnownBrowser {
    /// What tells it from others.
    pub fn id(&self) -> &[u8] {
        &self.0
    }
}

impl KnownBrowsers {
    /// Cookies under keys of these `secrets`.
    pub fn new(secrets: &Secrets, clock: Clock, random: Random) -> Self {
        let signer = Signer::derive(secrets, Purpose::BrowserCookie);
        let owners = Signer::derive(secrets, Purpose::BrowserOwner);
        Self { values: SignedValues::new(signer, BROWSER_COOKIE.to_owned(), LIFE), owners, clock, random }
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
            .map(|vouched| KnownBrowser(*vouched.id.expose().first_chunk().expect("an id has 32 bytes")))
    }

    /// Whether somebody else than `account` logged in last from the browser that the request comes from.
    pub fn is_anothers(&self, request: &RequestContext, headers: &HeaderMap, account: &Account) -> bool {
        let mut values = cookies::values(headers, BROWSER_COOKIE).take(COOKIES_CHECKED).peekable();
        values.peek().is_some() && !values.any(|value| self.vouches(request, value, account))
    }

    /// Whether `value` was such a browser's cookie for `account` on the request's host.
    pub(super) fn vouches(&self, request: &RequestContext, value: &[u8], account: &Account) -> bool {
        let vouched = self.values.read(value, &scope(request, account), self.clock.now());
        vouched.is_ok_and(|vouched| same_bytes(&vouched.id.expose()[HALF..], &self.owner(account)))
    }

    /// The cookie by which the browser is known from now on. It stays the browser that it is where it is known
    /// already: who logs in often does not collect buckets.
    pub fn remember(
        &self,
        request: &RequestContext,
        account: &Account,
        known: Option<KnownBrowser>,
    ) -> HeaderValue {
        let browser: [u8; HALF] = known.map_or_else(|| self.random.bytes(), |browser| browser.0);
        let mut id = [0; 2 * HALF];
        id[..HALF].copy_from_slice(&browser);
        id[HALF..].copy_from_slice(&self.owner(account));
        let id: Id = Secret::new(id);
        COOKIE.set(&self.values.issue(&id, &scope(request, account), self.clock.now()))
    }

    fn owner(&self, account: &Account) -> [u8; HALF] {
        let tag = self.owners.tag(&[account_key(account).as_bytes()]);
        *tag.first_chunk().expect("a tag has 32 bytes")
    }
}

/// What a value is signed for: for whoever may have been meant. The account's key has a fixed length, so that no two
/// scopes read alike.
fn scope(request: &RequestContext, account: &Account) -> String {
    format!("{}@{}", account_key(&account.folded()), request.authority.host())
}
