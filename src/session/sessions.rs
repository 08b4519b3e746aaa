//! The service: finds the session that a request carries, begins new ones, ends them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio_util::task::TaskTracker;

use super::bind;
use super::carried::{Carried, Presented};
use super::directory::Directory;
use super::id::SessionId;
use super::limit::Limit;
use super::live::Live;
use super::lookup::{self, Lookup};
use super::memory::SessionMemory;
use super::opened::{Opened, Standing};
use super::record::Records;
use super::rotation::{Rotated, Rotation};
use super::touch::{Notices, Toucher, touching};
use super::value::{SignedValues, ValueFault};
use super::watchman::Watchman;
use super::{Lifetimes, Session, SessionCookie};
use crate::base::clock::Clock;
use crate::base::handle::Handle;
use crate::base::random::Random;
use crate::base::signed::{Purpose, Secrets, Signer, Verified};
use crate::config::{self, Bind};
use crate::http::{RequestContext, cookies};
use crate::store::{Store, Unavailable};
use crate::telemetry::{Audit, CookieVerdict, Event, Facts, Metrics};

/// Everything that is done with sessions.
#[derive(Debug)]
pub struct Sessions {
    pub(super) lookup: Lookup,
    rotation: Rotation,
    pub(super) directory: Directory,
    pub(super) values: SignedValues,
    pub(super) lifetimes: Lifetimes,
    pub(super) cookie: SessionCookie,
    bind: Vec<Bind>,
    pub(super) limit: Limit,
    pub(super) tasks: TaskTracker,
    notices: Notices,
    pub(super) clock: Clock,
    pub(super) random: Random,
    audit: Audit,
    pub(super) metrics: Arc<Metrics>,
}

/// What sessions need from outside their section of the configuration.
#[derive(Debug)]
pub struct Surroundings {
    /// Where they lie.
    pub store: Arc<dyn Store>,
    /// What this process remembers of them, and the store tells of changes.
    pub memory: SessionMemory,
    /// Who waits for the logins that are under way.
    pub tasks: TaskTracker,
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
    opened: Arc<Opened>,
    presented: Presented,
    /// The present id, where the request came with the one before.
    present: Option<SessionId>,
}

impl Found {
    /// Under which secret its cookie is signed.
    pub fn signed_under(&self) -> Verified {
        self.presented.under
    }
}

/// Why a request has no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// It brought no cookie of the name.
    NoCookie,
    /// It brought one that is no good, for this reason.
    BadCookie(CookieVerdict),
    /// It brought one that is ours, of a session or an id that is over.
    Ended(Handle),
}

impl Sessions {
    /// Sessions as configured, and who records their use: to be run by the caller.
    pub fn new(config: &config::Session, secrets: &Secrets, around: Surroundings) -> (Self, Toucher) {
        let lifetimes = Lifetimes::new(config);
        let signer = Signer::derive(secrets, Purpose::SessionCookie);
        let lookup = Lookup {
            store: around.store,
            records: Arc::new(Records::new(Signer::derive(secrets, Purpose::Record), lifetimes)),
            memory: around.memory.0,
            grace: lookup::grace(config.store.on_outage, config.store.outage_grace),
            clock: around.clock.clone(),
            audit: around.audit.clone(),
            metrics: Arc::clone(&around.metrics),
        };
        let rotation = Rotation {
            lookup: lookup.clone(),
            every: config.rotate_every,
            grace: config.rotate_grace,
            random: around.random,
        };
        let (notices, toucher) = touching(rotation.clone());
        let sessions = Self {
            directory: Directory::new(lookup.clone()),
            lookup,
            rotation,
            values: SignedValues::new(signer, config.cookie.name.clone(), lifetimes.longest()),
            lifetimes,
            cookie: SessionCookie::new(config.cookie.clone()),
            bind: config.bind.clone(),
            limit: Limit { most: config.max_per_user.map(NonZeroUsize::get), at_limit: config.at_limit },
            tasks: around.tasks,
            notices,
            clock: around.clock,
            random: around.random,
            audit: around.audit,
            metrics: around.metrics,
        };
        (sessions, toucher)
    }

    /// All of them, seen from above.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// For what rides on them.
    pub fn live(&self) -> Live {
        let riders = Arc::clone(&self.lookup.memory.riders);
        Live::new(riders, self.notices.clone(), self.clock.clone(), Arc::clone(&self.metrics))
    }

    /// Who ends what rides on them: to be run by the caller.
    pub fn watchman(&self) -> Watchman {
        Watchman::new(self.lookup.clone())
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
        let mut looked_up = self.look_up(request, headers, Bounds::Kept).await?;
        Ok(match (looked_up.verdict, looked_up.alive.pop()) {
            (CookieVerdict::Valid | CookieVerdict::OldKey, Some(found)) => {
                if found.present.is_none() {
                    self.notices.settled(&found.opened, self.clock.now());
                }
                Finding::Session(found)
            }
            (CookieVerdict::Absent, _) => Finding::Nobody(NoSession::NoCookie),
            (verdict, _) => {
                Finding::Nobody(looked_up.ended.map_or(NoSession::BadCookie(verdict), NoSession::Ended))
            }
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
    ) -> Result<Vec<Arc<Session>>, Unavailable> {
        let looked_up = self.look_up(request, headers, Bounds::Ignored).await?;
        Ok(looked_up.alive.into_iter().map(|found| found.session).collect())
    }

    /// Takes notice that the session is used.
    pub fn touch(&self, found: &Found) {
        self.notices.used(&found.opened, self.clock.now());
    }

    /// How long it goes on unless it is used again.
    pub fn left(&self, session: &Session) -> Duration {
        session.idle_ends_at().since(self.clock.now())
    }

    /// The same where it is used just now.
    pub fn left_after_use(&self, session: &Session) -> Duration {
        let now = self.clock.now();
        session.idle_ends_after_use(now).since(now)
    }

    /// The session's cookie, where the browser is due another: under the secret that signs now, or with the id that
    /// has taken the place of the one that it sent. Only for answers to page navigations: a late one to a script
    /// could overwrite what a login beside it has just set.
    pub async fn renewed(&self, request: &RequestContext, found: &Found) -> Option<HeaderValue> {
        let now = self.clock.now();
        if let Some(present) = &found.present {
            return Some(self.cookie_for(request, found, present));
        }
        if self.rotation.is_due(&found.opened, now) {
            return self.rotated(request, found).await;
        }
        match found.presented.under {
            Verified::Current => None,
            Verified::Previous => Some(self.cookie_for(request, found, &found.presented.id)),
        }
    }

    async fn rotated(&self, request: &RequestContext, found: &Found) -> Option<HeaderValue> {
        match self.rotation.rotate(&found.presented.id).await {
            Ok(Rotated::Here(id)) => {
                self.audit.record(Event::Rotated, &found.session.facts(Facts::of(request)));
                Some(self.cookie_for(request, found, &id))
            }
            Ok(Rotated::Elsewhere(id)) => Some(self.cookie_for(request, found, &id)),
            Ok(Rotated::Ended) => None,
            Err(error) => {
                tracing::debug!(handle = %found.session.handle, %error, "an id is kept for longer");
                None
            }
        }
    }

    fn cookie_for(&self, request: &RequestContext, found: &Found, id: &SessionId) -> HeaderValue {
        let now = self.clock.now();
        let value = self.values.issue(id.bytes(), self.cookie.scope(request.authority.host()), now);
        self.cookie.set(&value, found.session.ends_at.since(now), found.session.remember)
    }

    async fn look_up(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        bounds: Bounds,
    ) -> Result<LookedUp, Unavailable> {
        let looked_up = self.look_up_uncounted(request, headers, bounds).await;
        let verdict = looked_up.as_ref().map_or(CookieVerdict::Unavailable, |looked_up| looked_up.verdict);
        self.metrics.cookie_verdict(verdict);
        looked_up
    }

    pub(super) async fn look_up_uncounted(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        bounds: Bounds,
    ) -> Result<LookedUp, Unavailable> {
        let carried = self.read_cookies(request, headers);
        if carried.presented.is_empty() {
            let verdict = carried.faults.first().map_or(CookieVerdict::Absent, |fault| verdict_of(*fault));
            return Ok(LookedUp { verdict, alive: Vec::new(), ended: None });
        }
        let first = carried.presented[0].id.handle();
        let mut alive: Vec<Found> = Vec::new();
        let mut strays = false;
        for presented in carried.presented {
            let Some(found) = self.bearer(request, presented).await? else { continue };
            if bounds == Bounds::Kept && self.is_elsewhere(request, headers, &found.session) {
                strays = true;
                continue;
            }
            match alive.iter_mut().find(|other| other.session.handle == found.session.handle) {
                // An id and its successor are one session; who has the successor is to keep it.
                Some(other) if found.present.is_none() => *other = found,
                Some(_) => {}
                None => alive.push(found),
            }
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
        let ended = (alive.is_empty() && !strays).then_some(first);
        Ok(LookedUp { verdict, alive, ended })
    }

    /// The session that the id gives its bearer; `None` where it gives none.
    async fn bearer(
        &self,
        request: &RequestContext,
        presented: Presented,
    ) -> Result<Option<Found>, Unavailable> {
        let found = self.lookup.find(&presented.id.handle(), &Facts::of(request)).await?;
        let Some(opened) = found else { return Ok(None) };
        let present = match opened.standing(&presented.id, self.clock.now()) {
            None => return Ok(None),
            Some(Standing::Present) => None,
            Some(Standing::Replaced(next)) => Some(next),
        };
        let session = Arc::clone(&opened.session);
        if !self.is_alive(request, &session) {
            return Ok(None);
        }
        Ok(Some(Found { session, opened, presented, present }))
    }

    /// Whether the request comes from where its session is not bound to.
    fn is_elsewhere(&self, request: &RequestContext, headers: &HeaderMap, session: &Session) -> bool {
        let holds = bind::holds(&self.bind, session, request.client, headers);
        if !holds {
            self.refuse(request, "bound-elsewhere", Some(session.handle));
        }
        !holds
    }

    fn is_alive(&self, request: &RequestContext, session: &Session) -> bool {
        let now = self.clock.now();
        if session.is_over(now) {
            let reason = if now >= session.ends_at { "absolute" } else { "idle" };
            let about = Facts { reason: Some(reason), ..Facts::of(request) };
            self.audit.record(Event::Expired, &session.facts(about));
            return false;
        }
        true
    }

    /// The ids that the cookies vouch for: no I/O, one HMAC a cookie and secret.
    pub(super) fn read_cookies(&self, request: &RequestContext, headers: &HeaderMap) -> Carried {
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

    fn refuse(&self, request: &RequestContext, reason: &'static str, handle: Option<Handle>) {
        self.audit
            .record(Event::CookieRefused, &Facts { handle, reason: Some(reason), ..Facts::of(request) });
    }
}

/// Whether it matters where a session is bound to: it does not to who ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounds {
    Kept,
    Ignored,
}

/// What a request's cookies amount to after the store was asked.
pub(super) struct LookedUp {
    pub(super) verdict: CookieVerdict,
    pub(super) alive: Vec<Found>,
    /// What its cookies vouch for, where nothing of that is alive.
    pub(super) ended: Option<Handle>,
}

fn verdict_of(fault: ValueFault) -> CookieVerdict {
    match fault {
        ValueFault::Malformed => CookieVerdict::Malformed,
        ValueFault::Forged => CookieVerdict::Forged,
        ValueFault::Aged => CookieVerdict::Aged,
    }
}
