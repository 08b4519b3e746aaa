//! The program's own log, and where the other two go.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use super::lines::Lines;
use crate::config::{AuditTarget, Log, LogFormat, LogLevel};

/// How lines look, once `auto` is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The destinations of all logs.
#[derive(Clone, Debug)]
pub struct Logs {
    /// The program's log and, unless it has a file of its own, everything else.
    pub main: Lines,
    /// Security events.
    pub audit: Lines,
    /// How access lines look; audit records are always JSON.
    pub format: Format,
}

impl Logs {
    /// As configured, to standard error.
    ///
    /// # Errors
    /// Where the audit file cannot be opened.
    pub fn open(config: &Log) -> io::Result<Self> {
        let main = Lines::stderr()?;
        let audit = match &config.audit {
            AuditTarget::Log => main.clone(),
            AuditTarget::File(path) => Lines::file(path)?,
        };
        let format = match config.format {
            LogFormat::Text => Format::Text,
            LogFormat::Auto if io::stderr().is_terminal() => Format::Text,
            LogFormat::Json | LogFormat::Auto => Format::Json,
        };
        Ok(Self { main, audit, format })
    }

    /// Makes this the process's log. A process has one: a second call changes nothing.
    pub fn install(&self, level: LogLevel) {
        let filter = EnvFilter::new(format!("{},h2=warn,hyper=warn,rustls=warn", level.as_str()));
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(LineWriter(self.main.clone()))
            .log_internal_errors(false);
        // A panic is a line like any other, not a text of many lines beside the log.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        let _ = match self.format {
            Format::Json => lines.json().flatten_event(true).with_ansi(false).finish().try_init(),
            // On a terminal NO_COLOR decides.
            Format::Text if io::stderr().is_terminal() => lines.finish().try_init(),
            Format::Text => lines.with_ansi(false).finish().try_init(),
        };
    }

    /// Opens the files anew, for those who rotate them.
    pub fn reopen(&self) {
        self.main.reopen();
        self.audit.reopen();
    }

    /// Waits until what was logged is written.
    pub fn flush(&self) {
        self.main.flush();
        self.audit.flush();
    }
}

impl LogLevel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Hands each event's text to [`Lines`] as one line.
#[derive(Clone)]
struct LineWriter(Lines);

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
