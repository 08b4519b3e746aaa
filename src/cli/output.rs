//! What commands print.

use std::fmt::Display;
use std::io::{self, Write};

use super::Exit;

/// Prints a line that was asked for.
pub(super) fn say(line: impl Display) -> Exit {
    print(format!("{line}\n").as_bytes())
}

/// Prints what was asked for, as it is. A reader that goes away early is no failure of ours.
pub(super) fn print(text: &[u8]) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            warn(format_args!("cannot write to standard output: {error} (is the disk full?)"));
            Exit::DoesNotHold
        }
        _ => Exit::Done,
    }
}

/// Prints what is wrong, on standard error.
pub(super) fn complain(line: impl Display) -> Exit {
    // Where standard error is closed nobody is left to be told; the exit code still says it.
    let _ = writeln!(io::stderr(), "{line}");
    Exit::Usage
}

/// Prints a warning, on standard error.
pub(super) fn warn(line: impl Display) {
    complain(line);
}
