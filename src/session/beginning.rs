//! Beginning sessions and ending them.

use http::{HeaderMap, HeaderValue};

use super::bind::user_agent;
use super::carried::Presented;
use super::entering::{Life, Newcomer};
use super::id::SessionId;
use super::limit::BeginError;
use super::record::LoginFacts;
use super::{Remember, Sessions, forgotten_at};
use crate::base::handle::Handle;
use crate::base::identity::Identity;
use crate::http::RequestContext;
use crate::store::Unavailable;
use crate::telemetry::Facts;

/// A session that has just begun.
#[derive(Debug)]
pub struct Begun {
    /// Its name.
    pub handle: Handle,
    /// Hands it to the browser.
    pub set_cookie: HeaderValue,
}

impl Sessions {
    /// Begins a session for `identity`, and ends those that the request's cookies carry: an id from before the
    /// login, whoever chose it, is worth nothing after it.
    ///
    /// # Errors
    /// Where the store cannot do it, or the account has as many sessions as it may: then nobody is logged in.
    pub async fn begin(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        identity: &Identity,
        remember: Remember,
    ) -> Result<Begun, BeginError> {
        self.end(request, headers, "login").await?;
        let id = SessionId::new(self.random);
        let login = LoginFacts {
            at: self.clock.now(),
            address: request.client.to_string(),
            user_agent: user_agent(headers),
            remember,
        };
        self.newcomer(&id, identity, &login, Facts::of(request)).admit(&self.tasks).await?;
        self.metrics.session_created(&identity.account.provider);
        let value = self.values.issue(id.bytes(), self.cookie.scope(request.authority.host()), login.at);
        let life = self.lifetimes.of(remember).absolute;
        Ok(Begun { handle: id.handle(), set_cookie: self.cookie.set(&value, life, remember) })
    }

    /// Ends the sessions that the request's cookies carry.
    ///
    /// # Errors
    /// Where the store cannot do it: then they are still alive, and the caller must not say otherwise.
    pub async fn end(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        reason: &'static str,
    ) -> Result<(), Unavailable> {
        for Presented { id, .. } in self.read_cookies(request, headers).presented {
            let found = self.lookup.find(&id.handle(), &Facts::of(request)).await?;
            let Some(opened) = found else { continue };
            if opened.standing(&id, self.clock.now()).is_some() {
                self.directory.end(&opened.session, reason, Facts::of(request)).await?;
            }
        }
        Ok(())
    }

    fn newcomer(
        &self,
        id: &SessionId,
        identity: &Identity,
        login: &LoginFacts,
        about: Facts<'static>,
    ) -> Newcomer {
        let lifetime = self.lifetimes.of(login.remember);
        let ends_at = login.at.plus(lifetime.absolute);
        Newcomer {
            lookup: self.lookup.clone(),
            limit: self.limit,
            handle: id.handle(),
            account: identity.account.clone(),
            record: self.lookup.records.seal(id, identity, login),
            life: Life {
                begins: login.at,
                lapses: forgotten_at(login.at, lifetime.idle, ends_at),
                ends: ends_at,
            },
            about,
        }
    }
}
