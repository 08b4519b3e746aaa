//! What an attacker would try: other sites' requests, addresses that lead away, names in headers, guesses.

use http::StatusCode;
use url::Url;

use super::super::check::Check;
use super::client::{Ask, Sender};
use super::findings::{fail, pass, skip, warn};
use super::form;
use super::jar::Jar;
use super::session::Signed;
use super::visit::{NoDoor, Visit};
use crate::http::SameSite;

/// How many wrong passwords are tried.
pub(super) const TRIES: usize = 30;

/// A host that nobody has (RFC 6761).
const AWAY: &str = "foregate-verify.invalid";

/// Names that applications give to the address that one goes on to.
const RETURNS: [&str; 14] = [
    "return_to",
    "next",
    "return",
    "returnTo",
    "return_url",
    "returnUrl",
    "redirect",
    "redirect_to",
    "redirect_uri",
    "redirect_url",
    "url",
    "continue",
    "dest",
    "rd",
];

/// What browsers take for another host.
const PAYLOADS: [&str; 4] = [
    "https://foregate-verify.invalid/",
    "//foregate-verify.invalid/",
    "/\\foregate-verify.invalid/",
    "\t//foregate-verify.invalid/",
];

/// Headers that proxies tell applications the user by.
const IDENTITY: [&str; 9] = [
    "x-forwarded-user",
    "x-remote-user",
    "remote-user",
    "x-auth-request-user",
    "x-forwarded-preferred-username",
    "x-webauth-user",
    "x-forwarded-email",
    "x-user",
    "x-authenticated-user",
];

const FIX_CSRF: &str = "refuse unsafe methods by Sec-Fetch-Site or Origin, or ask for a token";

/// Whether a page of another site can sign somebody in as its owner.
pub(super) async fn login_csrf(visit: &mut Visit<'_>) -> Result<Check, NoDoor> {
    const ID: &str = "csrf.login";
    let door = visit.door(&mut Jar::default()).await?;
    let hidden: Vec<String> = door.form.hidden();
    let fields = visit.filled(&door, None)?.into_iter().filter(|(name, _)| !hidden.contains(name));
    let fields: Vec<_> = fields.collect();
    let mut jar = Jar::default();
    let answer = visit.client.send(Ask::form(&door.target, &fields, Sender::Foreign), &mut jar).await?;
    Ok(if visit.is_in(&jar).await? {
        fail(ID, "a page of another site can sign people in", FIX_CSRF)
    } else {
        pass(ID, format!("{} to a login by another site's page", answer.status))
    })
}

/// Whether a signed-in POST by another site's page is refused, where one of our own is not.
pub(super) async fn request_csrf(visit: &mut Visit<'_>, signed: &Signed) -> Result<Check, NoDoor> {
    const ID: &str = "csrf.request";
    let mut answers = Vec::new();
    for sender in [Sender::Foreign, Sender::Own] {
        let ask = Ask::form(visit.site, &[], sender);
        answers.push(visit.client.send(ask, &mut signed.jar.clone()).await?.status);
    }
    let (foreign, own) = (answers[0], answers[1]);
    match foreign {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            return Ok(skip(ID, format!("the page takes no POST: {foreign}")));
        }
        _ if foreign.is_client_error() && foreign == own => {
            return Ok(pass(ID, format!("{foreign} to a POST without a token")));
        }
        _ if foreign.is_client_error() => {
            return Ok(pass(
                ID,
                format!("{foreign} to a POST by another site's page, {own} to one by its own"),
            ));
        }
        _ => {}
    }
    let seen = format!("a POST by another site's page is answered by {foreign}");
    Ok(match signed.cookie.same_site {
        Some(SameSite::Lax | SameSite::Strict) => {
            warn(ID, format!("{seen}: SameSite alone prevents it"), FIX_CSRF)
        }
        _ => fail(ID, seen, FIX_CSRF),
    })
}

/// Whether the site sends people on to another one.
pub(super) async fn redirects(
    visit: &mut Visit<'_>,
    signed: &Signed,
    values: &mut Vec<String>,
) -> Result<Check, NoDoor> {
    const ID: &str = "redirects";
    const FIX: &str = "go on to paths of this host alone, as browsers read them";
    for payload in PAYLOADS {
        let url = luring(&signed.door, payload);
        let answer = visit.client.send(Ask::page(&url), &mut signed.jar.clone()).await?;
        if answer.redirect().is_some_and(|to| leads_away(&to)) {
            return Ok(fail(ID, format!("{} leads to {payload:?}", url.path()), FIX));
        }
    }
    let mut jar = Jar::default();
    let url = luring(&signed.door, PAYLOADS[0]);
    let door = visit.door_at(&url, &mut jar).await?;
    let answer = visit
        .client
        .send(Ask::form(&door.target, &visit.filled(&door, None)?, Sender::Own), &mut jar)
        .await?;
    values.extend(jar.find(&signed.cookie.name).map(|cookie| cookie.value.clone()));
    Ok(match answer.redirect() {
        Some(to) if leads_away(&to) => fail(ID, format!("a login at {} leads to {to}", url.path()), FIX),
        _ => pass(ID, format!("{} addresses of another host under {} names", PAYLOADS.len(), RETURNS.len())),
    })
}

/// The address with every name set to `payload`.
fn luring(door: &Url, payload: &str) -> Url {
    let mut url = door.clone();
    url.query_pairs_mut().clear().extend_pairs(RETURNS.map(|name| (name, payload)));
    url
}

fn leads_away(to: &Url) -> bool {
    to.host_str() == Some(AWAY)
}

/// Whether a client may say who it is.
pub(super) async fn identity_headers(visit: &mut Visit<'_>, signed: &Signed) -> Result<Check, NoDoor> {
    const ID: &str = "identity_headers";
    const FIX: &str = "take these headers out of what comes from outside before the application sees them";
    let claiming = || IDENTITY.iter().fold(Ask::page(visit.site), |ask, name| ask.header(name, &claim(name)));
    let (stranger, member) = (claiming(), claiming());
    let answer = visit.client.send(stranger, &mut Jar::default()).await?;
    if visit.shows_private(&answer) {
        return Ok(fail(ID, "whoever sends a name in a header is let in", FIX));
    }
    let answer = visit.client.send(member, &mut signed.jar.clone()).await?;
    let shown =
        IDENTITY.iter().filter(|name| answer.body.contains(&claim(name))).copied().collect::<Vec<_>>();
    if shown.is_empty() {
        return Ok(pass(
            ID,
            format!("{} headers open nothing, and show nowhere on the page", IDENTITY.len()),
        ));
    }
    let shown = shown.join(", ");
    let says_us = |page: &str| page.contains(visit.user());
    Ok(if says_us(&signed.page.body) && !says_us(&answer.body) {
        fail(ID, format!("the page takes the user for whom {shown} names"), FIX)
    } else {
        warn(ID, format!("the page shows what came in {shown}: does it believe that?"), FIX)
    })
}

/// A name that nobody has, another in each header.
fn claim(header: &str) -> String {
    format!("nobody-by-{header}")
}

/// Whether guessing is stopped. The last check: it may lock the user out.
pub(super) async fn limit(visit: &mut Visit<'_>) -> Check {
    guess(visit).await.unwrap_or_else(|why| skip("login.limit", why.to_string()))
}

async fn guess(visit: &mut Visit<'_>) -> Result<Check, NoDoor> {
    const ID: &str = "login.limit";
    let mut says_so_always = false;
    for tried in 1..=TRIES {
        let mut jar = Jar::default();
        let door = visit.door(&mut jar).await?;
        let fields = visit.filled(&door, Some(&format!("wrong-{tried}")))?;
        let answer = visit.client.send(Ask::form(&door.target, &fields, Sender::Own), &mut jar).await?;
        let is_refused = matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::LOCKED);
        if is_refused || answer.headers.contains_key("retry-after") {
            return Ok(pass(ID, format!("wrong password {tried} is answered by {}", answer.status)));
        }
        let page = visit.client.follow(answer, &mut jar).await?;
        let says_so = form::is_refusal(&page.body);
        // Words that stand on the first page already tell nothing.
        says_so_always |= says_so && tried == 1;
        if says_so && !says_so_always {
            return Ok(pass(ID, format!("wrong password {tried} is refused by a page that says too many")));
        }
    }
    Ok(fail(
        ID,
        format!("{TRIES} wrong passwords are all looked at"),
        "a limit on attempts by user and by address, with 429",
    ))
}
