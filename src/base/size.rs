//! Sizes as the configuration writes them: `512B`, `64KiB`, `10MiB`, `1GiB`.

/// Reads a size in bytes: a whole number and one unit.
///
/// # Errors
/// Where the text is anything else, or more than can be counted.
pub fn parse(text: &str) -> Result<u64, NotASize> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| NotASize)?;
    let (_, each) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(NotASize)?;
    number.checked_mul(each).ok_or(NotASize)
}

/// Writes a size in the largest unit that loses nothing.
pub fn format(bytes: u64) -> String {
    let unit = UNITS.into_iter().find(|(_, each)| bytes >= *each && bytes.is_multiple_of(*each));
    unit.map_or_else(|| format!("{bytes}B"), |(name, each)| format!("{}{name}", bytes / each))
}

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// The text is not a size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size: a whole number and one of B, KiB, MiB, GiB, such as \"64KiB\"")]
pub struct NotASize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written() {
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("10MiB", 10_485_760), ("1GiB", 1 << 30)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
            assert_eq!(format(bytes), text);
        }
        assert_eq!(format(1025), "1025B");
        assert_eq!(format(0), "0B");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "KiB", "10", "10 KiB", "1.5MiB", "-1B", "10KB", "10kib", "99999999999GiB"] {
            assert_eq!(parse(text), Err(NotASize), "{text}");
        }
    }
}
