//! The dates of cookies: read as browsers read them (RFC 6265bis §5.1.1), written as HTTP writes dates.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, Month, OffsetDateTime, Time};

use crate::base::clock::Timestamp;

const IMF_FIXDATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// The first year that browsers take.
const FIRST_YEAR: i32 = 1601;

/// The moment that `text` names, in whatever order it tells the parts; `None` where one is missing or cannot be.
pub(super) fn parse(text: &[u8]) -> Option<Timestamp> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|byte| is_delimiter(*byte)).filter(|token| !token.is_empty()) {
        if time.is_none() && set(&mut time, clock_time(token)) {
            continue;
        }
        if day.is_none() && set(&mut day, leading_number(token, 1..=2)) {
            continue;
        }
        if month.is_none() && set(&mut month, month_of(token)) {
            continue;
        }
        if year.is_none() {
            year = leading_number(token, 2..=4);
        }
    }
    let year = Some(full_year(year?)).filter(|year| *year >= FIRST_YEAR)?;
    let date = Date::from_calendar_date(year, month?, u8::try_from(day?).ok()?).ok()?;
    let [hour, minute, second] = time?;
    let time = Time::from_hms(hour, minute, second).ok()?;
    Some(Timestamp::from_seconds(date.with_time(time).assume_utc().unix_timestamp()))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
pub(super) fn format(moment: Timestamp) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(moment.seconds()).ok();
    moment
        .and_then(|moment| moment.format(IMF_FIXDATE).ok())
        .expect("four digits make the year of a parsed date")
}

fn set<T>(part: &mut Option<T>, found: Option<T>) -> bool {
    *part = found;
    part.is_some()
}

const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'/' | b';'..=b'@' | b'['..=b'`' | b'{'..=b'~')
}

/// `8:49:37`, whatever follows the digits.
fn clock_time(token: &[u8]) -> Option<[u8; 3]> {
    let mut fields = token.splitn(3, |byte| *byte == b':');
    let mut whole = || {
        let field = fields.next()?;
        leading_number(field, 1..=2).filter(|_| field.iter().all(u8::is_ascii_digit))
    };
    let parts = [whole()?, whole()?, leading_number(fields.next()?, 1..=2)?];
    Some(parts.map(|part| u8::try_from(part).expect("two digits fit")))
}

/// The number that `token` begins with, where it has so many digits.
fn leading_number(token: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let length = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !digits.contains(&length) {
        return None;
    }
    str::from_utf8(&token[..length]).ok()?.parse().ok()
}

fn month_of(token: &[u8]) -> Option<Month> {
    let start = token.get(..3)?;
    let index = MONTHS.iter().position(|month| start.eq_ignore_ascii_case(*month))?;
    Month::try_from(u8::try_from(index + 1).ok()?).ok()
}

/// Two digits stand for a year from 1970 to 2069.
fn full_year(year: u16) -> i32 {
    let century = match year {
        70..=99 => 1900,
        0..=69 => 2000,
        _ => 0,
    };
    century + i32::from(year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_found_in_whatever_way_servers_write_it() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "06 nov 1994 8:49:37",
            "1994 NOVEMBER 06 08:49:37 PST",
            "8:49:37x 6th Nov 94",
            "06/Nov/1994\t08:49:37",
        ] {
            let moment = parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(format(moment), "Sun, 06 Nov 1994 08:49:37 GMT", "{text}");
        }
        assert_eq!(parse(b"Thu, 01-Jan-1970 00:00:00 GMT"), Some(Timestamp::from_seconds(0)));
        assert_eq!(format(parse(b"31 Dec 9999 23:59:59").unwrap()), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(format(parse(b"01 Jan 1601 00:00:00").unwrap()), "Mon, 01 Jan 1601 00:00:00 GMT");
    }

    #[test]
    fn what_names_no_moment_is_no_date() {
        for text in [
            "",
            "0",
            "-1",
            "tomorrow",
            "06 Nov 1994",
            "06 Nov 08:49:37",
            "Nov 1994 08:49:37",
            "06 1994 08:49:37",
            "31 Feb 2030 08:49:37",
            "00 Nov 1994 08:49:37",
            "06 Nov 1600 08:49:37",
            "06 Nov 19945 08:49:37",
            "06 Nov 1994 24:00:00",
            "06 Nov 1994 08:60:37",
            "06 Nov 1994 08:49:60",
            "06 Nov 1994 08:49",
            "06 Nov 1994 108:49:37",
            "06 Nov 1994 08:49x:37",
            "\u{ff}\u{0}",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
