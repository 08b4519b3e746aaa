//! Faults: where, which key, what is wrong, and the way out.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// One line of complaint: `FILE:LINE:COL: error: KEY: what is wrong (what to do)`, or `VARIABLE: error: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// Where what is wrong was said.
    pub origin: Origin,
    /// The dotted path of the key: `session.idle_timeout`, `route[0].path`.
    pub key: String,
    /// What is wrong with it.
    pub complaint: Complaint,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, origin, key, complaint } = self;
        let line = format!("{origin}: {severity}: {key}: {complaint}");
        // It stays one line and no terminal obeys it, whatever the file holds.
        for character in line.chars() {
            if character.is_control() {
                write!(out, "{}", character.escape_default())?;
            } else {
                out.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// In the environment variable of this name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(out, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => out.write_str(name),
        }
    }
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, but somebody should know.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// What is wrong with a value, in words for whoever wrote it. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// What was expected, where it is about the value's type alone.
    pub(super) expected: Option<&'static str>,
}

impl Complaint {
    /// From both halves.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), expected: None }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.what, self.remedy)
    }
}

/// Everything that is wrong with a file, warnings included, in the file's order and then the
/// variables'; at least one is an error.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// Those of a file that is read elsewhere; `None` where there are none.
    pub fn of(faults: Vec<Fault>) -> Option<Self> {
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// The faults, one a line of the display.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}
