//! The pages with forms.

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

/// The login form.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoginPage<'a> {
    /// Proves that the form is ours.
    pub csrf_token: &'a str,
    /// Where the login leads, as the form was asked for it.
    pub return_to: &'a str,
    /// What was typed before.
    pub username: &'a str,
    /// What went wrong.
    pub problem: Option<LoginProblem>,
    /// Whether somebody has just signed out.
    pub signed_out: bool,
    /// The wish to stay signed in.
    pub remember: RememberBox,
}

/// The box to tick for staying signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RememberBox {
    /// Nobody can.
    #[default]
    Hidden,
    /// Not ticked.
    Empty,
    /// Ticked.
    Ticked,
}

/// Why the login form is shown once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginProblem {
    /// The user or the password is wrong; which, nobody is told.
    WrongCredentials,
    /// The form was not the browser's own, or too old.
    Expired,
    /// Somebody tried too often, and nobody looked at this attempt. The next is looked at after so many seconds.
    TooManyAttempts {
        /// So many.
        wait: u64,
    },
    /// Too many log in at once.
    Busy,
    /// Sessions cannot be kept at the moment.
    StoreUnavailable,
    /// The account has as many sessions as it may.
    TooManySessions,
}

/// The question before logging out.
#[derive(Clone, Copy, Debug)]
pub struct LogoutPage<'a> {
    /// Proves that the form is ours.
    pub csrf_token: &'a str,
    /// Who is signed in; `None` where nobody is.
    pub user: Option<&'a str>,
}

impl LoginPage<'_> {
    pub(super) fn values(&self) -> Value {
        let Self { csrf_token, return_to, username, problem, signed_out, remember } = *self;
        let wait = problem.and_then(LoginProblem::wait);
        let (problem, remember) = (problem.map(LoginProblem::name), Serde(remember));
        context! { csrf_token, return_to, username, problem, wait, signed_out, remember }
    }
}

impl LoginProblem {
    fn name(self) -> &'static str {
        match self {
            Self::WrongCredentials => "wrong-credentials",
            Self::Expired => "expired",
            Self::TooManyAttempts { .. } => "too-many-attempts",
            Self::Busy => "busy",
            Self::StoreUnavailable => "store-unavailable",
            Self::TooManySessions => "too-many-sessions",
        }
    }

    /// How long to wait, in words.
    fn wait(self) -> Option<String> {
        match self {
            Self::TooManyAttempts { wait: 1 } => Some("a second".to_owned()),
            Self::TooManyAttempts { wait } if wait <= 90 => Some(format!("{wait} seconds")),
            Self::TooManyAttempts { wait } => Some(format!("{} minutes", wait.div_ceil(60))),
            _ => None,
        }
    }
}

impl LogoutPage<'_> {
    pub(super) fn values(&self) -> Value {
        let Self { csrf_token, user } = *self;
        context! { csrf_token, user }
    }
}
