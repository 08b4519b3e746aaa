//! The audit log: one JSON object for each security event. It names sessions by their handles; no record ever
//! holds a credential.

use std::net::IpAddr;

use serde::Serialize;

use super::json;
use super::lines::Lines;
use crate::base::clock::Clock;
use crate::base::handle::Handle;
use crate::base::identity::Account;
use crate::base::request_id::RequestId;
use crate::http::RequestContext;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody logged in.
    Login,
    /// Somebody could not.
    LoginFailed,
    /// Somebody tried too often, and nobody looked at what they sent.
    LoginLimited,
    /// A session in use was given another id.
    Rotated,
    /// A session was ended before its time.
    Revoked,
    /// A session was found past one of its timeouts.
    Expired,
    /// A cookie, or the record behind it, was no good.
    CookieRefused,
    /// A client sent a header by which applications learn who the user is.
    IdentitySpoofed,
    /// A form of ours, or a request that may change something, came from another site; or a form without its token.
    CrossSiteRefused,
    /// Somebody signed in was not allowed to go where they wanted.
    AccessDenied,
    /// The users' file changed.
    UserChanged,
    /// The configuration was read again; where there is a reason, it is not in force.
    Reloaded,
    /// The store does not answer any more.
    StoreUnavailable,
    /// It does again.
    StoreRecovered,
}

/// What is known of an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The request it happened in.
    pub request_id: Option<RequestId>,
    /// The user's name, as given.
    pub user: Option<&'a str>,
    /// The account, where it is established.
    pub account: Option<&'a Account>,
    /// The session.
    pub handle: Option<Handle>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// Why.
    pub reason: Option<&'a str>,
    /// The place of the page that had the browser send the request.
    pub origin: Option<&'a str>,
    /// How many replicas of the store knew of it when it was acknowledged.
    pub replicas: Option<u64>,
}

impl Facts<'_> {
    /// What a request tells of itself.
    pub fn of(request: &RequestContext) -> Self {
        Self { request_id: Some(request.id), address: Some(request.client), ..Self::default() }
    }
}

/// Writes audit records.
#[derive(Clone, Debug)]
pub struct Audit {
    lines: Lines,
    clock: Clock,
}

#[derive(Serialize)]
struct Record<'a> {
    time: String,
    event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<u64>,
}

impl Audit {
    /// Records go to `lines`.
    pub fn new(lines: Lines, clock: Clock) -> Self {
        Self { lines, clock }
    }

    /// Writes one record.
    pub fn record(&self, event: Event, facts: &Facts<'_>) {
        let record = Record {
            time: self.clock.now().rfc3339(),
            event,
            request_id: facts.request_id.map(|id| id.to_string()),
            user: facts.user.map(json::cut),
            account: facts.account.map(|account| json::cut(&account.to_string()).to_owned()),
            handle: facts.handle.map(|handle| handle.to_string()),
            address: facts.address,
            reason: facts.reason,
            origin: facts.origin.map(json::cut),
            replicas: facts.replicas,
        };
        self.lines.write(json::line(&record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{ClockHand, Timestamp};

    #[test]
    fn a_record_is_one_line_whatever_its_facts_hold() {
        let (lines, captured) = Lines::captured();
        let clock = ClockHand::at(Timestamp::from_seconds(0)).clock();
        let name = format!("eve\r\n\u{1b}[31m\u{202e}{}", "x".repeat(100_000));
        let facts = Facts { user: Some(&name), reason: Some("unknown-user"), ..Facts::default() };
        Audit::new(lines.clone(), clock).record(Event::LoginFailed, &facts);
        lines.flush();
        let text = captured.text();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.len() < 2_000);
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(record["event"], "login_failed");
        assert_eq!(record["time"], "1970-01-01T00:00:00Z");
    }
}
