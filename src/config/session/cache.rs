//! `[session.cache]`: sessions in this process's memory.

use std::time::Duration;

use super::super::reader::{Section, kind};

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

pub(super) fn read(section: &mut Section<'_>) -> Cache {
    Cache {
        enabled: section.value("enabled", kind::boolean, true),
        entries: section.value("entries", kind::number(1..=MAX_ENTRIES), 100_000),
        max_age: section.value("max_age", kind::positive_duration, Duration::from_secs(10)),
    }
}
