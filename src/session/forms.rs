//! Tokens for the proxy's own forms: against login CSRF before there is a session, against logout CSRF after.

use std::time::Duration;

use ::cookie::SameSite;
use http::{HeaderMap, HeaderValue};

use super::carried::COOKIES_CHECKED;
use super::own_cookie::OwnCookie;
use super::value::{Id, SignedValues};
use crate::base::base64url;
use crate::base::clock::Clock;
use crate::base::handle::Handle;
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::signed::{Purpose, Secrets, Signer};
use crate::http::RequestContext;
use crate::http::cookies::{self, LOGIN_COOKIE};

/// `Lax`, so that a login page reached from another site finds the binding of the tab beside it.
const COOKIE: OwnCookie =
    OwnCookie { name: LOGIN_COOKIE, same_site: SameSite::Lax, life: Duration::from_secs(3_600) };

/// Makes and checks the tokens.
#[derive(Debug)]
pub struct FormTokens {
    login_cookies: SignedValues,
    login_forms: Signer,
    session_forms: Signer,
    clock: Clock,
    random: Random,
}

/// What ties a login form to one browser.
#[derive(Debug)]
pub struct FormBinding {
    nonce: Id,
    /// To be sent where the browser did not bring it.
    pub set_cookie: Option<HeaderValue>,
}

impl FormTokens {
    /// Tokens under keys of these `secrets`.
    pub fn new(secrets: &Secrets, clock: Clock, random: Random) -> Self {
        let login_cookie = Signer::derive(secrets, Purpose::LoginCookie);
        Self {
            login_cookies: SignedValues::new(login_cookie, LOGIN_COOKIE.to_owned(), COOKIE.life),
            login_forms: Signer::derive(secrets, Purpose::LoginForm),
            session_forms: Signer::derive(secrets, Purpose::SessionForm),
            clock,
            random,
        }
    }

    /// The binding that the browser brings, kept while it is valid so that two tabs both work; else a new one.
    pub fn bind(&self, request: &RequestContext, headers: &HeaderMap) -> FormBinding {
        if let Some(nonce) = self.carried(request, headers).next() {
            return FormBinding { nonce, set_cookie: None };
        }
        let nonce = Secret::new(self.random.bytes());
        let value = self.login_cookies.issue(&nonce, request.authority.host(), self.clock.now());
        FormBinding { nonce, set_cookie: Some(COOKIE.set(&value)) }
    }

    /// The token for a login form under this binding.
    pub fn login_token(&self, request: &RequestContext, binding: &FormBinding) -> String {
        base64url::encode(self.login_forms.tag(&login_fields(request, &binding.nonce)))
    }

    /// Whether `token` belongs to a binding that this browser brings.
    pub fn is_login_token(&self, request: &RequestContext, headers: &HeaderMap, token: &str) -> bool {
        let Some(tag) = base64url::decode(token) else { return false };
        self.carried(request, headers)
            .any(|nonce| self.login_forms.verify(&login_fields(request, &nonce), &tag).is_some())
    }

    /// The token for forms that act on a session.
    pub fn session_token(&self, request: &RequestContext, session: &Handle) -> String {
        let handle = session.to_string();
        base64url::encode(self.session_forms.tag(&session_fields(request, &handle)))
    }

    /// Whether `token` was made for forms of this session.
    pub fn is_session_token(&self, request: &RequestContext, session: &Handle, token: &str) -> bool {
        let handle = session.to_string();
        let fields = session_fields(request, &handle);
        base64url::decode(token).is_some_and(|tag| self.session_forms.verify(&fields, &tag).is_some())
    }

    fn carried<'a>(
        &'a self,
        request: &'a RequestContext,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = Id> + 'a {
        let now = self.clock.now();
        cookies::values(headers, LOGIN_COOKIE)
            .take(COOKIES_CHECKED)
            .filter_map(move |value| self.login_cookies.read(value, request.authority.host(), now).ok())
            .map(|vouched| vouched.id)
    }
}

fn login_fields<'a>(request: &'a RequestContext, nonce: &'a Id) -> [&'a [u8]; 2] {
    [request.authority.host().as_bytes(), nonce.expose()]
}

fn session_fields<'a>(request: &'a RequestContext, handle: &'a str) -> [&'a [u8]; 2] {
    [request.authority.host().as_bytes(), handle.as_bytes()]
}
