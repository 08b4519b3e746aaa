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
            Self::Home => ("To the front page", "/".to_owned()),
        };
        let leaves_frame = framing == Framing::Allowed && !matches!(self, Self::TryAgain);
        Link { label, address, leaves_frame }
    }
}

pub(super) fn values(problem: Problem, request_id: &str, prefix: &str, framing: Framing) -> Value {
    let Advice { heading, text, action } = advice(problem);
    let action = action.map(|action| Serde(action.link(prefix, framing)));
    context! { status => problem.status().as_u16(), heading, text, action, request_id }
}

fn advice(problem: Problem) -> Advice {
    let (heading, text, action) = match problem {
        Problem::LoginRequired => {
            ("Please sign in", "This page is for people who are signed in.", Some(Action::SignIn))
        }
        Problem::Forbidden => (
            "Not for this account",
            "You are signed in, but this account may not open this page. Whoever runs the site can change that.",
            Some(Action::SignInAsAnother),
        ),
        Problem::CrossSite => (
            "Sent from another site",
            "The form came from another website, so nothing was done. Open the page here and try again.",
            Some(Action::Home),
        ),
        Problem::BadRequest => (
            "The address is not right",
            "The request cannot be understood. If you typed or copied the address, check it.",
            Some(Action::Home),
        ),
        Problem::NoRoute => (
            "Nothing is here",
            "There is no page at this address. Check it, or start again.",
            Some(Action::Home),
        ),
        Problem::MethodNotAllowed => {
            ("That cannot be done here", "This page does not take what was sent to it.", Some(Action::Home))
        }
        Problem::TooLarge => (
            "Too large",
            "What was sent is larger than this site takes. Send less at once.",
            Some(Action::TryAgain),
        ),
        Problem::UriTooLong => (
            "The address is too long",
            "It is longer than this site takes. Start again from the front page.",
            Some(Action::Home),
        ),
        Problem::HeadersTooLarge => (
            "Too much comes along",
            "The browser sends more than this site takes, most likely cookies. Deleting this site's cookies helps.",
            Some(Action::TryAgain),
        ),
        Problem::RequestTimeout => (
            "That took too long",
            "Your request did not arrive in time. Check the connection.",
            Some(Action::TryAgain),
        ),
        Problem::TooManyRequests => {
            ("Too many tries", "Wait for a moment before the next one.", Some(Action::TryAgain))
        }
        Problem::ExpectationFailed => {
            ("That cannot be done here", "What was sent expects something that this site does not do.", None)
        }
        Problem::UnknownHost => {
            ("Not this site", "The site that you asked for is not served here. Check the address.", None)
        }
        Problem::StoreUnavailable => (
            "Back in a moment",
            "Right now nobody can check who is signed in. You have not been signed out: try again in a moment.",
            Some(Action::TryAgain),
        ),
        Problem::LogoutUnavailable => (
            "You are still signed in",
            "Right now nobody can be signed out. Try again in a moment, and do not leave this device to others before.",
            Some(Action::TryAgain),
        ),
        Problem::UpstreamUnreachable => (
            "The application does not answer",
            "It cannot be reached right now. If you were sending something, see whether it arrived before you send it again.",
            Some(Action::TryAgain),
        ),
        Problem::UpstreamTimeout => (
            "The application takes too long",
            "It may still be at work on what you asked for: look before you ask again.",
            Some(Action::TryAgain),
        ),
        Problem::UpstreamBusy => (
            "The application is very busy",
            "It has more to do than it can take right now. Nothing was done: try again in a moment.",
            Some(Action::TryAgain),
        ),
        Problem::UpstreamDown => (
            "Back in a moment",
            "The application is not available right now. Nothing was done: try again in a moment.",
            Some(Action::TryAgain),
        ),
        Problem::Busy => {
            ("Very busy", "Too much is going on right now. Wait for a few seconds.", Some(Action::TryAgain))
        }
        Problem::InternalError => (
            "Something went wrong here",
            "It is our fault, not yours. If it happens again, tell whoever runs the site.",
            Some(Action::TryAgain),
        ),
    };
    Advice { heading, text, action }
}
