//! Buckets of attempts. So many as its rate says fit into one at once, and it drains evenly: the generic cell rate
//! algorithm, by which a bucket is one number, the microsecond at which it will be empty.
//!
//! [`Level`] is the rule; the scripts of the Redis store say the same in Lua.

use std::fmt;
use std::time::Duration;

use crate::base::base64url;
use crate::base::clock::Timestamp;
use crate::base::rate::Rate;

/// A bucket, and what fits into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Which it is.
    pub name: BucketName,
    /// How many fit, and how fast it drains.
    pub rate: Rate,
}

/// Names a bucket: what is counted, and whose it is by a digest, no plain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketName {
    /// What is counted.
    pub scope: &'static str,
    /// Whose it is.
    pub digest: [u8; 16],
}

/// What asking for a place came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There was one.
    Place(Place),
    /// There is none before so long.
    Full(Duration),
}

/// A place in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When it has drained, in microseconds since the Unix epoch.
    pub(super) until: i64,
}

/// How full a bucket is: the microsecond at which it will be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(i64);

impl Level {
    /// The level after a place was taken from one that stood at `stored`; else how long there is none.
    pub(super) fn take(stored: Option<Self>, rate: Rate, now: Timestamp) -> Result<Self, Duration> {
        let now = micros_of(now);
        let (interval, span) = (micros(rate.interval()), micros(rate.span()));
        let level = stored.map_or(now, |level| level.within(now, span));
        let wait = level + interval - now - span;
        if wait > 0 {
            return Err(Duration::from_micros(wait.unsigned_abs()));
        }
        Ok(Self(level + interval))
    }

    /// The level after `place` was given back; `None` where the bucket is empty then. What has drained is not given
    /// back: it would be somebody else's.
    pub(super) fn give_back(self, place: Place, rate: Rate, now: Timestamp) -> Option<Self> {
        let now = micros_of(now);
        let level = self.within(now, micros(rate.span()));
        let left = if place.until > now { level - micros(rate.interval()) } else { level };
        (left > now).then_some(Self(left))
    }

    /// Whether the bucket is empty at `now`.
    pub(super) fn is_empty(self, now: Timestamp) -> bool {
        self.0 <= micros_of(now)
    }

    /// The place that was taken last.
    pub(super) fn place(self) -> Place {
        Place { until: self.0 }
    }

    /// No bucket is fuller than full: not where a clock was set back either, or another proxy's is ahead.
    fn within(self, now: i64, span: i64) -> i64 {
        self.0.clamp(now, now.saturating_add(span))
    }
}

/// In microseconds since the Unix epoch.
pub(super) fn micros_of(moment: Timestamp) -> i64 {
    moment.millis().saturating_mul(1000)
}

/// In microseconds.
pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for BucketName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.scope, base64url::encode(self.digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rate;

    const NOW: Timestamp = Timestamp::from_seconds(1_763_800_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn five_a_minute() -> Rate {
        rate::parse("5/m").unwrap()
    }

    fn filled(now: Timestamp) -> Level {
        let mut level = Level::take(None, five_a_minute(), now).unwrap();
        for _ in 1..5 {
            level = Level::take(Some(level), five_a_minute(), now).unwrap();
        }
        level
    }

    #[test]
    fn a_full_bucket_has_a_place_after_each_interval_and_all_after_the_whole() {
        let rate = five_a_minute();
        let full = filled(NOW);
        assert_eq!(Level::take(Some(full), rate, NOW), Err(12 * SECOND));
        assert_eq!(Level::take(Some(full), rate, NOW.plus(11 * SECOND)), Err(SECOND));
        let later = NOW.plus(12 * SECOND);
        let again = Level::take(Some(full), rate, later).unwrap();
        assert_eq!(Level::take(Some(again), rate, later), Err(12 * SECOND));
        assert!(full.is_empty(NOW.plus(60 * SECOND)) && !full.is_empty(NOW.plus(59 * SECOND)));
    }

    #[test]
    fn a_place_that_is_given_back_is_free_and_no_other() {
        let rate = five_a_minute();
        let full = filled(NOW);
        let left = full.give_back(full.place(), rate, NOW).unwrap();
        let full = Level::take(Some(left), rate, NOW).unwrap();
        assert!(Level::take(Some(full), rate, NOW).is_err());
        let one = Level::take(None, rate, NOW).unwrap();
        assert_eq!(one.give_back(one.place(), rate, NOW), None);
    }

    #[test]
    fn a_place_that_has_drained_is_not_given_back_at_anothers_expense() {
        let rate = five_a_minute();
        let first = Level::take(None, rate, NOW).unwrap();
        let later = NOW.plus(13 * SECOND);
        let second = Level::take(Some(first), rate, later).unwrap();
        assert_eq!(second.give_back(first.place(), rate, later), Some(second));
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_longer_than_a_full_bucket() {
        let rate = five_a_minute();
        let ahead = filled(NOW.plus(3600 * SECOND));
        assert_eq!(Level::take(Some(ahead), rate, NOW), Err(12 * SECOND));
        assert!(Level(i64::MAX).give_back(ahead.place(), rate, NOW).is_some());
    }
}
