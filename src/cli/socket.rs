//! The running proxy, asked over its admin socket.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::healthcheck::exchange;

/// How long a request may take to be sent.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long an answer may take: a great many sessions end one by one.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// The longest answer that is read.
const LONGEST: u64 = 64 << 20;

/// Where the proxy is asked.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

/// What it says.
pub(super) enum Told {
    Json(Value),
    NotThere,
    StoreAway,
}

/// It says nothing of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// Nobody answers.
    #[error(
        "nobody answers at {}: {source} (is the proxy running, with this configuration? Under systemd, set \
         RUNTIME_DIRECTORY=/run/foregate)",
        .socket.display()
    )]
    NoProxy {
        /// Where it was looked for.
        socket: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Somebody else answers.
    #[error("what answers at {} is no proxy of this version (is another program there?)", .socket.display())]
    Stranger {
        /// Where.
        socket: PathBuf,
    },
}

impl Socket {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Asks for what lies at `path`, below the API's prefix.
    pub(super) fn ask(&self, method: &str, path: &str) -> Result<Told, SocketError> {
        let request =
            format!("{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = self
            .converse(request.as_bytes())
            .map_err(|source| SocketError::NoProxy { socket: self.path.clone(), source })?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).unwrap_or_default();
        match (status, serde_json::from_str::<Value>(body)) {
            ("200", Ok(json)) => Ok(Told::Json(json)),
            ("404", Ok(problem)) if problem["type"] == "urn:foregate:problem:no-route" => Ok(Told::NotThere),
            ("503", Ok(_)) => Ok(Told::StoreAway),
            _ => Err(self.stranger()),
        }
    }

    fn converse(&self, request: &[u8]) -> io::Result<String> {
        let stream = UnixStream::connect(&self.path)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(LONG_PATIENCE))?;
        exchange(stream, request, LONGEST)
    }

    /// What it told, as what it should be.
    pub(super) fn read<T: DeserializeOwned>(&self, json: Value) -> Result<T, SocketError> {
        serde_json::from_value(json).map_err(|_| self.stranger())
    }

    /// What is told is nothing that a proxy of this version says.
    pub(super) fn stranger(&self) -> SocketError {
        SocketError::Stranger { socket: self.path.clone() }
    }
}
