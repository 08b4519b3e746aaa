//! How requests are spread over an upstream's servers, and how many of them a server gets at once.

use std::time::Duration;

use super::reader::{Section, kind};

/// Which server gets the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest under way.
    LeastRequests,
    /// Each in its turn.
    RoundRobin,
    /// Always the same for a client's address.
    ClientHash,
    /// Always the same for a session; for a client's address where there is none.
    SessionHash,
}

const BALANCES: [(&str, Balance); 4] = [
    ("least-requests", Balance::LeastRequests),
    ("round-robin", Balance::RoundRobin),
    ("client-hash", Balance::ClientHash),
    ("session-hash", Balance::SessionHash),
];

/// How much of one server is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolBounds {
    /// Connections to it; further requests wait for one.
    pub connections: usize,
    /// Requests that may wait; beyond them there is no room.
    pub waiting: usize,
    /// How old a connection may be when a request is sent on it.
    pub connection_age: Duration,
    /// How long a pooled connection may lie idle.
    pub idle_timeout: Duration,
}

pub(super) fn balance(section: &mut Section<'_>) -> Balance {
    section.value("balance", kind::one_of(&BALANCES), Balance::LeastRequests)
}

pub(super) fn bounds(section: &mut Section<'_>) -> PoolBounds {
    PoolBounds {
        connections: section.value("connections", kind::number(1..=65_535), 256),
        waiting: section.value("waiting", kind::number(0..=1_000_000), 1024),
        connection_age: section.value("connection_age", kind::positive_duration, Duration::from_secs(3600)),
        idle_timeout: section.value("idle_timeout", kind::duration, Duration::from_secs(30)),
    }
}

/// One for each of so many servers; equal ones where nothing is said.
pub(super) fn weights(section: &mut Section<'_>, servers: usize) -> Vec<u32> {
    let weights = section.items("weights", |item| item.value("", kind::number(1..=100), 1));
    if weights.is_empty() {
        return vec![1; servers];
    }
    if weights.len() != servers && section.sound("servers") {
        let what = format!("has {} for {servers} in servers", weights.len());
        section.error("weights", what, "write one for each, in the same order");
    }
    weights
}
