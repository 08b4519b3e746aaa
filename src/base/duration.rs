//! Durations as the configuration writes them: `250ms`, `30s`, `15m`, `24h`, `7d`.

use std::time::Duration;

/// Reads a duration: a whole number and one unit.
///
/// # Errors
/// Where the text is anything else, or more than can be counted.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| NotADuration)?;
    let seconds_each = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(NotADuration),
    };
    number.checked_mul(seconds_each).map(Duration::from_secs).ok_or(NotADuration)
}

/// Writes a duration in the largest unit that loses nothing.
pub fn format(span: Duration) -> String {
    if span.subsec_millis() > 0 {
        return format!("{}ms", span.as_millis());
    }
    let seconds = span.as_secs();
    [(86_400, "d"), (3_600, "h"), (60, "m")]
        .into_iter()
        .find(|(each, _)| seconds > 0 && seconds.is_multiple_of(*each))
        .map_or_else(|| format!("{seconds}s"), |(each, unit)| format!("{}{unit}", seconds / each))
}

/// The text is not a duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: a whole number and one of ms, s, m, h, d, such as \"30s\"")]
pub struct NotADuration;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("15m", 900_000), ("24h", 86_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["250ms", "30s", "15m", "23h", "7d", "0s"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "s", "10", "10 s", "1.5h", "-1s", "1h30m", "10S", "٣s", "99999999999999999999d"] {
            assert_eq!(parse(text), Err(NotADuration), "{text}");
        }
        assert_eq!(parse("999999999999999999d"), Err(NotADuration));
    }
}
