//! What counts as the use of a session.

use http::Method;

use crate::config::{self, Activity};
use crate::http::RequestKind;

/// Whether a request of this method and kind, on this route, starts its session's idle time anew. What a page fetches
/// by itself says nothing of a person: where `activity` asks for people, neither does a WebSocket's handshake.
pub fn counts_as_use(rule: &config::Route, activity: Activity, method: &Method, kind: RequestKind) -> bool {
    let by_a_person = match activity {
        Activity::Requests => true,
        Activity::People => kind != RequestKind::Script || !method.is_safe(),
    };
    rule.touch && by_a_person
}

/// Whether what a client sends on a WebSocket of this route does: it is the page that sends it, whoever asked it to.
pub fn frames_count_as_use(rule: &config::Route, activity: Activity) -> bool {
    rule.touch && activity == Activity::Requests
}
