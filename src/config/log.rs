//! `[log]`: what is written, and where to.

use std::path::PathBuf;

use super::context::Context;
use super::reader::{Section, kind};

/// Logs.
#[derive(Clone, Debug)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
    /// Whether each request is one line.
    pub access: bool,
    /// Where security events go.
    pub audit: AuditTarget,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// A level of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what is broken.
    Error,
    /// And what will be.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
    /// And how.
    Trace,
}

/// Where security events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// Among the other log lines.
    Log,
    /// A file of JSON lines.
    File(PathBuf),
}

const FORMATS: [(&str, LogFormat); 3] =
    [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)];

const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

pub(super) fn read(section: &mut Section<'_>, context: Context<'_>) -> Log {
    let audit = kind::text_as(|text| {
        Ok(if text == "log" { AuditTarget::Log } else { AuditTarget::File(context.folder.join(text)) })
    });
    Log {
        format: section.value("format", kind::one_of(&FORMATS), LogFormat::Auto),
        level: section.value("level", kind::one_of(&LEVELS), LogLevel::Info),
        access: section.value("access", kind::boolean, true),
        audit: section.value("audit", audit, AuditTarget::Log),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{outcome, production};
    use super::*;

    fn log(text: &str) -> Result<Log, Vec<String>> {
        outcome(text, |section| read(section, production(&[]))).map(|(log, _)| log)
    }

    #[test]
    fn the_default_says_what_happens() {
        let log = log("").unwrap();
        assert_eq!((log.format, log.level, log.access), (LogFormat::Auto, LogLevel::Info, true));
        assert_eq!(log.audit, AuditTarget::Log);
    }

    #[test]
    fn security_events_may_have_a_file_of_their_own() {
        let audit = log("audit = \"audit.jsonl\"").unwrap().audit;
        assert_eq!(audit, AuditTarget::File(PathBuf::from("/etc/foregate/audit.jsonl")));
    }

    #[test]
    fn an_unknown_level_is_refused() {
        assert!(log("level = \"warning\"").unwrap_err()[0].contains("is not one of"));
    }
}
