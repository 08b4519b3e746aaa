//! Rates as the configuration writes them: `5/m`, `20/s`, `100/h`.

use std::num::NonZeroU32;
use std::time::Duration;

const UNITS: [(&str, u64); 3] = [("h", 3_600), ("m", 60), ("s", 1)];

/// More than anybody needs; beyond a million a second there is less than a microsecond for each.
const MOST: u32 = 1_000_000;

/// So many at once, and then one more after each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    interval: Duration,
}

impl Rate {
    /// `count` at once, which drain evenly within `span`.
    ///
    /// # Panics
    /// Where there is nothing to count.
    pub const fn per(count: u32, span: Duration) -> Self {
        let count = NonZeroU32::new(count).expect("a rate counts something");
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a rate's span is far below half a million years"
        )]
        let micros = span.as_micros() as u64;
        Self { count, interval: Duration::from_micros(micros / count.get() as u64) }
    }

    /// How many at once.
    pub const fn count(self) -> u32 {
        self.count.get()
    }

    /// How long each of them counts: the time divided evenly, in whole microseconds.
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// How long as many as there may be count together.
    pub const fn span(self) -> Duration {
        self.interval.saturating_mul(self.count.get())
    }
}

/// Reads a rate: a whole number from one to a million, a slash, and `s`, `m` or `h`.
///
/// # Errors
/// Where the text is anything else.
pub fn parse(text: &str) -> Result<Rate, NotARate> {
    let (number, unit) = text.split_once('/').ok_or(NotARate)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotARate);
    }
    let count: NonZeroU32 = number.parse().map_err(|_| NotARate)?;
    let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(NotARate)?;
    if count.get() > MOST {
        return Err(NotARate);
    }
    Ok(Rate::per(count.get(), Duration::from_secs(seconds)))
}

/// The text is not a rate.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a rate: a whole number from 1 to 1000000, a slash, and one of s, m, h, such as \"5/m\"")]
pub struct NotARate;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_so_many_at_once_and_then_one_after_each_interval() {
        for (text, count, micros) in [
            ("5/m", 5, 12_000_000),
            ("20/s", 20, 50_000),
            ("100/h", 100, 36_000_000),
            ("7/m", 7, 8_571_428),
            ("1000000/s", 1_000_000, 1),
        ] {
            let rate = parse(text).unwrap();
            assert_eq!((rate.count(), rate.interval()), (count, Duration::from_micros(micros)), "{text}");
            assert_eq!(rate.span(), Duration::from_micros(micros) * count);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "5", "/m", "5/", "0/m", "-5/m", "+5/m", "5 / m", "5/d", "5/M", "5/m/s", "1.5/m", "1000001/s"]
        {
            assert_eq!(parse(text), Err(NotARate), "{text}");
        }
    }
}
