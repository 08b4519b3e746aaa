//! The life of a session, from before the login to after the logout.

use url::Url;

use super::super::check::Check;
use super::client::{Answer, Ask, Sender, Trouble};
use super::findings::{fail, pass, skip};
use super::jar::{Jar, Kept};
use super::visit::{NoDoor, Visit};
use super::{abuse, cookies, form, headers, ids};
use crate::base::duration;

/// What is only known of somebody signed in.
pub(super) const IDS: [&str; 11] = [
    "session.login",
    "session.entropy",
    "session.regeneration",
    "session.fixation",
    "session.logout",
    "session.idle",
    "headers.caching",
    "csrf.login",
    "csrf.request",
    "redirects",
    "identity_headers",
];

/// Somebody signed in.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) jar: Jar,
    /// The private page.
    pub(super) page: Answer,
    /// The session's cookie.
    pub(super) cookie: Kept,
    /// What the session's cookie was before the login.
    before: Option<String>,
    /// Where the login form is.
    pub(super) door: Url,
}

/// Why there is no session to test.
#[derive(Debug, thiserror::Error)]
enum NoSession {
    #[error(transparent)]
    Door(#[from] NoDoor),
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error("the login was answered by {0}, and the page is still not shown (is the password right?)")]
    Refused(http::StatusCode),
    #[error("no single cookie carries the session")]
    NoCookie,
}

/// Everything about sessions.
pub(super) async fn all(visit: &mut Visit<'_>) -> Vec<Check> {
    let signed = match enter(visit).await {
        Ok(signed) => signed,
        Err(why) => {
            let fix = "check the user, the password on standard input, --login-path and the field names";
            let rest = IDS[1..].iter().map(|id| skip(id, "nobody could be signed in"));
            return [fail(IDS[0], why.to_string(), fix)].into_iter().chain(rest).collect();
        }
    };
    let mut values = vec![signed.cookie.value.clone()];
    let mut checks = vec![pass(IDS[0], format!("the session is in {}", signed.cookie.name))];
    checks.extend(cookies::all(signed.jar.seen(), Some(&signed.cookie)));
    checks.push(headers::caching(&signed.page));
    checks.push(told("session.regeneration", regeneration(visit, &signed).await));
    checks.push(told("session.fixation", fixation(visit, &signed, &mut values).await));
    checks.push(told("session.logout", logout(visit, &signed, &mut values).await));
    checks.push(told("session.idle", idle(visit, &signed).await));
    checks.push(told("csrf.login", abuse::login_csrf(visit).await));
    checks.push(told("csrf.request", abuse::request_csrf(visit, &signed).await));
    checks.push(told("redirects", abuse::redirects(visit, &signed, &mut values).await));
    checks.push(told("identity_headers", abuse::identity_headers(visit, &signed).await));
    checks.push(ids::judge(&values));
    checks
}

/// A check that could not be made is none.
fn told(id: &str, outcome: Result<Check, NoDoor>) -> Check {
    outcome.unwrap_or_else(|why| skip(id, why.to_string()))
}

async fn enter(visit: &mut Visit<'_>) -> Result<Signed, NoSession> {
    let mut jar = Jar::default();
    let door = visit.door(&mut jar).await?;
    let before = jar.clone();
    let fields = visit.filled(&door, None)?;
    let answer = visit.client.send(Ask::form(&door.target, &fields, Sender::Own), &mut jar).await?;
    let page = visit.client.visit(visit.site, &mut jar).await?;
    if !visit.shows_private(&page) {
        return Err(NoSession::Refused(answer.status));
    }
    let cookie = session_cookie(visit, &jar).await?.ok_or(NoSession::NoCookie)?;
    let before = before.find(&cookie.name).map(|cookie| cookie.value.clone());
    Ok(Signed { jar, page, cookie, before, door: door.url })
}

/// The cookie without which nobody is signed in; the longest where there are several.
async fn session_cookie(visit: &mut Visit<'_>, jar: &Jar) -> Result<Option<Kept>, Trouble> {
    let mut needed: Vec<Kept> = Vec::new();
    for cookie in jar.kept() {
        if !visit.is_in(&jar.without(&cookie.name)).await? {
            needed.push(cookie.clone());
        }
    }
    Ok(needed.into_iter().max_by_key(|cookie| cookie.value.len()))
}

/// Whether the login makes a new id, and whether the one before stays nobody's.
async fn regeneration(visit: &mut Visit<'_>, signed: &Signed) -> Result<Check, NoDoor> {
    const ID: &str = "session.regeneration";
    const FIX: &str = "make a new session id at each login, and forget the old one";
    let Some(before) = &signed.before else {
        return Ok(pass(ID, "there is no session before the login"));
    };
    if *before == signed.cookie.value {
        return Ok(fail(ID, "the id is the same before and after the login", FIX));
    }
    let mut jar = Jar::default();
    jar.plant(&signed.cookie, before);
    Ok(if visit.is_in(&jar).await? {
        fail(ID, "the id from before the login is signed in now", FIX)
    } else {
        pass(ID, "the login makes a new id")
    })
}

/// Whether an id that the site never made becomes a session by a login.
async fn fixation(visit: &mut Visit<'_>, signed: &Signed, values: &mut Vec<String>) -> Result<Check, NoDoor> {
    const ID: &str = "session.fixation";
    const FIX: &str = "refuse ids that the server did not make, and make a new one at each login";
    let planted: String = signed.cookie.value.chars().rev().collect();
    let mut jar = Jar::default();
    jar.plant(&signed.cookie, &planted);
    visit.sign_in(&mut jar).await?;
    if !visit.is_in(&jar).await? {
        return Ok(skip(ID, "with a planted id nobody can sign in"));
    }
    let value = jar.find(&signed.cookie.name).map(|cookie| cookie.value.clone());
    if value.as_ref() == Some(&planted) {
        return Ok(fail(ID, "an id made up by somebody else is signed in by the login", FIX));
    }
    values.extend(value);
    let mut old = Jar::default();
    old.plant(&signed.cookie, &planted);
    Ok(if visit.is_in(&old).await? {
        fail(ID, "an id made up by somebody else is signed in by the login", FIX)
    } else {
        pass(ID, "a planted id is replaced")
    })
}

/// Whether a logout ends the session on the server, not in the browser alone.
async fn logout(visit: &mut Visit<'_>, signed: &Signed, values: &mut Vec<String>) -> Result<Check, NoDoor> {
    const ID: &str = "session.logout";
    let Some(way_out) = visit.way_out(&signed.page, &signed.door) else {
        return Ok(skip(ID, "no way to log out is found (say --logout-path)"));
    };
    let mut jar = Jar::default();
    visit.sign_in(&mut jar).await?;
    let stolen = jar.clone();
    values.extend(stolen.find(&signed.cookie.name).map(|cookie| cookie.value.clone()));
    if !visit.is_in(&stolen).await? {
        return Ok(skip(ID, "a third login was not let in"));
    }
    let page = visit.client.visit(&way_out, &mut jar).await?;
    let confirm = form::forms(&page.body).into_iter().find(|form| form.is_post);
    let target = confirm.as_ref().and_then(|form| Some((form.fields(), form.target(&page.url)?)));
    let bare = page.status == http::StatusCode::METHOD_NOT_ALLOWED;
    let target = target.or_else(|| bare.then(|| (Vec::new(), way_out.clone())));
    if let Some((fields, target)) = target
        && visit.is_in(&stolen).await?
    {
        visit.client.send(Ask::form(&target, &fields, Sender::Own), &mut jar).await?;
    }
    if visit.is_in(&jar).await? {
        return Ok(skip(ID, format!("{way_out} does not sign out (say --logout-path)")));
    }
    Ok(if visit.is_in(&stolen).await? {
        fail(ID, "the old cookie still opens the page after the logout", "end the session on the server")
    } else {
        pass(ID, "the old cookie is refused")
    })
}

/// Whether a session that nobody uses ends; waited for only when asked.
async fn idle(visit: &mut Visit<'_>, signed: &Signed) -> Result<Check, NoDoor> {
    const ID: &str = "session.idle";
    let Some(wait) = visit.idle() else {
        return Ok(skip(ID, "not waited for: say --idle DURATION, such as 31m"));
    };
    if !visit.is_in(&signed.jar).await? {
        return Ok(skip(ID, "the session has ended before it could be left alone"));
    }
    tokio::time::sleep(wait).await;
    let span = duration::format(wait);
    Ok(if visit.is_in(&signed.jar).await? {
        fail(
            ID,
            format!("after {span} without a request the session goes on"),
            "end sessions that nobody uses",
        )
    } else {
        pass(ID, format!("after {span} without a request the session is over"))
    })
}
