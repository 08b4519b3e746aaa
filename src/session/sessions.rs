//! The service: finds the session that a request carries, begins new ones, ends them.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::carried::{Carried, Presented};
use super::id::SessionId;
use super::record::{LoginFacts, RecordFault, Records};
use super::touch::{TouchQueue, Toucher, touching};
use super::value::{SignedValues, ValueFault};
use super::{Lifetimes, Remember, Session, SessionCookie, forgotten_at};
use crate::base::base64url;
use crate::base::clock::Clock;
use crate::base::handle::Handle;
use crate::base::identity::{Account, Identity};
use crate::base::random::Random;
use crate::base::signed::{Purpose, Secrets, Signer, Verified};
use crate::config;
use crate::http::{RequestContext, cookies};
use crate::store::{NewSession, Store, Trouble, Unavailable};
use crate::telemetry::{Audit, CookieVerdict, Event, Facts, Metrics};

/// So much of a client's name for itself is kept.
const USER_AGENT_CHARS: usize = 256;

/// Everything that is done with sessions.
#[derive(Debug)]
pub struct Sessions {
    store: Arc<dyn Store>,
    values: SignedValues,
    records: Records,
    lifetimes: Lifetimes,
    cookie: SessionCookie,
    uses: TouchQueue,
    clock: Clock,
    random: Random,
    audit: Audit,
    metrics: Arc<Metrics>,
}

/// What sessions need from outside their section of the configuration.
#[derive(Debug)]
pub struct Surroundings {
    /// Where they lie.
    pub store: Arc<dyn Store>,
    /// The time that decides.
    pub clock: Clock,
    /// Where ids come from.
    pub random: Random,
    /// Who hears of security events.
    pub audit: Audit,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What a request's cookies amount to. That the store could not be asked is another thing altogether: an
/// [`Unavailable`].
#[derive(Debug)]
pub enum Finding {
    /// Somebody's.
    Session(Found),
    /// Nobody's.
    Nobody(NoSession),
}

/// A session that is alive.
#[derive(Debug)]
pub struct Found {
    /// What is known of it.
    pub session: Arc<Session>,
    /// Its cookie under the secret that signs now, where the request's is under a previous one. Only for answers
    /// to page navigations: a late one to a script could overwrite what a login beside it has just set.
    pub renewed: Option<HeaderValue>,
}

/// Why a request has no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// It brought no cookie of the name.
    NoCookie,
    /// It brought one that is not, or no longer, any good.
    BadCookie,
}

/// A session that has just begun.
#[derive(Debug)]
pub struct Begun {
    /// Its name.
    pub handle: Handle,
    /// Hands it to the browser.
    pub set_cookie: HeaderValue,
}

impl Sessions {
    /// Sessions as configured, and who records their use: to be run by the caller.
    pub fn new(config: &config::Session, secrets: &Secrets, around: Surroundings) -> (Self, Toucher) {
        let lifetimes = Lifetimes::new(config);
        let cookie = SessionCookie::new(config.cookie.clone());
        let (uses, toucher) = touching(Arc::clone(&around.store));
        let signer = Signer::derive(secrets, Purpose::SessionCookie);
        let sessions = Self {
            store: around.store,
            values: SignedValues::new(signer, config.cookie.name.clone(), lifetimes.longest()),
            records: Records::new(Signer::derive(secrets, Purpose::Record), lifetimes),
            lifetimes,
            cookie,
            uses,
            clock: around.clock,
            random: around.random,
            audit: around.audit,
            metrics: around.metrics,
        };
        (sessions, toucher)
    }

    /// The cookie that carries them.
    pub fn cookie(&self) -> &SessionCookie {
        &self.cookie
    }

    /// The session that the request's cookies carry. Where they carry several that are alive, somebody planted one
    /// of them, nobody can say which, and none counts.
    ///
    /// # Errors
    /// Where the store has to be asked and cannot answer: which says nothing about the session.
    pub async fn find(&self, request: &RequestContext, headers: &HeaderMap) -> Result<Finding, Unavailable> {
        let mut looked_up = self.look_up(request, headers).await?;
        Ok(match (looked_up.verdict, looked_up.alive.pop()) {
            (CookieVerdict::Valid | CookieVerdict::OldKey, Some(alive)) => Finding::Session(Found {
                renewed: self.renewed(request, &alive),
                session: Arc::new(alive.session),
            }),
            (CookieVerdict::Absent, _) => Finding::Nobody(NoSession::NoCookie),
            (_, _) => Finding::Nobody(NoSession::BadCookie),
        })
    }

    /// Every session alive that the request's cookies carry: whoever logs out ends them all, also those that do not
    /// count because they are several.
    ///
    /// # Errors
    /// As [`Sessions::find`].
    pub async fn find_all(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
    ) -> Result<Vec<Session>, Unavailable> {
        let looked_up = self.look_up(request, headers).await?;
        Ok(looked_up.alive.into_iter().map(|alive| alive.session).collect())
    }

    /// Takes notice that the session is used.
    pub fn touch(&self, session: &Session) {
        self.uses.touch(session, self.clock.now());
    }

    /// Begins a session for `identity`, and ends those that the request's cookies carry: an id from before the
    /// login, whoever chose it, is worth nothing after it.
    ///
    /// # Errors
    /// Where the store cannot do it: then nobody is logged in.
    pub async fn begin(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        identity: &Identity,
        remember: Remember,
    ) -> Result<Begun, Unavailable> {
        self.end(request, headers, "login").await?;
        let id = SessionId::new(self.random);
        let login = LoginFacts {
            at: self.clock.now(),
            address: request.client.to_string(),
            user_agent: user_agent(headers),
            remember,
        };
        self.put(&id, identity, &login).await?;
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
            let Some(session) = self.load(request, &id).await? else { continue };
            self.store.remove(&session.handle, &account_key(&session.identity.account)).await?;
            self.metrics.session_ended(reason);
            let facts = Facts { reason: Some(reason), ..facts_of(request, &session) };
            self.audit.record(Event::Revoked, &facts);
        }
        Ok(())
    }

    async fn put(&self, id: &SessionId, identity: &Identity, login: &LoginFacts) -> Result<(), Unavailable> {
        let lifetime = self.lifetimes.of(login.remember);
        let ends_at = login.at.plus(lifetime.absolute);
        self.store
            .create(&NewSession {
                handle: &id.handle(),
                account: &account_key(&identity.account),
                record: &self.records.seal(id, identity, login),
                logged_in_at: login.at,
                expires_at: forgotten_at(login.at, lifetime.idle, ends_at),
                ends_at,
            })
            .await
    }

    async fn look_up(&self, request: &RequestContext, headers: &HeaderMap) -> Result<LookedUp, Unavailable> {
        let looked_up = self.look_up_uncounted(request, headers).await;
        let verdict = looked_up.as_ref().map_or(CookieVerdict::Unavailable, |looked_up| looked_up.verdict);
        self.metrics.cookie_verdict(verdict);
        looked_up
    }

    async fn look_up_uncounted(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
    ) -> Result<LookedUp, Unavailable> {
        let carried = self.read_cookies(request, headers);
        if carried.presented.is_empty() {
            let verdict = carried.faults.first().map_or(CookieVerdict::Absent, |fault| verdict_of(*fault));
            return Ok(LookedUp { verdict, alive: Vec::new() });
        }
        let mut alive = Vec::new();
        for presented in carried.presented {
            let session = self.load(request, &presented.id).await?;
            let session = session.filter(|session| self.is_alive(request, session));
            alive.extend(session.map(|session| Alive { session, presented }));
        }
        let verdict = match &*alive {
            [] => CookieVerdict::Ended,
            [only] => match only.presented.under {
                Verified::Current => CookieVerdict::Valid,
                Verified::Previous => CookieVerdict::OldKey,
            },
            [first, ..] => {
                self.refuse(request, "several-alive", Some(first.session.handle));
                CookieVerdict::Ended
            }
        };
        Ok(LookedUp { verdict, alive })
    }

    /// The same id, signed anew.
    fn renewed(&self, request: &RequestContext, alive: &Alive) -> Option<HeaderValue> {
        let Alive { session, presented } = alive;
        if presented.under == Verified::Current {
            return None;
        }
        let now = self.clock.now();
        let scope = self.cookie.scope(request.authority.host());
        let value = self.values.issue(presented.id.bytes(), scope, now);
        Some(self.cookie.set(&value, session.ends_at.since(now), session.remember))
    }

    fn is_alive(&self, request: &RequestContext, session: &Session) -> bool {
        let now = self.clock.now();
        if session.is_over(now) {
            let reason = if now >= session.ends_at { "absolute" } else { "idle" };
            let facts = Facts { reason: Some(reason), ..facts_of(request, session) };
            self.audit.record(Event::Expired, &facts);
            return false;
        }
        true
    }

    /// The ids that the cookies vouch for: no I/O, one HMAC a cookie and secret.
    fn read_cookies(&self, request: &RequestContext, headers: &HeaderMap) -> Carried {
        let scope = self.cookie.scope(request.authority.host());
        let now = self.clock.now();
        let carried = Carried::read(cookies::values(headers, self.cookie.name()), |value| {
            self.values.read(value, scope, now)
        });
        for fault in &carried.faults {
            self.refuse(request, verdict_of(*fault).as_str(), None);
        }
        carried
    }

    /// The session under `id` as its record tells it, over or not; `None` where there is none that its bearer
    /// may use.
    async fn load(&self, request: &RequestContext, id: &SessionId) -> Result<Option<Session>, Unavailable> {
        let handle = id.handle();
        let Some(record) = self.store.load(&handle).await?.record else { return Ok(None) };
        match self.records.open(&handle, &record, self.clock.now()) {
            Ok(opened) if opened.key == id.key() => Ok(Some(opened.session)),
            Ok(_) => Ok(None),
            Err(fault @ RecordFault::TooNew) => {
                tracing::error!(%handle, "{fault}");
                Err(Unavailable { kind: Trouble::Protocol, source: Some(Box::new(fault)) })
            }
            Err(fault) => {
                tracing::warn!(%handle, "a session's record is refused: {fault}");
                self.metrics.store_error("record");
                self.refuse(request, "record", Some(handle));
                Ok(None)
            }
        }
    }

    fn refuse(&self, request: &RequestContext, reason: &'static str, handle: Option<Handle>) {
        let facts = Facts {
            request_id: Some(request.id),
            address: Some(request.client),
            handle,
            reason: Some(reason),
            ..Facts::default()
        };
        self.audit.record(Event::CookieRefused, &facts);
    }
}

fn facts_of<'a>(request: &RequestContext, session: &'a Session) -> Facts<'a> {
    Facts {
        request_id: Some(request.id),
        user: Some(&session.identity.user),
        account: Some(&session.identity.account),
        handle: Some(session.handle),
        address: Some(request.client),
        reason: None,
    }
}

/// What a request's cookies amount to after the store was asked.
struct LookedUp {
    verdict: CookieVerdict,
    alive: Vec<Alive>,
}

struct Alive {
    session: Session,
    presented: Presented,
}

fn verdict_of(fault: ValueFault) -> CookieVerdict {
    match fault {
        ValueFault::Malformed => CookieVerdict::Malformed,
        ValueFault::Forged => CookieVerdict::Forged,
        ValueFault::Aged => CookieVerdict::Aged,
    }
}

/// The account's name in the store: 16 bytes of SHA-256 over its length-prefixed parts, so that no name stands
/// in a key and no two accounts share one.
fn account_key(account: &Account) -> String {
    let mut hash = Sha256::new();
    for part in [&account.provider, &account.subject] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    base64url::encode(&hash.finalize()[..16])
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::USER_AGENT)?;
    let text = String::from_utf8_lossy(value.as_bytes());
    Some(text.chars().filter(|c| !c.is_control()).take(USER_AGENT_CHARS).collect())
}
