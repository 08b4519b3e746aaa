//! The running proxy, asked over its admin socket.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use super::super::healthcheck::exchange;
use super::reach::ReachError;
use crate::base::handle::Handle;
use crate::session::Report;

/// How long a request may take to be sent.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long an answer may take: a great many sessions end one by one.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// The longest answer that is read.
const LONGEST: u64 = 64 << 20;

/// The proxy that owns the sessions.
#[derive(Debug)]
pub(super) struct Proxy {
    socket: PathBuf,
}

/// What it says.
enum Told {
    Json(Value),
    NoSuchSession,
}

impl Proxy {
    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(super) fn list(&self, user: Option<&str>, limit: usize) -> Result<Vec<Report>, ReachError> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        if let Some(user) = user {
            query.append_pair("user", user);
        }
        self.read(self.ask("GET", &format!("?{}", query.finish()))?)
    }

    pub(super) fn find(&self, handle: &Handle) -> Result<Option<Report>, ReachError> {
        match self.ask("GET", &format!("/{handle}"))? {
            Told::NoSuchSession => Ok(None),
            told @ Told::Json(_) => self.read(told).map(Some),
        }
    }

    pub(super) fn count(&self) -> Result<usize, ReachError> {
        self.number(self.ask("GET", "/count")?, "count")
    }

    pub(super) fn end(&self, handle: &Handle) -> Result<bool, ReachError> {
        match self.ask("DELETE", &format!("/{handle}"))? {
            Told::NoSuchSession => Ok(false),
            told @ Told::Json(_) => self.number(told, "revoked").map(|revoked| revoked > 0),
        }
    }

    pub(super) fn end_user(&self, user: &str) -> Result<usize, ReachError> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("user", user).finish();
        self.number(self.ask("DELETE", &format!("?{query}"))?, "revoked")
    }

    pub(super) fn end_all(&self) -> Result<usize, ReachError> {
        self.number(self.ask("DELETE", "?all=true")?, "revoked")
    }

    fn ask(&self, method: &str, about: &str) -> Result<Told, ReachError> {
        let request = format!(
            "{method} /api/v1/sessions{about} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        let answer = self
            .converse(request.as_bytes())
            .map_err(|source| ReachError::NoProxy { socket: self.socket.clone(), source })?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).unwrap_or_default();
        match (status, serde_json::from_str::<Value>(body)) {
            ("200", Ok(json)) => Ok(Told::Json(json)),
            ("404", Ok(problem)) if problem["type"] == "urn:foregate:problem:no-route" => {
                Ok(Told::NoSuchSession)
            }
            ("503", Ok(_)) => Err(ReachError::ProxysStore),
            _ => Err(self.stranger()),
        }
    }

    fn converse(&self, request: &[u8]) -> io::Result<String> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(LONG_PATIENCE))?;
        exchange(stream, request, LONGEST)
    }

    fn read<T: DeserializeOwned>(&self, told: Told) -> Result<T, ReachError> {
        let Told::Json(json) = told else { return Err(self.stranger()) };
        serde_json::from_value(json).map_err(|_| self.stranger())
    }

    fn number(&self, told: Told, name: &str) -> Result<usize, ReachError> {
        let Told::Json(json) = told else { return Err(self.stranger()) };
        let number = json[name].as_u64().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| self.stranger())
    }

    fn stranger(&self) -> ReachError {
        ReachError::Stranger { socket: self.socket.clone() }
    }
}
