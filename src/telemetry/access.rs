//! The access log: one line a request, written when its answer has ended.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::json;
use super::lines::Lines;
use super::logs::Format;
use crate::base::clock::Clock;
use crate::base::handle::Handle;
use crate::base::request_id::RequestId;

/// What is said of a request.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its id.
    pub request_id: RequestId,
    /// Who sent it.
    pub client: IpAddr,
    /// The method, as sent.
    pub method: String,
    /// The host, where one could be made out.
    pub host: Option<String>,
    /// The path without its query, which may hold secrets.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// The bytes of its body.
    pub bytes: u64,
    /// Whether the answer came to its end.
    pub complete: bool,
    /// From the request's head to the answer's end.
    pub took: Duration,
    /// The session, where one was used.
    pub session: Option<Handle>,
    /// Its user.
    pub user: Option<String>,
}

/// Writes access lines, or none.
#[derive(Clone, Debug)]
pub struct AccessLog {
    lines: Option<Lines>,
    format: Format,
    clock: Clock,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: String,
    client: IpAddr,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    path: &'a str,
    status: u16,
    bytes: u64,
    complete: bool,
    milliseconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
}

impl AccessLog {
    /// Lines in this format, or none.
    pub fn new(lines: Option<Lines>, format: Format, clock: Clock) -> Self {
        Self { lines, format, clock }
    }

    /// Writes one line.
    pub fn record(&self, access: &Access) {
        let Some(lines) = &self.lines else { return };
        let line = Line {
            time: self.clock.now().rfc3339(),
            request_id: access.request_id.to_string(),
            client: access.client,
            method: json::cut(&access.method),
            host: access.host.as_deref().map(json::cut),
            path: json::cut(&access.path),
            status: access.status,
            bytes: access.bytes,
            complete: access.complete,
            milliseconds: u64::try_from(access.took.as_millis()).unwrap_or(u64::MAX),
            session: access.session.map(|handle| handle.to_string()),
            user: access.user.as_deref(),
        };
        lines.write(match self.format {
            Format::Json => json::line(&line),
            Format::Text => line.text().into_bytes(),
        });
    }
}

impl Line<'_> {
    fn text(&self) -> String {
        format!(
            "{} {} {} {}{} {} {}B {}ms user={} session={} request={}{}",
            self.time,
            self.client,
            self.method,
            self.host.unwrap_or("-").escape_debug(),
            self.path.escape_debug(),
            self.status,
            self.bytes,
            self.milliseconds,
            self.user.unwrap_or("-").escape_debug(),
            self.session.as_deref().unwrap_or("-"),
            self.request_id,
            if self.complete { "" } else { " broken off" },
        )
    }
}
