//! An attempt to log in, from the form to the identity that it proves.

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Response};

use super::form::Form;
use super::{Parts, Refusal};
use crate::auth::{Attempt, AuthError, NotAdmitted};
use crate::base::identity::Identity;
use crate::base::secret::Secret;
use crate::http::{Body, RequestContext, RequestKind, accepts};
use crate::pages::LoginProblem;
use crate::telemetry::{Event, Facts, LoginResult};

/// Why an attempt proves nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unproven {
    /// Nobody looked at it.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// Somebody did.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

impl Parts {
    /// Who it is that sent `form`. Only a refusal counts as a failure.
    pub(super) async fn prove(&self, attempt: &Attempt<'_>, form: &Form) -> Result<Identity, Unproven> {
        let admission = self.attempts.admit(attempt).await?;
        let answer = self.authenticate(form).await;
        if !matches!(answer, Err(AuthError::Refused(_))) {
            self.attempts.forgive(admission).await;
        }
        Ok(answer?)
    }

    async fn authenticate(&self, form: &Form) -> Result<Identity, AuthError> {
        let Some(users) = &self.users else {
            tracing::error!("somebody tries to log in, but no provider is configured");
            return Err(AuthError::Unavailable);
        };
        users.authenticate(form.field("username"), Secret::new(form.field("password").to_owned())).await
    }

    /// Tells the audit log why, and the user no more than that it did not work.
    pub(super) fn unproven(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        form: &Form,
        why: &Unproven,
    ) -> Result<Response<Body>, Refusal> {
        let (event, result, reason) = match why {
            Unproven::NotAdmitted(NotAdmitted::Limited { by, .. }) => {
                (Event::LoginLimited, LoginResult::Limited, *by)
            }
            Unproven::NotAdmitted(NotAdmitted::Unavailable(error)) => {
                (Event::LoginFailed, LoginResult::Unavailable, error.kind.as_str())
            }
            Unproven::Auth(error @ AuthError::Refused(_)) => {
                (Event::LoginFailed, LoginResult::Refused, error.reason())
            }
            Unproven::Auth(error) => (Event::LoginFailed, LoginResult::Unavailable, error.reason()),
        };
        self.metrics.login_attempt(result);
        let user = Some(form.field("username"));
        let facts = Facts { user, reason: Some(reason), ..Facts::of(context) };
        self.audit.record(event, &facts);
        let problem = match why {
            Unproven::NotAdmitted(NotAdmitted::Limited { wait, .. }) => {
                let seconds = wait.as_micros().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX);
                return self.limited(context, headers, form, seconds);
            }
            Unproven::NotAdmitted(NotAdmitted::Unavailable(_)) => LoginProblem::StoreUnavailable,
            Unproven::Auth(AuthError::Refused(_)) => LoginProblem::WrongCredentials,
            Unproven::Auth(AuthError::Busy | AuthError::Unavailable) => LoginProblem::Busy,
        };
        Ok(self.again(context, headers, form, problem))
    }

    /// The same whoever was meant, and whatever the password: the form for a person, a problem for a script.
    fn limited(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        form: &Form,
        seconds: u64,
    ) -> Result<Response<Body>, Refusal> {
        if context.kind == RequestKind::Script && !accepts(headers, "text/html") {
            return Err(Refusal::TooManyRequests { retry_after: seconds });
        }
        let mut response =
            self.again(context, headers, form, LoginProblem::TooManyAttempts { wait: seconds });
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        Ok(response)
    }
}
