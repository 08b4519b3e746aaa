//! Logging out: a question, so that no link or image can do it, and then at once and everywhere.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::form::Sent;
use super::login::add_cookies;
use super::{Parts, Refusal, see_other};
use crate::http::{Body, Problem, RequestContext};
use crate::pages::LogoutPage;
use crate::session::Session;

impl Parts {
    /// The question.
    pub(super) async fn logout_page(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        let found = self.sessions.find_all(context, headers).await.map_err(|_| Problem::LogoutUnavailable)?;
        if let Some(session) = found.first() {
            return Ok(self.question(context, session, StatusCode::OK));
        }
        let page = LogoutPage { user: None, csrf_token: "" };
        Ok(self.pages.logout(&page).into_response(StatusCode::OK))
    }

    /// The answer. The session ends in the store before the browser is told to forget it: who cannot be signed
    /// out is not told that they are.
    pub(super) async fn log_out(
        &self,
        context: &RequestContext,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let Sent { headers, form } = self.sent(context, request).await?;
        let found =
            self.sessions.find_all(context, &headers).await.map_err(|_| Problem::LogoutUnavailable)?;
        if let Some(first) = found.first() {
            let token = form.field("csrf_token");
            let fits = |session: &Arc<Session>| self.forms.is_session_token(context, &session.handle, token);
            if !found.iter().any(fits) {
                let _ = self.refuse_foreign(context, "token");
                return Ok(self.question(context, first, StatusCode::FORBIDDEN));
            }
            let ended = self.sessions.end(context, &headers, "logout").await;
            ended.map_err(|_| Problem::LogoutUnavailable)?;
        }
        Ok(self.signed_out(&headers))
    }

    /// What a browser whose session has ended is told: where to go, and what to forget. `headers` are those of its request.
    pub(super) fn signed_out(&self, headers: &HeaderMap) -> Response<Body> {
        let mut response = see_other(&format!("{}/login?signed_out=1", self.prefix));
        add_cookies(&mut response, self.sessions.cookie().clear());
        add_cookies(&mut response, self.cookies.expire(headers));
        self.clear_site_data.apply(response.headers_mut());
        response
    }

    fn question(&self, context: &RequestContext, session: &Session, status: StatusCode) -> Response<Body> {
        let token = self.forms.session_token(context, &session.handle);
        let page = LogoutPage { user: Some(&session.identity.user), csrf_token: &token };
        self.pages.logout(&page).into_response(status)
    }
}
