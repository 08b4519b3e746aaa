//! Forms that met an ended session: kept for their user's return, sealed, and given to nobody else.
//!
//! A form lies in the store under a key that only a cookie of its browser has, for a few minutes. It belongs to its
//! user: the cookie by which that browser was known when it sent the form has to vouch for whoever comes for it.
//! Nothing is sent by itself: a page offers it, and what that page's button sends stands for the form.

mod form;
mod room;

use std::sync::Arc;
use std::time::Duration;

use ::cookie::SameSite;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

pub use form::UnsentForm;
pub use room::Place;

use self::form::is_form;
use self::room::Room;
use super::Session;
use super::browsers::KnownBrowsers;
use super::carried::COOKIES_CHECKED;
use super::id::SessionId;
use super::own_cookie::OwnCookie;
use super::value::SignedValues;
use crate::base::base64url;
use crate::base::clock::Clock;
use crate::base::handle::Handle;
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::signed::{Purpose, Secrets, Signer};
use crate::http::cookies::{self, BROWSER_COOKIE, UNSENT_COOKIE};
use crate::http::{RequestContext, Target};
use crate::store::{Fetch, Parcel, Store, Unavailable};

/// How long a form waits for its user.
const LIFE: Duration = Duration::from_secs(15 * 60);

const COOKIE: OwnCookie = OwnCookie { name: UNSENT_COOKIE, same_site: SameSite::Lax, life: LIFE };

/// Keeps them.
#[derive(Debug)]
pub struct UnsentForms {
    store: Arc<dyn Store>,
    browsers: Arc<KnownBrowsers>,
    cookies: SignedValues,
    tokens: Signer,
    room: Room,
    most_bytes: u64,
    tasks: TaskTracker,
    clock: Clock,
    random: Random,
}

/// What unsent forms need from outside.
#[derive(Debug)]
pub struct UnsentParts {
    /// Where they lie.
    pub store: Arc<dyn Store>,
    /// Who knows whose they are.
    pub browsers: Arc<KnownBrowsers>,
    /// The largest body that is kept, in bytes.
    pub most_bytes: u64,
    /// Who waits for what has to be kept again.
    pub tasks: TaskTracker,
    /// The time that decides.
    pub clock: Clock,
    /// Where keys come from.
    pub random: Random,
}

/// What waits in a browser for somebody.
#[derive(Debug)]
pub enum Waiting {
    /// A form of theirs.
    Form(Offer),
    /// Somebody else's form: they know nothing of it, and it goes on waiting.
    AnothersForm,
    /// Nothing, or nothing any more.
    Nothing,
}

/// A form that its user may send after all.
#[derive(Debug)]
pub struct Offer {
    /// Where it was sent: a path and a query on this host.
    pub target: String,
    /// How large it is.
    pub bytes: usize,
    /// How long it waits yet.
    pub left: Duration,
    /// What stands for the form when it is sent to the very same target.
    pub token: Secret<String>,
}

impl UnsentForms {
    /// Forms under keys of these `secrets`.
    pub fn new(secrets: &Secrets, parts: UnsentParts) -> Self {
        let UnsentParts { store, browsers, most_bytes, tasks, clock, random } = parts;
        let signer = Signer::derive(secrets, Purpose::UnsentCookie);
        let cookies = SignedValues::new(signer, UNSENT_COOKIE.to_owned(), LIFE);
        let tokens = Signer::derive(secrets, Purpose::UnsentForm);
        let room = Room::new(most_bytes, Signer::derive(secrets, Purpose::UnsentRoom));
        Self { store, browsers, cookies, tokens, room, most_bytes, tasks, clock, random }
    }

    /// The largest body that is kept, in bytes.
    pub fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// Whether a browser sent this that calls itself somebody's: without that nobody could say whose form it is.
    pub fn comes_from_a_browser(&self, headers: &HeaderMap) -> bool {
        cookies::values(headers, BROWSER_COOKIE).next().is_some()
    }

    /// Whether a body under these headers may be kept: it is a form's, and somebody may come for it.
    pub fn may_keep(&self, headers: &HeaderMap) -> bool {
        is_form(headers) && self.comes_from_a_browser(headers)
    }

    /// A place for a form that comes with the cookie of the session `ended`, before it is read; `None` where there is
    /// none, or nobody can tell: it is lost as it would be without us.
    pub async fn place_for(&self, request: &RequestContext, ended: &Handle) -> Option<Place<'_>> {
        let place = self.room.take(&*self.store, request, ended, self.clock.now()).await;
        place.unwrap_or_else(|error| {
            tracing::debug!(%error, "a form that met an ended session is not kept");
            None
        })
    }

    /// Keeps a form in its `place`. Returns the cookie by which its browser will come for it; `None` where it cannot be
    /// kept.
    pub async fn keep(
        &self,
        place: Place<'_>,
        request: &RequestContext,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Option<HeaderValue> {
        let (id, now, host) = (SessionId::new(self.random), self.clock.now(), request.authority.host());
        let cookie = COOKIE.set(&self.cookies.issue(id.bytes(), host, now));
        let form = UnsentForm::new(id, request, headers, body, now);
        let kept = self.deposit(&form).await;
        drop(place);
        kept.ok().map(|()| cookie)
    }

    /// Keeps a form again that was collected, for as long as it had left: it did not arrive. With `target` it goes there
    /// from now on. It is done whether or not somebody waits for it, and says whether it could be.
    pub fn put_back(self: &Arc<Self>, mut form: UnsentForm, target: Option<&Target>) -> JoinHandle<bool> {
        if let Some(target) = target {
            form.label.target = target.path_and_query();
        }
        let forms = Arc::clone(self);
        self.tasks.spawn(async move { forms.deposit(&form).await.is_ok() })
    }

    async fn deposit(&self, form: &UnsentForm) -> Result<(), Unavailable> {
        let content = form.seal(self.random);
        let name = form.id.handle();
        self.store.deposit(&Parcel { name: &name, content: &content, until: form.until() }).await
    }

    /// Whether the browser may have a form waiting here. Costs no I/O.
    pub fn may_wait(&self, request: &RequestContext, headers: &HeaderMap) -> bool {
        self.carried(request, headers).next().is_some()
    }

    /// The form that waits for the user of `session` in this browser.
    ///
    /// # Errors
    /// Where the store cannot tell.
    pub async fn offer(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        session: &Session,
    ) -> Result<Waiting, Unavailable> {
        for id in self.carried(request, headers) {
            let Some(form) = self.fetch(request, &id, Fetch::Look).await? else { continue };
            if !self.is_of(request, &form, session) {
                return Ok(Waiting::AnothersForm);
            }
            let token = self.tokens.tag(&token_fields(&[
                request.authority.host(),
                &session.handle.to_string(),
                &id.handle().to_string(),
            ]));
            return Ok(Waiting::Form(Offer {
                bytes: form.body.len(),
                left: form.until().since(self.clock.now()),
                token: Secret::new(base64url::encode(token)),
                target: form.label.target,
            }));
        }
        Ok(Waiting::Nothing)
    }

    /// The form that `token` stands for in this request; it is given once.
    ///
    /// # Errors
    /// Where the store cannot tell. It may be gone then.
    pub async fn collect(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        session: &Session,
        token: &str,
    ) -> Result<Option<UnsentForm>, Unavailable> {
        let Some(tag) = base64url::decode(token) else { return Ok(None) };
        let handle = session.handle.to_string();
        for id in self.carried(request, headers) {
            let fields = [request.authority.host(), &handle, &id.handle().to_string()];
            if self.tokens.verify(&token_fields(&fields), &tag).is_none() {
                continue;
            }
            let is_for = |form: &UnsentForm| {
                form.label.target == request.target.path_and_query() && self.is_of(request, form, session)
            };
            // What is not for this request is left for the one that it is for.
            if !self.fetch(request, &id, Fetch::Look).await?.is_some_and(|form| is_for(&form)) {
                return Ok(None);
            }
            return Ok(self.fetch(request, &id, Fetch::Collect).await?.filter(is_for));
        }
        Ok(None)
    }

    /// Throws away what waits for this browser.
    ///
    /// # Errors
    /// Where the store cannot.
    pub async fn discard(&self, request: &RequestContext, headers: &HeaderMap) -> Result<(), Unavailable> {
        for id in self.carried(request, headers) {
            self.store.fetch(&id.handle(), Fetch::Collect).await?;
        }
        Ok(())
    }

    /// The browser is to forget that something waited.
    pub fn forget(&self) -> HeaderValue {
        COOKIE.clear()
    }

    async fn fetch(
        &self,
        request: &RequestContext,
        id: &SessionId,
        how: Fetch,
    ) -> Result<Option<UnsentForm>, Unavailable> {
        let content = self.store.fetch(&id.handle(), how).await?;
        Ok(content.and_then(|content| UnsentForm::open(id.clone(), request.authority.host(), &content)))
    }

    fn is_of(&self, request: &RequestContext, form: &UnsentForm, session: &Session) -> bool {
        let account = &session.identity.account;
        form.label.browsers.iter().any(|value| self.browsers.vouches(request, value.as_bytes(), account))
    }

    fn carried<'a>(
        &'a self,
        request: &'a RequestContext,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = SessionId> + 'a {
        let now = self.clock.now();
        cookies::values(headers, UNSENT_COOKIE)
            .take(COOKIES_CHECKED)
            .filter_map(move |value| self.cookies.read(value, request.authority.host(), now).ok())
            .map(|vouched| SessionId::from_bytes(vouched.id))
    }
}

fn token_fields<'a>(fields: &[&'a str; 3]) -> [&'a [u8]; 3] {
    fields.map(str::as_bytes)
}
