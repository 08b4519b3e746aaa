//! The page that offers a form which met an ended session.

use std::time::Duration;

use minijinja::{Value, context};

/// The field whose value stands for the form.
pub const UNSENT_FIELD: &str = "foregate-unsent";

/// A form that can be sent after all.
#[derive(Clone, Copy, Debug)]
pub struct UnsentPage<'a> {
    /// Where it goes: a path on this host.
    pub target: &'a str,
    /// How large it is.
    pub bytes: usize,
    /// How long it is kept yet.
    pub left: Duration,
    /// What stands for it.
    pub token: &'a str,
    /// Proves that the form that throws it away is ours.
    pub csrf_token: &'a str,
    /// Where to go on when it is thrown away.
    pub return_to: &'a str,
    /// Whether it was tried just now, and did not arrive.
    pub failed: bool,
}

impl UnsentPage<'_> {
    pub(super) fn values(&self) -> Value {
        let Self { target, bytes, left, token, csrf_token, return_to, failed } = *self;
        let (size, left) = (size(bytes), minutes(left));
        context! { target, size, left, token, csrf_token, return_to, failed, field => UNSENT_FIELD }
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..1024 => format!("{bytes} bytes"),
        _ => format!("{} KiB", bytes.div_ceil(1024)),
    }
}

fn minutes(left: Duration) -> String {
    match left.as_secs().div_ceil(60) {
        0 | 1 => "one more minute".to_owned(),
        minutes => format!("{minutes} more minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_told_in_words() {
        assert_eq!([0, 1, 2, 1024, 1025].map(size), ["0 bytes", "1 byte", "2 bytes", "1 KiB", "2 KiB"]);
        let told = [0, 60, 61, 900].map(|seconds| minutes(Duration::from_secs(seconds)));
        assert_eq!(told, ["one more minute", "one more minute", "2 more minutes", "15 more minutes"]);
    }
}
