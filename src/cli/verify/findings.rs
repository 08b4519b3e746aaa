//! What a check came to, in one line each.

use super::super::check::{Check, Status};

pub(super) fn pass(id: &str, seen: impl Into<String>) -> Check {
    check(id, Status::Pass, &seen.into(), "")
}

pub(super) fn warn(id: &str, seen: impl Into<String>, fix: &str) -> Check {
    check(id, Status::Warn, &seen.into(), fix)
}

pub(super) fn fail(id: &str, seen: impl Into<String>, fix: &str) -> Check {
    check(id, Status::Fail, &seen.into(), fix)
}

pub(super) fn skip(id: &str, seen: impl Into<String>) -> Check {
    check(id, Status::Skip, &seen.into(), "")
}

fn check(id: &str, status: Status, seen: &str, fix: &str) -> Check {
    Check { id: id.to_owned(), status, seen: seen.to_owned(), fix: fix.to_owned() }
}
