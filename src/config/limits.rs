//! `[server.limits]`: what a client may allocate, and how long it may take.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::reader::{Section, kind};

/// Bounds on everything that a client can allocate or delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; at the limit newcomers wait in the kernel's backlog.
    pub connections: usize,
    /// Connections at once from one address; `None`: any number.
    pub connections_per_client: Option<NonZeroUsize>,
    /// For the TLS handshake.
    pub handshake_timeout: Duration,
    /// For a request's head, from its first byte.
    pub header_timeout: Duration,
    /// For the silence between two requests.
    pub idle_timeout: Duration,
    /// For a silence within a request's body.
    pub body_idle_timeout: Duration,
    /// For a client that reads nothing of its answer.
    pub write_timeout: Duration,
    /// Bytes of all header lines.
    pub header_bytes: u64,
    /// Header lines.
    pub header_count: usize,
    /// Bytes of path and query.
    pub uri_bytes: u64,
    /// Bytes of a body, where its route says nothing else.
    pub body_bytes: u64,
    /// Requests at once on one HTTP/2 connection.
    pub h2_streams: u32,
    /// Requests that a client may give up on one HTTP/2 connection within a second.
    pub h2_resets_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 50_000,
            connections_per_client: None,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            header_bytes: 32 << 10,
            header_count: 100,
            uri_bytes: 8 << 10,
            body_bytes: 1 << 30,
            h2_streams: 100,
            h2_resets_per_second: 50,
        }
    }
}

pub(super) fn read(section: &mut Section<'_>) -> Limits {
    let usual = Limits::default();
    Limits {
        connections: section.value("connections", kind::number(1..=10_000_000), usual.connections),
        connections_per_client: NonZeroUsize::new(section.value(
            "connections_per_client",
            kind::number(0..=10_000_000),
            0,
        )),
        handshake_timeout: section.value(
            "handshake_timeout",
            kind::positive_duration,
            usual.handshake_timeout,
        ),
        header_timeout: section.value("header_timeout", kind::positive_duration, usual.header_timeout),
        idle_timeout: section.value("idle_timeout", kind::positive_duration, usual.idle_timeout),
        body_idle_timeout: section.value(
            "body_idle_timeout",
            kind::positive_duration,
            usual.body_idle_timeout,
        ),
        write_timeout: section.value("write_timeout", kind::positive_duration, usual.write_timeout),
        // What a head may hold, and a URI, the libraries bound as well; beyond these they would answer first.
        header_bytes: section.value("header_bytes", kind::size(1024..=1 << 20), usual.header_bytes),
        header_count: section.value("header_count", kind::number(10..=10_000), usual.header_count),
        uri_bytes: section.value("uri_bytes", kind::size(256..=60 << 10), usual.uri_bytes),
        body_bytes: section.value("body_bytes", kind::size(0..=u64::MAX), usual.body_bytes),
        h2_streams: section.value("h2_streams", kind::number(1..=10_000), usual.h2_streams),
        h2_resets_per_second: section.value(
            "h2_resets_per_second",
            kind::number(1..=1_000_000),
            usual.h2_resets_per_second,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::outcome;
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(outcome("", read).unwrap().0, Limits::default());
        let (limits, _) = outcome("body_bytes = \"10MiB\"\nconnections_per_client = 5", read).unwrap();
        assert_eq!((limits.body_bytes, limits.connections_per_client), (10 << 20, NonZeroUsize::new(5)));
    }

    #[test]
    fn a_limit_that_lets_nothing_through_is_refused() {
        for text in [
            "connections = 0",
            "header_timeout = \"0s\"",
            "header_bytes = \"1KB\"",
            "header_bytes = 1024",
            "uri_bytes = \"64KiB\"",
            "h2_streams = 0",
        ] {
            assert_eq!(outcome(text, read).map(drop).unwrap_err().len(), 1, "{text}");
        }
    }
}
