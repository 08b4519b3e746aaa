//! What a person is told of a problem: what happened, in plain words, and what to do next.

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

use super::Framing;
use crate::http::Problem;

/// The words for one problem.
#[derive(Clone, Copy, Debug)]
struct Advice {
    heading: &'static str,
    text: &'static str,
    action: Option<Action>,
}

/// What to do next.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// To the login.
    SignIn,
    /// To the login, as somebody else.
    SignInAsAnother,
    /// The same once more.
    TryAgain,
    /// To the user's sessions: the address of a form's answer is not one to go to.
    Sessions,
    /// To the front page.
    Home,
}

/// A link on the page.
#[derive(Clone, Debug, Serialize)]
struct Link {
    label: &'static str,
    address: String,
    /// Whether it leads out of the frame that it stands in: neither the login nor a front page belongs there.
    leaves_frame: bool,
}

impl Action {
    fn link(self, prefix: &str, framing: Framing) -> Link {
        let (label, address) = match self {
            Self::SignIn => ("Sign in", format!("{prefix}/login")),
            Self::SignInAsAnother => ("Sign in as somebody else", format!("{prefix}/login?again=1")),
            // An empty reference is the page itself, its query included (RFC 3986 §5.2.2).
            Self::TryAgain => ("Try again", String::new()),
            Self::Sessions => ("Back to your sessions", format!("{prefix}/session")),
            Self::Home => ("To the front page", "/".to_owned()),
        };
        let leaves_frame = framing == Framing::Allowed && !matches!(self, Self::TryAgain);
        Link { label, address, leaves_frame }
    }
}

pub(super) fn values(problem: Problem, request_id: &str, prefix: &str, framing: Framing) -> Value {
    let Advice { heading, text, action } = advice(problem);
    let action = action.map(|action| Serde(action.link(prefix, framing)));
    let status = problem.status().as_u16();
    context! { status, heading, text, action, request_id, allowing => () }
}

/// The same for what another site's page sent to an application; `origin` is that site's, where the browser tells it.
pub(super) fn cross_site(origin: Option<&str>, request_id: &str, prefix: &str, framing: Framing) -> Value {
    let allowing = match origin {
        Some(_) => Allowing { origin, key: "csrf.trusted_origins" },
        None => Allowing { origin, key: "route.csrf" },
    };
    context! { allowing => Serde(allowing), ..values(Problem::CrossSite, request_id, prefix, framing) }
}

/// What whoever runs the site can change.
#[derive(Clone, Copy, Debug, Serialize)]
struct Allowing<'a> {
    /// The other site, where it has a name that could be trusted.
    origin: Option<&'a str>,
    /// Where in the configuration.
    key: &'static str,
}

fn advice(problem: Problem) -> Advice {
    Advice { heading: heading(problem), text: text(problem), action: action(problem) }
}

const fn heading(problem: Problem) -> &'static str {
    match problem {
        Problem::LoginRequired => "Please sign in",
        Problem::Forbidden => "Not for this account",
        Problem::CrossSite => "Sent from another site",
        Problem::BadRequest => "The address is not right",
        Problem::NoRoute => "Nothing is here",
        Problem::MethodNotAllowed | Problem::ExpectationFailed => "That cannot be done here",
        Problem::TooLarge => "Too large",
        Problem::UriTooLong => "The address is too long",
        Problem::HeadersTooLarge => "Too much comes along",
        Problem::RequestTimeout => "That took too long",
        Problem::TooManyRequests => "Too many tries",
        Problem::FormGone => "Nothing is left to send",
        Problem::LoginLoop | Problem::HttpsLoop => "It goes round in a circle",
        Problem::UnknownHost => "Not this site",
        Problem::Misdirected => "Once more, please",
        Problem::StoreUnavailable | Problem::UpstreamDown => "Back in a moment",
        Problem::LogoutUnavailable => "You are still signed in",
        Problem::RevocationUnavailable => "Not signed out there",
        Problem::UpstreamUnreachable => "The application does not answer",
        Problem::UpstreamTimeout => "The application takes too long",
        Problem::UpstreamBusy => "The application is very busy",
        Problem::Busy => "Very busy",
        Problem::InternalError => "Something went wrong here",
    }
}

const fn text(problem: Problem) -> &'static str {
    match problem {
        Problem::LoginRequired => "This page is for people who are signed in.",
        Problem::Forbidden => {
            "You are signed in, but this account may not open this page. Whoever runs the site can change that."
        }
        Problem::CrossSite => {
            "What you sent came from another website, so nothing was done. Open the page here and try again."
        }
        Problem::BadRequest => {
            "The request cannot be understood. If you typed or copied the address, check it."
        }
        Problem::NoRoute => "There is no page at this address. Check it, or start again.",
        Problem::MethodNotAllowed => "This page does not take what was sent to it.",
        Problem::TooLarge => "What was sent is larger than this site takes. Send less at once.",
        Problem::UriTooLong => "It is longer than this site takes. Start again from the front page.",
        Problem::HeadersTooLarge => {
            "The browser sends more than this site takes, most likely cookies. Deleting this site's cookies helps."
        }
        Problem::RequestTimeout => "Your request did not arrive in time. Check the connection.",
        Problem::TooManyRequests => "Wait for a moment before the next one.",
        Problem::LoginLoop => {
            "You are signed in here, but the application sent you to the login again and again. Perhaps it does not know this account: sign in as somebody else, or tell whoever runs the site. If you had many pages open, wait for half a minute and reload."
        }
        Problem::HttpsLoop => {
            "The browser was sent on to a secure connection, and came back by an insecure one each time. Whoever runs the site finds the reason in the proxy's log."
        }
        Problem::FormGone => {
            "What you had filled in was sent already, thrown away, or kept for too long. See whether it arrived before you fill it in again."
        }
        Problem::ExpectationFailed => "What was sent expects something that this site does not do.",
        Problem::UnknownHost => "The site that you asked for is not served here. Check the address.",
        Problem::Misdirected => {
            "The browser used a connection that was made for another site. Load the page again; if that does not help, restart the browser."
        }
        Problem::StoreUnavailable => {
            "Right now nobody can check who is signed in. You have not been signed out: try again in a moment."
        }
        Problem::LogoutUnavailable => {
            "Right now nobody can be signed out. Try again in a moment, and do not leave this device to others before."
        }
        Problem::RevocationUnavailable => {
            "Right now nobody can be signed out. What you wanted to end may still be signed in: try again in a moment."
        }
        Problem::UpstreamUnreachable => {
            "It cannot be reached right now. If you were sending something, see whether it arrived before you send it again."
        }
        Problem::UpstreamTimeout => {
            "It may still be at work on what you asked for: look before you ask again."
        }
        Problem::UpstreamBusy => {
            "It has more to do than it can take right now. Nothing was done: try again in a moment."
        }
        Problem::UpstreamDown => {
            "The application is not available right now. Nothing was done: try again in a moment."
        }
        Problem::Busy => "Too much is going on right now. Wait for a few seconds.",
        Problem::InternalError => {
            "It is our fault, not yours. If it happens again, tell whoever runs the site."
        }
    }
}

const fn action(problem: Problem) -> Option<Action> {
    match problem {
        Problem::LoginRequired => Some(Action::SignIn),
        Problem::Forbidden | Problem::LoginLoop => Some(Action::SignInAsAnother),
        Problem::CrossSite
        | Problem::BadRequest
        | Problem::NoRoute
        | Problem::FormGone
        | Problem::MethodNotAllowed
        | Problem::UriTooLong => Some(Action::Home),
        Problem::TooLarge
        | Problem::HeadersTooLarge
        | Problem::RequestTimeout
        | Problem::TooManyRequests
        | Problem::Misdirected
        | Problem::StoreUnavailable
        | Problem::LogoutUnavailable
        | Problem::UpstreamUnreachable
        | Problem::UpstreamTimeout
        | Problem::UpstreamBusy
        | Problem::UpstreamDown
        | Problem::Busy
        | Problem::InternalError => Some(Action::TryAgain),
        Problem::ExpectationFailed | Problem::UnknownHost | Problem::HttpsLoop => None,
        Problem::RevocationUnavailable => Some(Action::Sessions),
    }
}
