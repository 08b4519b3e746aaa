//! The cookies in applications' answers: judged by the policy, told of, and written anew.

use std::sync::Arc;

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::base::clock::Clock;
use crate::config::PolicyMode;
use crate::http::SetCookie;
use crate::http::set_cookie::said_name;
use crate::policy::{CookiePolicy, Treatment};
use crate::telemetry::{Finding, Findings, Metrics, Outcome, Policy, plain};

/// Sees to `Set-Cookie`.
#[derive(Debug)]
pub struct CookieGuard {
    /// What becomes of each.
    pub policy: Arc<CookiePolicy>,
    /// Who is told of it.
    pub findings: Findings,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time by which they are judged.
    pub clock: Clock,
}

/// Where an answer comes from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The upstream's name.
    pub(super) application: &'a Arc<str>,
    /// The host that the browser asked for.
    pub(super) host: &'a str,
}

impl CookieGuard {
    /// Leaves in an answer's head the cookies that may go out, as they may. One that sets none costs nothing.
    pub(super) fn pass(&self, headers: &mut HeaderMap, source: Source<'_>) {
        if !headers.contains_key(SET_COOKIE) {
            return;
        }
        let lines: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
        headers.remove(SET_COOKIE);
        let kept = lines.into_iter().filter_map(|line| self.judged(line, source));
        headers.extend(kept.map(|line| (SET_COOKIE, line)));
    }

    /// What goes out of one line.
    fn judged(&self, line: HeaderValue, source: Source<'_>) -> Option<HeaderValue> {
        let enforces = self.policy.mode() == PolicyMode::Enforce;
        match self.policy.judge(line.as_bytes(), source.host, self.clock.now()) {
            Treatment::Ours => {
                tracing::warn!(upstream = &**source.application, "an upstream tried to set our cookie");
                self.metrics.policy_finding("session-cookie", source.application);
                None
            }
            Treatment::Exempt => Some(line),
            Treatment::Passed(cookie, changes) => {
                for change in &changes {
                    self.tell(&line, change.as_str(), source);
                }
                Some(if enforces { written(&cookie) } else { line })
            }
            Treatment::Dropped(reason) => {
                self.tell(&line, reason.as_str(), source);
                (!enforces).then_some(line)
            }
        }
    }

    fn tell(&self, line: &HeaderValue, change: &'static str, source: Source<'_>) {
        let name = match said_name(line.as_bytes()) {
            b"" => "(nameless)".into(),
            name => String::from_utf8_lossy(name),
        };
        let (outcome, what) = match self.policy.mode() {
            PolicyMode::Enforce => (Outcome::Enforced, "a cookie was put right"),
            PolicyMode::Report | PolicyMode::Off => (Outcome::Reported, "a cookie would be put right"),
        };
        let application = source.application;
        let finding = Finding { policy: Policy::Cookies, application, subject: &name, change, outcome };
        if self.findings.note(&finding) {
            tracing::info!(upstream = &**application, cookie = plain(&name), change, "{what}");
        }
    }
}

fn written(cookie: &SetCookie<'_>) -> HeaderValue {
    let mut line =
        HeaderValue::try_from(cookie.to_line()).expect("pieces of a header value make a header value");
    line.set_sensitive(true);
    line
}
