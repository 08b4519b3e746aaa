//! `[session.cache]`: sessions in this process's memory.

use std::time::Duration;

use super::super::reader::{Section, kind};
use crate::base::duration as span;

/// More sessions than one process serves.
const MAX_ENTRIES: usize = 10_000_000;

/// What this process remembers of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Whether it remembers any.
    pub enabled: bool,
    /// How many at most.
    pub entries: usize,
    /// The longest that one is used without asking the store.
    pub max_age: Duration,
}

/// `idle_timeout` is the sessions', where it is known.
pub(super) fn read(section: &mut Section<'_>, idle_timeout: Option<Duration>) -> Cache {
    let cache = Cache {
        enabled: section.value("enabled", kind::boolean, true),
        entries: section.value("entries", kind::number(1..=MAX_ENTRIES), 100_000),
        max_age: section.value("max_age", kind::positive_duration, Duration::from_secs(10)),
    };
    if let Some(idle_timeout) = idle_timeout.filter(|&idle_timeout| cache.max_age > idle_timeout) {
        let (age, idle) = (span::format(cache.max_age), span::format(idle_timeout));
        let what =
            format!("remembers sessions for {age}, but they end after {idle} unless a use is recorded");
        section.error("max_age", what, "make it the shorter of the two");
    }
    cache
}
