//! Logging in.

use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use url::form_urlencoded;

use super::form::{Form, Sent};
use super::{Parts, Refusal};
use crate::auth::Attempt;
use crate::base::handle::Handle;
use crate::base::identity::{Account, Identity};
use crate::http::{Body, Problem, RequestContext};
use crate::pages::{LoginPage, LoginProblem, RememberBox};
use crate::policy::ReturnTo;
use crate::session::{BeginError, Finding, NoSession, Remember};
use crate::telemetry::{Event, Facts, LoginResult};

/// When to come back after a moment of too much to do.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// What the address of the login page asks for.
#[derive(Debug, Default)]
struct Wishes {
    return_to: Option<String>,
    /// Sign in as somebody else, although signed in.
    again: bool,
    signed_out: bool,
}

impl Parts {
    /// The form; who is signed in already is sent on.
    pub(super) async fn login_page(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        let wishes = Wishes::of(context);
        let page = LoginPage {
            return_to: wishes.return_to.as_deref().unwrap_or(""),
            signed_out: wishes.signed_out,
            remember: self.remember_box(Remember::No),
            ..LoginPage::default()
        };
        let why_not = match self.sessions.find(context, headers).await {
            Ok(Finding::Session(found)) if !wishes.again => {
                if self.rounds.is_one_too_many(context, &found.session, page.return_to) {
                    return Err(Problem::LoginLoop.into());
                }
                return Ok(self.after_login(context, headers, page.return_to));
            }
            Ok(Finding::Nobody(why_not)) => Some(why_not),
            // Whoever cannot be asked about may still want to read the form.
            Ok(Finding::Session(_)) | Err(_) => None,
        };
        let mut response = self.form(context, headers, page, StatusCode::OK);
        if why_not.is_some_and(|why_not| self.is_useless(why_not, context, headers)) {
            add_cookies(&mut response, self.sessions.cookie().clear());
        }
        Ok(response)
    }

    /// Whether the browser need not keep its session cookie. That of a session that has ended still says that somebody
    /// was signed in: a form that is open in another tab is kept by it.
    fn is_useless(&self, why_not: NoSession, context: &RequestContext, headers: &HeaderMap) -> bool {
        match (why_not, &self.unsent) {
            (NoSession::NoCookie, _) => false,
            (NoSession::BadCookie(_), _) | (NoSession::Ended(_), None) => true,
            // Whoever comes from elsewhere does not bring the cookie by which a browser is known.
            (NoSession::Ended(_), Some(forms)) => !context.cross_site && !forms.comes_from_a_browser(headers),
        }
    }

    /// What the form sends.
    pub(super) async fn log_in(
        &self,
        context: &RequestContext,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let Sent { headers, form } = self.sent(context, request).await?;
        if !self.forms.is_login_token(context, &headers, form.field("csrf_token")) {
            let _ = self.refuse_foreign(context, "token");
            return Ok(self.again(context, &headers, &form, LoginProblem::Expired));
        }
        let account = Account::local(form.field("username")).folded();
        let browser = self.browsers.find(context, &headers, &account);
        let attempt = Attempt { client: context.client, account: &account, browser: browser.as_ref() };
        let identity = match self.prove(&attempt, &form).await {
            Ok(identity) => identity,
            Err(why) => return self.unproven(context, &headers, &form, &why),
        };
        let remember = self.remember(&form);
        let begun = match self.sessions.begin(context, &headers, &identity, remember).await {
            Ok(begun) => begun,
            Err(error) => {
                let problem = self.not_begun(context, &identity, &error);
                return Ok(self.again(context, &headers, &form, problem));
            }
        };
        self.logged_in(context, &identity, begun.handle);
        let is_somebody_else = self.browsers.is_anothers(context, &headers, &identity.account);
        let mut response = self.after_login(context, &headers, form.field("return_to"));
        let known = self.browsers.remember(context, &identity.account, browser);
        add_cookies(&mut response, [begun.set_cookie, known]);
        if is_somebody_else {
            add_cookies(&mut response, self.cookies.expire(&headers));
        }
        Ok(response)
    }

    fn logged_in(&self, context: &RequestContext, identity: &Identity, handle: Handle) {
        self.metrics.login_attempt(LoginResult::Success);
        let facts = Facts {
            user: Some(&identity.user),
            account: Some(&identity.account),
            handle: Some(handle),
            ..Facts::of(context)
        };
        self.audit.record(Event::Login, &facts);
    }

    /// Why somebody who may log in is not logged in.
    fn not_begun(&self, context: &RequestContext, identity: &Identity, error: &BeginError) -> LoginProblem {
        if let BeginError::Unavailable(_) = error {
            self.metrics.login_attempt(LoginResult::Unavailable);
            return LoginProblem::StoreUnavailable;
        }
        self.metrics.login_attempt(LoginResult::Refused);
        let facts = Facts {
            user: Some(&identity.user),
            account: Some(&identity.account),
            reason: Some("session-limit"),
            ..Facts::of(context)
        };
        self.audit.record(Event::LoginFailed, &facts);
        LoginProblem::TooManySessions
    }

    /// The form once more, refilled but for the password.
    pub(super) fn again(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        form: &Form,
        problem: LoginProblem,
    ) -> Response<Body> {
        let status = match problem {
            LoginProblem::WrongCredentials => StatusCode::UNAUTHORIZED,
            LoginProblem::Expired | LoginProblem::TooManySessions => StatusCode::FORBIDDEN,
            LoginProblem::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            LoginProblem::Busy | LoginProblem::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let page = LoginPage {
            return_to: form.field("return_to"),
            username: form.field("username"),
            problem: Some(problem),
            remember: self.remember_box(self.remember(form)),
            ..LoginPage::default()
        };
        let mut response = self.form(context, headers, page, status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }

    fn form(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        page: LoginPage<'_>,
        status: StatusCode,
    ) -> Response<Body> {
        let binding = self.forms.bind(context, headers);
        let token = self.forms.login_token(context, &binding);
        let page = self.pages.login(&LoginPage { csrf_token: &token, ..page });
        let mut response = page.into_response(status);
        add_cookies(&mut response, binding.set_cookie);
        response
    }

    /// What the user asked for; nobody stays signed in where that is not offered.
    fn remember(&self, form: &Form) -> Remember {
        if self.remember_me && form.field("remember") == "1" { Remember::Yes } else { Remember::No }
    }

    fn remember_box(&self, remember: Remember) -> RememberBox {
        match remember {
            _ if !self.remember_me => RememberBox::Hidden,
            Remember::No => RememberBox::Empty,
            Remember::Yes => RememberBox::Ticked,
        }
    }

    /// Where a login leads: to `wish` where that is an address on this host, else to the configured place.
    pub(super) fn destination(&self, wish: &str) -> String {
        let wish = ReturnTo::parse(wish, &self.prefix);
        wish.map_or_else(|| self.default_redirect.clone(), |address| address.as_str().to_owned())
    }

    pub(super) fn refuse_foreign(&self, context: &RequestContext, reason: &'static str) -> Refusal {
        let facts = Facts { reason: Some(reason), ..Facts::of(context) };
        self.audit.record(Event::CrossSiteRefused, &facts);
        Problem::CrossSite.into()
    }
}

impl Wishes {
    fn of(context: &RequestContext) -> Self {
        let mut wishes = Self::default();
        for (name, value) in form_urlencoded::parse(context.target.query().unwrap_or("").as_bytes()) {
            match (&*name, &*value) {
                ("return_to", _) => wishes.return_to = Some(value.into_owned()),
                ("again", "1") => wishes.again = true,
                ("signed_out", "1") => wishes.signed_out = true,
                _ => {}
            }
        }
        wishes
    }
}

pub(super) fn add_cookies(response: &mut Response<Body>, cookies: impl IntoIterator<Item = HeaderValue>) {
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}
