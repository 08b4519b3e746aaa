//! What cookies may do.

use super::super::check::Check;
use super::findings::{fail, pass, skip, warn};
use super::jar::Kept;
use crate::http::SameSite;
use crate::http::set_cookie::{HOST_PREFIX, SECURE_PREFIX};

/// A session that a browser keeps longer is no session.
const MONTH: u64 = 30 * 86_400;

const IDS: [&str; 6] = [
    "cookie.secure",
    "cookie.http_only",
    "cookie.same_site",
    "cookie.domain",
    "cookie.prefix",
    "cookie.lifetime",
];

/// Which cookies there are, and which of them is the session's, if that is known.
pub(super) fn all(cookies: &[Kept], session: Option<&Kept>) -> Vec<Check> {
    if cookies.is_empty() {
        return IDS.map(|id| skip(id, "no cookie was set")).into();
    }
    let is_session = |cookie: &Kept| session.is_none_or(|session| session.name == cookie.name);
    let named = |wrong: &dyn Fn(&Kept) -> bool| {
        let wrong = cookies.iter().filter(|cookie| wrong(cookie)).map(|cookie| cookie.name.as_str());
        wrong.collect::<Vec<_>>().join(", ")
    };
    vec![
        judge(IDS[0], &named(&|cookie| !cookie.secure), "go over http, too", "Secure on every cookie"),
        judge(
            IDS[1],
            &named(&|cookie| is_session(cookie) && !cookie.http_only),
            "can be read by scripts",
            "HttpOnly, but for cookies that scripts must read",
        ),
        judge(
            IDS[2],
            &named(&|cookie| {
                is_session(cookie)
                    && !matches!(cookie.same_site, Some(same_site) if same_site > SameSite::None)
            }),
            "go with other sites' requests, or leave that to the browser",
            "SameSite=Lax, or Strict",
        ),
        judge(
            IDS[3],
            &named(&|cookie| cookie.domain.is_some()),
            "go to every host beneath a Domain",
            "no Domain: the cookie is this host's alone",
        ),
        prefix(session),
        lifetime(session),
    ]
}

fn judge(id: &str, wrong: &str, what: &str, fix: &str) -> Check {
    if wrong.is_empty() { pass(id, "every cookie") } else { fail(id, format!("{wrong}: {what}"), fix) }
}

fn prefix(session: Option<&Kept>) -> Check {
    let id = IDS[4];
    match session {
        None => skip(id, NOT_KNOWN),
        Some(cookie) if cookie.name.starts_with(HOST_PREFIX) => pass(id, cookie.name.clone()),
        Some(cookie) if cookie.name.starts_with(SECURE_PREFIX) => {
            warn(id, format!("{}: other hosts of the domain can set it", cookie.name), FIX_PREFIX)
        }
        Some(cookie) => {
            warn(id, format!("{}: whoever has http or another host can set it", cookie.name), FIX_PREFIX)
        }
    }
}

fn lifetime(session: Option<&Kept>) -> Check {
    let id = IDS[5];
    match session.map(|cookie| cookie.age) {
        None => skip(id, NOT_KNOWN),
        Some(None) => pass(id, "it ends with the browser"),
        Some(Some(age)) if age <= MONTH => pass(id, format!("{} hours", age / 3600)),
        Some(Some(age)) => fail(
            id,
            format!("the browser keeps it for {} days", age.div_ceil(86_400)),
            "a Max-Age of hours, or none",
        ),
    }
}

const NOT_KNOWN: &str = "which cookie is the session's is not known";
const FIX_PREFIX: &str = "a name that begins with __Host-: Secure, Path=/, no Domain";
