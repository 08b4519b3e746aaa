//! What is told of a request, stage by stage: of one that might come, and of one that did.

use std::borrow::Cow;

use http::header::{
    AUTHORIZATION, CONTENT_LOCATION, COOKIE, LOCATION, PROXY_AUTHORIZATION, REFERER, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use serde::{Deserialize, Serialize};

use crate::base::handle::Handle;
use crate::base::signed::Verified;
use crate::config::{Access, HostPattern};
use crate::http::{Body, cookies};
use crate::policy::{Route, Verdict};
use crate::session::{Finding, Judged, NoSession, Session};
use crate::telemetry::CookieVerdict;

/// What would become of a request. Stages that it does not come to are absent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Explanation {
    /// What the proxy takes it for: method, scheme, host and path, all of them in their one form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Which of the proxy's own pages it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Which route it takes, and what that asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteTold>,
    /// Whether another site's page may have sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// What its cookies come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<CookieTold>,
    /// What the upstream would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamTold>,
    /// What the browser would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerTold>,
}

/// A route, and what it asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct RouteTold {
    /// Its `host`.
    pub host: String,
    /// Its `path`.
    pub path: String,
    /// Its `access`.
    pub access: Cow<'static, str>,
    /// Its `groups`.
    pub groups: Vec<String>,
    /// Its `users`.
    pub users: Vec<String>,
    /// Its `methods`; empty: all.
    pub methods: Vec<String>,
}

/// What cookies come to.
#[derive(Debug, Serialize, Deserialize)]
pub struct CookieTold {
    /// The word that metrics have for it.
    pub verdict: Cow<'static, str>,
    /// What that means.
    pub meaning: Cow<'static, str>,
    /// The sessions that the signatures vouch for.
    pub vouched: Vec<VouchedTold>,
    /// Whose session is alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// A session that a signature vouches for.
#[derive(Debug, Serialize, Deserialize)]
pub struct VouchedTold {
    /// Its handle.
    pub handle: String,
    /// The key of the secret that signed: `session.secret` or `session.previous_secrets`.
    pub secret: Cow<'static, str>,
}

/// What an upstream gets.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpstreamTold {
    /// Its name.
    pub name: String,
    /// The first of its servers.
    pub server: String,
    /// Method and path, as they are sent.
    pub line: String,
    /// What becomes of the headers.
    #[serde(flatten)]
    pub headers: Changes,
}

/// What a browser gets.
#[derive(Debug, Serialize, Deserialize)]
pub struct AnswerTold {
    /// Whose answer it is: `proxy`; `application`, and what becomes of one that an application could give.
    pub by: Cow<'static, str>,
    /// The proxy's status; the application's own is left as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What becomes of the headers.
    #[serde(flatten)]
    pub headers: Changes,
}

/// What becomes of headers. Values that are credentials are not told.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Lines that go.
    pub removed: Vec<String>,
    /// Lines that come, or change.
    pub set: Vec<String>,
}

impl RouteTold {
    pub(super) fn of(route: &Route) -> Self {
        let rule = &route.rule;
        Self {
            host: match &rule.host {
                HostPattern::Exact(host) => host.clone(),
                HostPattern::Subdomains(suffix) => format!("*{suffix}"),
                HostPattern::Any => "*".to_owned(),
            },
            path: rule.path.clone(),
            access: Cow::Borrowed(match rule.access {
                Access::Public => "public",
                Access::Optional => "optional",
                Access::Authenticated => "authenticated",
            }),
            groups: rule.groups.clone(),
            users: rule.users.clone(),
            methods: rule.methods.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What is told of a request's sender.
pub(super) fn sender(verdict: &Verdict, route: &Route) -> String {
    match verdict {
        Verdict::Pass => "nothing says that another site sent it".to_owned(),
        Verdict::Refuse(suspicion) => {
            let (by, mode) = (suspicion.evidence.as_str(), route.rule.csrf);
            format!("another site sent it, says {by}: {}; csrf is {mode:?}", suspicion.sender).to_lowercase()
        }
    }
}

impl CookieTold {
    pub(super) fn of(judged: &Judged) -> Self {
        let vouched = judged.vouched.iter().map(|(handle, under)| VouchedTold::of(*handle, *under));
        Self::new(judged.verdict, vouched.collect(), judged.session.as_deref())
    }

    /// What cookies came to when they were looked at for an answer.
    pub(super) fn of_visitor(visitor: &Finding) -> Self {
        match visitor {
            Finding::Session(found) => {
                let vouched = VouchedTold::of(found.session.handle, found.signed_under());
                let verdict = match found.signed_under() {
                    Verified::Current => CookieVerdict::Valid,
                    Verified::Previous => CookieVerdict::OldKey,
                };
                Self::new(verdict, vec![vouched], Some(&found.session))
            }
            Finding::Nobody(NoSession::NoCookie) => Self::new(CookieVerdict::Absent, Vec::new(), None),
            Finding::Nobody(NoSession::BadCookie(verdict)) => Self::new(*verdict, Vec::new(), None),
            Finding::Nobody(NoSession::Ended(_)) => Self::new(CookieVerdict::Ended, Vec::new(), None),
        }
    }

    pub(super) fn unavailable() -> Self {
        Self::new(CookieVerdict::Unavailable, Vec::new(), None)
    }

    fn new(verdict: CookieVerdict, vouched: Vec<VouchedTold>, session: Option<&Session>) -> Self {
        let identity = session.map(|session| &session.identity);
        Self {
            verdict: Cow::Borrowed(verdict.as_str()),
            meaning: Cow::Borrowed(meaning(verdict)),
            vouched,
            user: identity.map(|identity| identity.user.clone()),
            groups: identity.map(|identity| identity.groups.clone()).unwrap_or_default(),
        }
    }
}

impl VouchedTold {
    fn of(handle: Handle, under: Verified) -> Self {
        let secret = match under {
            Verified::Current => "session.secret",
            Verified::Previous => "session.previous_secrets",
        };
        Self { handle: handle.to_string(), secret: Cow::Borrowed(secret) }
    }
}

fn meaning(verdict: CookieVerdict) -> &'static str {
    match verdict {
        CookieVerdict::Valid => "the session is alive",
        CookieVerdict::OldKey => "the session is alive; the browser is due a cookie under session.secret",
        CookieVerdict::Absent => "no cookie of the name of session.cookie.name",
        CookieVerdict::Malformed => "not of the form id.timestamp.signature",
        CookieVerdict::Forged => "no secret of ours signed it for this host and this cookie's name",
        CookieVerdict::Aged => "ours, but older than any session can be, or from the future",
        CookieVerdict::Ended => "ours, but the session is over, or bound to another browser or network",
        CookieVerdict::Unavailable => "ours, but nobody can tell here whether the session is alive",
    }
}

impl AnswerTold {
    pub(super) fn own(answer: &Response<Body>) -> Self {
        let headers = Changes::between(&HeaderMap::new(), answer.headers());
        Self { by: Cow::Borrowed("proxy"), status: Some(answer.status().as_u16()), headers }
    }
}

impl Changes {
    pub(super) fn between(before: &HeaderMap, after: &HeaderMap) -> Self {
        let lines = |map: &HeaderMap, other: &HeaderMap| {
            let changed =
                map.iter().filter(|(name, value)| !other.get_all(*name).iter().any(|it| it == *value));
            changed.map(|(name, value)| told(name, value)).collect::<Vec<_>>()
        };
        Self { removed: lines(before, after), set: lines(after, before) }
    }

    /// The same where it was not the reader who made the request up: without queries, and no longer than a screen or
    /// two.
    pub(super) fn discreet(self) -> Self {
        let lines = |lines: Vec<String>| lines.iter().take(MOST_LINES).map(|line| discreet(line)).collect();
        Self { removed: lines(self.removed), set: lines(self.set) }
    }
}

/// So many headers are told of one message.
const MOST_LINES: usize = 100;

/// So much of each.
const LONGEST_LINE: usize = 300;

/// Headers that are addresses.
const ADDRESSES: [HeaderName; 3] = [REFERER, LOCATION, CONTENT_LOCATION];

fn discreet(line: &str) -> String {
    let line = match line.split_once(": ") {
        Some((name, value)) if ADDRESSES.iter().any(|address| address == name) => {
            format!("{name}: {}", without_query(value))
        }
        Some((name, cookie)) if SET_COOKIE == name => format!("{name}: {}", without_value(cookie)),
        _ => line.to_owned(),
    };
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A `Set-Cookie` without the cookie's value; one without a name has nothing else.
fn without_value(set_cookie: &str) -> String {
    let (pair, attributes) = set_cookie.split_once(';').unwrap_or((set_cookie, ""));
    let name = pair.split_once('=').map_or("", |(name, _)| name);
    format!("{name}=(not told);{attributes}")
}

/// An address without its query, which may hold secrets.
pub(super) fn without_query(address: &str) -> String {
    address.split_once('?').map_or_else(|| address.to_owned(), |(path, _)| format!("{path}?(not told)"))
}

/// A header line. Values that are credentials are not told.
fn told(name: &HeaderName, value: &HeaderValue) -> String {
    match *name {
        COOKIE => {
            let pairs = value.as_bytes().split(|byte| *byte == b';').map(cookies::sent_name);
            let names: Vec<_> = pairs.map(String::from_utf8_lossy).collect();
            format!("{name}: {} (values not told)", names.join(", "))
        }
        _ if is_credential(name) => format!("{name}: (not told)"),
        _ => format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())),
    }
}

/// Names that mean a credential, as far as names go.
fn is_credential(name: &HeaderName) -> bool {
    let last = name.as_str().rsplit('-').next().unwrap_or_default();
    *name == AUTHORIZATION
        || *name == PROXY_AUTHORIZATION
        || ["key", "token", "secret", "assertion"].contains(&last)
}
