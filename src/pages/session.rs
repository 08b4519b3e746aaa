//! The page on which users see their own sessions.

use std::time::Duration;

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::base::clock::Timestamp;

/// Who somebody is here, and for how long.
#[derive(Clone, Debug)]
pub struct SessionPage<'a> {
    /// When it is shown.
    pub now: Timestamp,
    /// The user's name.
    pub user: &'a str,
    /// The full name, where it is known.
    pub name: Option<&'a str>,
    /// The e-mail address, where it is known.
    pub email: Option<&'a str>,
    /// The groups.
    pub groups: Vec<&'a str>,
    /// When the session began.
    pub logged_in_at: Timestamp,
    /// Its latest recorded use.
    pub last_seen_at: Timestamp,
    /// When it ends unless it is used.
    pub idle_expires_at: Timestamp,
    /// When it ends, used or not.
    pub expires_at: Timestamp,
    /// Proves that a form which ends sessions is ours.
    pub csrf_token: &'a str,
    /// Where the user is signed in.
    pub sessions: Vec<OwnSession<'a>>,
    /// Whether there are others.
    pub more: bool,
}

/// One of the user's sessions.
#[derive(Clone, Copy, Debug)]
pub struct OwnSession<'a> {
    /// Its name.
    pub handle: &'a str,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it began.
    pub logged_in_at: Timestamp,
    /// Its latest recorded use.
    pub last_seen_at: Timestamp,
    /// The address it began at.
    pub address: &'a str,
    /// The device, in words.
    pub device: &'a str,
    /// What the browser calls itself.
    pub user_agent: Option<&'a str>,
}

/// A moment as a page tells it: nobody there knows the reader's time zone, so it says how far away it is as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Moment {
    /// RFC 3339
    exact: String,
    text: String,
    relative: String,
}

impl SessionPage<'_> {
    pub(super) fn values(&self) -> Value {
        let Self { now, user, name, email, csrf_token, more, .. } = *self;
        let moment = |at| Serde(Moment::new(at, now));
        let sessions: Vec<Value> = self.sessions.iter().map(|session| session.values(now)).collect();
        context! {
            user, name, email, csrf_token, sessions, more,
            groups => self.groups.iter().copied().map(Value::from).collect::<Value>(),
            logged_in_at => moment(self.logged_in_at),
            last_seen_at => moment(self.last_seen_at),
            idle_expires_at => moment(self.idle_expires_at),
            expires_at => moment(self.expires_at),
        }
    }
}

impl OwnSession<'_> {
    fn values(self, now: Timestamp) -> Value {
        let Self { handle, current, address, device, user_agent, .. } = self;
        let logged_in_at = Serde(Moment::new(self.logged_in_at, now));
        let last_seen_at = Serde(Moment::new(self.last_seen_at, now));
        context! { handle, current, logged_in_at, last_seen_at, address, device, user_agent }
    }
}

impl Moment {
    fn new(at: Timestamp, now: Timestamp) -> Self {
        let format = format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
        let text = OffsetDateTime::from_unix_timestamp(at.seconds())
            .ok()
            .and_then(|moment| moment.format(&format).ok())
            .unwrap_or_else(|| at.rfc3339());
        Self { exact: at.rfc3339(), text, relative: relative(at, now) }
    }
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return match at.since(now) {
            left if left < MINUTE => "in less than a minute".to_owned(),
            left => format!("in {}", words(left.as_secs().div_ceil(60))),
        };
    }
    match now.since(at) {
        past if past < MINUTE => "just now".to_owned(),
        past => format!("{} ago", words(past.as_secs() / 60)),
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// So many minutes in their largest unit, rounded down: an end is not promised later than it comes, but for the minute
/// that has begun. Without that, seven days would be six as soon as they are seen.
fn words(minutes: u64) -> String {
    let (number, unit) = match minutes {
        ..60 => (minutes, "minute"),
        60..2_880 => (minutes / 60, "hour"),
        _ => (minutes / 1_440, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_763_800_000);

    #[test]
    fn a_moment_is_told_for_people_and_for_machines() {
        let moment = Moment::new(NOW, NOW);
        assert_eq!(moment.exact, "2025-11-22T08:26:40Z");
        assert_eq!(moment.text, "22 November 2025, 08:26 UTC");
    }

    #[test]
    fn how_far_away_a_moment_is_takes_one_unit() {
        for (seconds, left, past) in [
            (59, "in less than a minute", "just now"),
            (60, "in 1 minute", "1 minute ago"),
            (3_540, "in 59 minutes", "59 minutes ago"),
            (3_599, "in 1 hour", "59 minutes ago"),
            (3_600, "in 1 hour", "1 hour ago"),
            (86_400, "in 24 hours", "24 hours ago"),
            (172_740, "in 47 hours", "47 hours ago"),
            (604_799, "in 7 days", "6 days ago"),
            (604_800, "in 7 days", "7 days ago"),
        ] {
            let span = Duration::from_secs(seconds);
            assert_eq!(relative(NOW.plus(span), NOW), left);
            assert_eq!(relative(NOW.minus(span), NOW), past);
        }
    }
}
