//! How hard session ids are to guess, as far as a handful of them tells.

use std::collections::BTreeSet;

use super::super::check::Check;
use super::findings::{fail, pass, skip, warn};

const ID: &str = "session.entropy";

/// OWASP ASVS 7.2.3.
const ENOUGH: f64 = 128.0;

/// OWASP's Session Management Cheat Sheet calls less than this a fault whatever the rate of guesses.
const LEAST: f64 = 64.0;

/// What `values`, one of each login, say.
pub(super) fn judge(values: &[String]) -> Check {
    if values.len() < 2 {
        return skip(ID, "there are not enough sessions to compare");
    }
    let distinct: BTreeSet<&String> = values.iter().collect();
    if distinct.len() < values.len() {
        return fail(ID, "two logins got the same id", "draw each id anew from a secure generator");
    }
    let bits = most_bits(values);
    let (count, length) = (values.len(), values[0].len());
    let seen = format!("{count} ids of {length} characters: at most {bits:.0} bits by those that vary");
    match bits {
        bits if bits < LEAST => fail(ID, seen, "ids of 128 bits or more from a secure generator"),
        bits if bits < ENOUGH => warn(ID, seen, "ids of 128 bits or more from a secure generator"),
        _ => pass(ID, seen),
    }
}

/// The bits that positions which vary can hold: an upper bound, since what varies may still be foretold.
fn most_bits(values: &[String]) -> f64 {
    let shortest = values.iter().map(String::len).min().unwrap_or_default();
    let varies = |at: &usize| values.iter().any(|value| value.as_bytes()[*at] != values[0].as_bytes()[*at]);
    // A dozen letters that happen to agree in two ids must not count as constant.
    let luck = 1.0 - 1.0 / alphabet(values).powi(i32::try_from(values.len()).unwrap_or(2) - 1);
    let varying = u32::try_from((0..shortest).filter(varies).count()).unwrap_or(u32::MAX);
    (f64::from(varying) / luck) * alphabet(values).log2()
}

/// How many characters there are to choose from.
fn alphabet(values: &[String]) -> f64 {
    let all = |kind: fn(&char) -> bool| values.iter().flat_map(|value| value.chars()).all(|c| kind(&c));
    if all(char::is_ascii_digit) {
        10.0
    } else if all(char::is_ascii_hexdigit) {
        16.0
    } else if all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        36.0
    } else {
        64.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::Status;
    use super::*;

    fn status(values: &[&str]) -> Status {
        judge(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>()).status
    }

    #[test]
    fn only_what_varies_counts() {
        assert_eq!(
            status(&["8f14e45fceea167a5a36dedd4bea2543", "c9f0f895fb98ab9159f51fd0297e236d"]),
            Status::Warn
        );
        assert_eq!(status(&["lQae2wdUIKn2j0tYg0qaaAx9Zr", "Vw8x3LbKq1MnCpR7sTuYhGfE0d"]), Status::Pass);
        assert_eq!(
            status(&["session-0000000000000000000001", "session-0000000000000000000002"]),
            Status::Fail
        );
        assert_eq!(status(&["lQae2wdUIKn2j0tYg0qaaA", "lQae2wdUIKn2j0tYg0qaaA"]), Status::Fail);
        assert_eq!(status(&["lQae2wdUIKn2j0tYg0qaaA"]), Status::Skip);
    }
}
