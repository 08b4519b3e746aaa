//! Forms that met an ended session: kept for their user's return, sealed, and given to nobody else.
//!
//! A form lies in the store under a key that only a cookie of its browser has, for a few minutes. It belongs to its
//! user: the cookie by which that browser was known when it sent the form has to vouch for whoever comes for it.
//! Nothing is sent by itself: a page offers it, and what that page's button sends stands for the form.

use std::sync::Arc;
use std::time::Duration;

use ::cookie::SameSite;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, REFERER};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::Session;
use super::browsers::KnownBrowsers;
use super::carried::COOKIES_CHECKED;
use super::id::SessionId;
use super::own_cookie::OwnCookie;
use super::value::SignedValues;
use crate::base::base64url;
use crate::base::clock::{Clock, Timestamp};
use crate::base::handle::Handle;
use crate::base::random::Random;
use crate::base::rate;
use crate::base::sealed::{SealPurpose, Sealer};
use crate::base::signed::{Purpose, Secrets, Signer};
use crate::http::RequestContext;
use crate::http::cookies::{self, BROWSER_COOKIE, UNSENT_COOKIE};
use crate::store::{Bucket, BucketName, Fetch, Parcel, Store, Taken, Unavailable};

/// How long a form waits for its user.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// How many forms one ended session may leave: whoever has its cookie could fill the store with them.
const MOST: &str = "20/h";

/// What browsers send forms as (HTML §4.10.21.5).
const FORM_TYPES: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// What of the request's head is kept; applications look at the last two to see whose page has sent a form.
const KEPT_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, ORIGIN, REFERER];

const COOKIE: OwnCookie = OwnCookie { name: UNSENT_COOKIE, same_site: SameSite::Lax, life: LIFE };

/// Keeps them.
#[derive(Debug)]
pub struct UnsentForms {
    store: Arc<dyn Store>,
    browsers: Arc<KnownBrowsers>,
    cookies: SignedValues,
    tokens: Signer,
    most_bytes: u64,
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
    /// The time that decides.
    pub clock: Clock,
    /// Where keys come from.
    pub random: Random,
}

/// A form as it was sent.
#[derive(Debug)]
pub struct UnsentForm {
    /// Its body.
    pub body: Bytes,
    label: Label,
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
    pub token: String,
}

/// What is known of a form besides its body.
#[derive(Debug, Serialize, Deserialize)]
struct Label {
    target: String,
    /// Those of [`KEPT_HEADERS`] that there were.
    headers: Vec<(String, String)>,
    sent_at: i64,
    /// The cookies by which the browser was known.
    browsers: Vec<String>,
}

impl UnsentForms {
    /// Forms under keys of these `secrets`.
    pub fn new(secrets: &Secrets, parts: UnsentParts) -> Self {
        let UnsentParts { store, browsers, most_bytes, clock, random } = parts;
        let signer = Signer::derive(secrets, Purpose::UnsentCookie);
        let cookies = SignedValues::new(signer, UNSENT_COOKIE.to_owned(), LIFE);
        let tokens = Signer::derive(secrets, Purpose::UnsentForm);
        Self { store, browsers, cookies, tokens, most_bytes, clock, random }
    }

    /// The largest body that is kept, in bytes.
    pub fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// Whether a body under these headers is a form's, from a browser that somebody is known to use.
    pub fn may_keep(&self, headers: &HeaderMap) -> bool {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is_form = FORM_TYPES.iter().any(|form| essence.eq_ignore_ascii_case(form.as_bytes()));
        is_form && cookies::values(headers, BROWSER_COOKIE).next().is_some()
    }

    /// Keeps a form that came with the cookie of the session `ended`. Returns the cookie by which its browser will come
    /// for it; `None` where it cannot be kept, and is lost as it would be without us.
    pub async fn keep(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        body: &[u8],
        ended: &Handle,
    ) -> Option<HeaderValue> {
        let kept = self.try_keep(request, headers, body, ended).await;
        kept.unwrap_or_else(|error| {
            tracing::debug!(%error, "a form that met an ended session is not kept");
            None
        })
    }

    async fn try_keep(
        &self,
        request: &RequestContext,
        headers: &HeaderMap,
        body: &[u8],
        ended: &Handle,
    ) -> Result<Option<HeaderValue>, Unavailable> {
        let now = self.clock.now();
        let rate = rate::parse(MOST).expect("a rate");
        let name = BucketName { scope: "unsent", digest: *ended.as_bytes() };
        if let Taken::Full(_) = self.store.take(&Bucket { name, rate }, now).await? {
            return Ok(None);
        }
        let id = SessionId::new(self.random);
        let label = serde_json::to_vec(&Label::of(request, headers, now)).expect("text is always JSON");
        let content = [&label, b"\n".as_slice(), body].concat();
        let content = sealer(&id).seal(&content, request.authority.host().as_bytes(), self.random);
        let parcel = Parcel { name: &id.handle(), content: &content, until: now.plus(LIFE) };
        self.store.deposit(&parcel).await?;
        Ok(Some(COOKIE.set(&self.cookies.issue(id.bytes(), request.authority.host(), now))))
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
                &form.label.target,
            ]));
            let waited = self.clock.now().since(Timestamp::from_seconds(form.label.sent_at));
            return Ok(Waiting::Form(Offer {
                bytes: form.body.len(),
                left: LIFE.saturating_sub(waited),
                token: base64url::encode(token),
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
        let (handle, target) = (session.handle.to_string(), request.target.path_and_query());
        for id in self.carried(request, headers) {
            let parcel = id.handle().to_string();
            let fields = [request.authority.host(), &handle, &parcel, &target];
            if self.tokens.verify(&token_fields(&fields), &tag).is_some() {
                let form = self.fetch(request, &id, Fetch::Collect).await?;
                return Ok(form.filter(|form| self.is_of(request, form, session)));
            }
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
        let Some(content) = self.store.fetch(&id.handle(), how).await? else { return Ok(None) };
        let opened = sealer(id).open(&content, request.authority.host().as_bytes());
        Ok(opened.and_then(|content| UnsentForm::read(content.expose())))
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

impl UnsentForm {
    /// Makes the headers of the request that stands for it what they were with it.
    pub fn restore(&self, headers: &mut HeaderMap) {
        for name in KEPT_HEADERS {
            headers.remove(name);
        }
        for (name, value) in &self.label.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        headers.insert(CONTENT_LENGTH, self.body.len().into());
    }

    fn read(content: &[u8]) -> Option<Self> {
        let end = content.iter().position(|byte| *byte == b'\n')?;
        let (label, body) = (&content[..end], &content[end + 1..]);
        Some(Self { label: serde_json::from_slice(label).ok()?, body: Bytes::copy_from_slice(body) })
    }
}

impl Label {
    fn of(request: &RequestContext, headers: &HeaderMap, now: Timestamp) -> Self {
        let kept = KEPT_HEADERS.iter().filter_map(|name| {
            Some((name.as_str().to_owned(), headers.get(name)?.to_str().ok()?.to_owned()))
        });
        let browsers = cookies::values(headers, BROWSER_COOKIE).take(COOKIES_CHECKED);
        Self {
            target: request.target.path_and_query(),
            headers: kept.collect(),
            sent_at: now.seconds(),
            browsers: browsers.filter_map(|value| String::from_utf8(value.to_vec()).ok()).collect(),
        }
    }
}

fn sealer(id: &SessionId) -> Sealer {
    Sealer::derive(id.bytes().expose(), SealPurpose::UnsentForm)
}

fn token_fields<'a>(fields: &[&'a str; 4]) -> [&'a [u8]; 4] {
    fields.map(str::as_bytes)
}
