//! Beginning sessions and ending them.

use http::{HeaderMap, HeaderValue};

use super::bind::user_agent;
use super::carried::Presented;
use super::id::SessionId;
use super::limit::{BeginError, Room};
use super::record::LoginFacts;
use super::{Remember, Sessions, account_key, forgotten_at};
use crate::base::handle::Handle;
use crate::base::identity::{Account, Identity};
use crate::http::RequestContext;
use crate::store::{NewSession, Unavailable};
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
        self.put(&id, identity, &login).await?;
        let room = self.make_room(request, &identity.account, &id.handle()).await;
        if room.is_err() {
            // As well as can be: nobody has its cookie.
            let _ = self.lookup.store.remove(&id.handle(), &account_key(&identity.account)).await;
        }
        room?;
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

    /// Keeps an account within its limit of sessions, after another has begun.
    async fn make_room(
        &self,
        request: &RequestContext,
        account: &Account,
        newest: &Handle,
    ) -> Result<(), BeginError> {
        match self.limit.room(&self.lookup, account, newest).await? {
            Room::After(oldest) => {
                for session in oldest {
                    self.directory.end(&session, "limit", Facts::of(request)).await?;
                }
                Ok(())
            }
            Room::None => Err(BeginError::AtLimit),
        }
    }

    async fn put(&self, id: &SessionId, identity: &Identity, login: &LoginFacts) -> Result<(), Unavailable> {
        let lifetime = self.lifetimes.of(login.remember);
        let ends_at = login.at.plus(lifetime.absolute);
        self.lookup
            .store
            .create(&NewSession {
                handle: &id.handle(),
                account: &account_key(&identity.account),
                record: &self.lookup.records.seal(id, identity, login),
                logged_in_at: login.at,
                expires_at: forgotten_at(login.at, lifetime.idle, ends_at),
                ends_at,
            })
            .await
    }
}
