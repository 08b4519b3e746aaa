//! What the policies find at applications: how often, and what becomes of it, so that an operator can see what
//! `enforce` changes before it is switched on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::Metrics;
use crate::base::clock::{Clock, Timestamp};
use crate::base::lock::lock;

/// So many different findings are remembered; applications and clients choose the names in them. Beyond it they are
/// counted in the metric alone.
const MOST: usize = 1_000;

/// So many bytes of a subject are kept.
const SUBJECT_BYTES: usize = 128;

/// A policy that finds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// `[cookies]`: what applications set.
    Cookies,
    /// `[csrf]`: what other sites send.
    CrossSite,
}

impl Policy {
    /// The word for metrics and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cookies => "cookies",
            Self::CrossSite => "csrf",
        }
    }

    /// The policy of that word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Cookies, Self::CrossSite].into_iter().find(|policy| policy.as_str() == word)
    }
}

/// What becomes of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was changed or refused.
    Enforced,
    /// It passed unchanged, since the policy only reports.
    Reported,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Reported => "reported",
        }
    }
}

/// One thing that a policy found in one message.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// Whose policy.
    pub policy: Policy,
    /// The upstream's name.
    pub application: &'a Arc<str>,
    /// What it is about: a cookie's name, an origin. Anything at all.
    pub subject: &'a str,
    /// What enforcing changes, in words of ours.
    pub change: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// All findings since the start.
#[derive(Clone, Debug)]
pub struct Findings(Arc<Ledger>);

#[derive(Debug)]
struct Ledger {
    entries: Mutex<BTreeMap<Key, Tally>>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    policy: Policy,
    application: Arc<str>,
    subject: String,
    change: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

/// A finding as JSON tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingReport {
    /// `cookies` or `csrf`.
    pub policy: String,
    /// The upstream's name.
    pub application: String,
    /// What it is about: a cookie's name, an origin.
    pub subject: String,
    /// What enforcing changes.
    pub change: String,
    /// `enforced` or `reported`.
    pub outcome: String,
    /// How often it was seen since the start.
    pub count: u64,
    /// When it was first seen. Times are RFC 3339 in UTC.
    pub first_seen_at: String,
    /// When it was last seen.
    pub last_seen_at: String,
}

impl Findings {
    /// None yet.
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self(Arc::new(Ledger { entries: Mutex::default(), metrics, clock }))
    }

    /// Counts it, and says whether it is the first of its kind: worth a line in the log.
    pub fn note(&self, finding: &Finding<'_>) -> bool {
        self.0.metrics.policy_finding(finding.policy.as_str(), finding.application);
        let now = self.0.clock.now();
        let key = Key::of(finding);
        let mut entries = lock(&self.0.entries);
        if let Some(tally) = entries.get_mut(&key) {
            tally.count += 1;
            tally.last = now;
            return false;
        }
        let has_room = entries.len() < MOST;
        if has_room {
            entries.insert(key, Tally { count: 1, first: now, last: now });
        }
        has_room
    }

    /// All of them, or those of one policy: by policy, application and subject.
    pub fn list(&self, policy: Option<Policy>) -> Vec<FindingReport> {
        let is_meant = |key: &Key| policy.is_none_or(|policy| policy == key.policy);
        let entries = lock(&self.0.entries);
        entries.iter().filter(|(key, _)| is_meant(key)).map(|(key, tally)| key.report(tally)).collect()
    }
}

impl Key {
    fn of(finding: &Finding<'_>) -> Self {
        let end = finding.subject.floor_char_boundary(SUBJECT_BYTES);
        Self {
            policy: finding.policy,
            application: Arc::clone(finding.application),
            subject: finding.subject[..end].to_owned(),
            change: finding.change,
            outcome: finding.outcome,
        }
    }

    fn report(&self, tally: &Tally) -> FindingReport {
        FindingReport {
            policy: self.policy.as_str().to_owned(),
            application: self.application.as_ref().to_owned(),
            subject: self.subject.clone(),
            change: self.change.to_owned(),
            outcome: self.outcome.as_str().to_owned(),
            count: tally.count,
            first_seen_at: tally.first.rfc3339(),
            last_seen_at: tally.last.rfc3339(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        Findings::new(Arc::new(Metrics::new()), Clock::system())
    }

    fn note(findings: &Findings, subject: &str) -> bool {
        findings.note(&Finding {
            policy: Policy::Cookies,
            application: &"shop".into(),
            subject,
            change: "Secure added",
            outcome: Outcome::Reported,
        })
    }

    #[test]
    fn what_is_seen_again_is_counted_and_new_once() {
        let findings = findings();
        assert!(note(&findings, "basket"));
        assert!(!note(&findings, "basket"));
        assert!(note(&findings, "theme"));
        let listed = findings.list(None);
        assert_eq!(listed.len(), 2);
        assert_eq!((listed[0].subject.as_str(), listed[0].count), ("basket", 2));
        assert_eq!((listed[0].outcome.as_str(), listed[0].policy.as_str()), ("reported", "cookies"));
        assert_eq!(
            (findings.list(Some(Policy::Cookies)).len(), findings.list(Some(Policy::CrossSite))),
            (2, vec![])
        );
        assert!(findings.0.metrics.text().contains(r#"policy="cookies",application="shop"} 3"#));
    }

    #[test]
    fn an_application_that_makes_up_names_fills_no_memory() {
        let findings = findings();
        for n in 0..MOST {
            assert!(note(&findings, &format!("cookie{n}")));
        }
        assert!(!note(&findings, "one-more"));
        assert_eq!(findings.list(None).len(), MOST);
        assert!(findings.0.metrics.text().contains("} 1001"));
    }

    #[test]
    fn a_long_name_is_cut_between_two_characters() {
        let findings = findings();
        note(&findings, &"é".repeat(200));
        assert_eq!(findings.list(None)[0].subject.len(), SUBJECT_BYTES);
        note(&findings, &("x".to_owned() + &"é".repeat(200)));
        assert!(findings.list(None).iter().all(|finding| finding.subject.len() <= SUBJECT_BYTES));
    }
}
