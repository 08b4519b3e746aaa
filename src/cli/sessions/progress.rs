//! How far something has come that takes a while: for whoever watches a terminal, and nobody else.

use std::io::{self, IsTerminal, Write};

/// So often it is told.
const STEP: usize = 1_000;

/// A number that grows on standard error; gone when dropped.
#[derive(Debug)]
pub(super) struct Progress {
    /// What is done to each; `None` where nobody watches.
    verb: Option<&'static str>,
    told: usize,
}

impl Progress {
    /// For nobody.
    pub(super) fn none() -> Self {
        Self { verb: None, told: 0 }
    }

    /// For whoever watches, where standard error is a terminal.
    pub(super) fn of(verb: &'static str) -> Self {
        Self { verb: io::stderr().is_terminal().then_some(verb), told: 0 }
    }

    /// So many by now.
    pub(super) fn reaches(&mut self, number: usize) {
        let Some(verb) = self.verb else { return };
        if number >= self.told + STEP {
            self.told = number;
            // Who cannot be told misses a number.
            let _ = write!(io::stderr(), "\r{number} {verb}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told > 0 {
            // Back to the start of the line, and empty it.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
