//! Kinds of values: each reads a value or says what is wrong with it.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Value;
use super::fault::Complaint;
use super::misfit::misfit;
use super::nearest::nearest;
use crate::base::rate::{self, Rate};
use crate::base::{duration as span, size as bytes};

const DURATION: &str = "write a whole number and one of ms, s, m, h, d, such as \"30s\"";
const RATE: &str = "write a whole number, a slash, and one of s, m, h, such as \"5/m\", or \"off\"";
const SIZE: &str = "write a whole number and one of B, KiB, MiB, GiB, such as \"64KiB\"";

/// `true` or `false`.
///
/// # Errors
/// Where it is anything else.
pub fn boolean(value: &Value<'_>) -> Result<bool, Complaint> {
    value.as_bool().ok_or_else(|| misfit(value, "true or false", "write one of them, without quotes"))
}

/// Text that is not empty.
///
/// # Errors
/// Where it is empty or no text.
pub fn text(value: &Value<'_>) -> Result<String, Complaint> {
    text_as(|text| Ok(text.to_owned()))(value)
}

/// What `parse` makes of a text that is not empty.
pub fn text_as<T>(
    parse: impl Fn(&str) -> Result<T, Complaint>,
) -> impl Fn(&Value<'_>) -> Result<T, Complaint> {
    move |value| match value.as_str() {
        Some("") => Err(Complaint::new("is empty", "write something, or leave the key out")),
        Some(text) => parse(text),
        None if value.is_array() || value.is_table() => Err(misfit(value, "text", "write one text: \"…\"")),
        None => Err(misfit(value, "text", "put it in quotes")),
    }
}

/// A whole number within `range`.
pub fn number<T>(range: RangeInclusive<T>) -> impl Fn(&Value<'_>) -> Result<T, Complaint>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    move |value| {
        let Some(integer) = value.as_integer() else {
            return Err(misfit(value, "a whole number", "write digits alone, without quotes"));
        };
        i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let remedy = format!("write one from {} to {}", range.start(), range.end());
                Complaint::new(format!("{integer} is out of range"), remedy)
            })
    }
}

/// A duration; zero is one.
///
/// # Errors
/// Where it is no duration.
pub fn duration(value: &Value<'_>) -> Result<Duration, Complaint> {
    measure(value, DURATION, |text| {
        span::parse(text).map_err(|_| Complaint::new(format!("{text:?} is not a duration"), DURATION))
    })
}

/// A duration that is not zero.
///
/// # Errors
/// Where it is no duration, or zero.
pub fn positive_duration(value: &Value<'_>) -> Result<Duration, Complaint> {
    match duration(value)? {
        Duration::ZERO => Err(Complaint::new("is zero", "write a longer time")),
        span => Ok(span),
    }
}

/// A duration of whole seconds, one at least.
///
/// # Errors
/// Where it is no duration, or shorter.
pub fn whole_seconds(value: &Value<'_>) -> Result<Duration, Complaint> {
    match positive_duration(value)? {
        span if span.subsec_nanos() > 0 => Err(Complaint::new("is counted in seconds", "write whole ones")),
        span => Ok(span),
    }
}

/// A rate; `None` where it is `"off"`.
///
/// # Errors
/// Where it is neither.
pub fn rate(value: &Value<'_>) -> Result<Option<Rate>, Complaint> {
    measure(value, RATE, |text| match text {
        "off" => Ok(None),
        _ => match rate::parse(text) {
            Ok(rate) => Ok(Some(rate)),
            Err(_) => Err(Complaint::new(format!("{text:?} is not a rate"), RATE)),
        },
    })
}

/// A size in bytes within `range`.
pub fn size(range: RangeInclusive<u64>) -> impl Fn(&Value<'_>) -> Result<u64, Complaint> {
    let parse = move |text: &str| {
        let bytes =
            bytes::parse(text).map_err(|_| Complaint::new(format!("{text:?} is not a size"), SIZE))?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        let (least, most) = (bytes::format(*range.start()), bytes::format(*range.end()));
        Err(Complaint::new(format!("{text:?} is out of range"), format!("write one from {least} to {most}")))
    };
    move |value| measure(value, SIZE, &parse)
}

/// A text that is a number and its unit, which people tend to leave out.
fn measure<T>(
    value: &Value<'_>,
    remedy: &str,
    parse: impl Fn(&str) -> Result<T, Complaint>,
) -> Result<T, Complaint> {
    match value.as_integer() {
        Some(number) => Err(Complaint::new(format!("{number} has no unit"), remedy)),
        None => text_as(parse)(value),
    }
}

/// One of a closed set of words, each with what it stands for.
pub fn one_of<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Value<'_>) -> Result<T, Complaint> {
    text_as(|text| {
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*meaning);
        }
        let allowed: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let remedy = match nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean {word:?}?"),
            None => "write one of these".to_owned(),
        };
        Err(Complaint::new(format!("{text:?} is not one of {}", allowed.join(", ")), remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        Value::parse(text).unwrap().into_inner()
    }

    #[test]
    fn a_number_keeps_to_its_range() {
        let port = number(0..=u16::MAX);
        assert_eq!(port(&value("0x1F90")), Ok(8080));
        for text in ["-1", "65536", "99999999999999999999"] {
            let complaint = port(&value(text)).unwrap_err();
            assert_eq!(complaint.to_string(), format!("{text} is out of range (write one from 0 to 65535)"));
        }
        assert!(port(&value("8080.0")).is_err());
        assert!(port(&value("\"8080\"")).is_err());
    }

    #[test]
    fn a_duration_that_must_be_positive_is_not_zero() {
        assert_eq!(duration(&value("\"0s\"")), Ok(Duration::ZERO));
        assert_eq!(positive_duration(&value("\"0ms\"")).unwrap_err().what, "is zero");
        assert!(duration(&value("30")).is_err());
        assert!(duration(&value("\"30\"")).is_err());
    }

    #[test]
    fn a_rate_is_a_number_and_a_time_or_off() {
        assert_eq!(rate(&value("\"off\"")), Ok(None));
        assert_eq!(rate(&value("\"20/m\"")).unwrap().map(Rate::count), Some(20));
        assert_eq!(rate(&value("20")).unwrap_err().what, "20 has no unit");
        assert_eq!(rate(&value("\"0/m\"")).unwrap_err().what, "\"0/m\" is not a rate");
        assert_eq!(rate(&value("\"Off\"")).unwrap_err().what, "\"Off\" is not a rate");
    }

    #[test]
    fn an_unknown_word_meets_the_known_ones() {
        let level = one_of(&[("info", 1), ("debug", 2)]);
        assert_eq!(level(&value("\"debug\"")), Ok(2));
        assert_eq!(
            level(&value("\"debgu\"")).unwrap_err().to_string(),
            "\"debgu\" is not one of \"info\", \"debug\" (did you mean \"debug\"?)"
        );
        assert_eq!(
            level(&value("\"loud\"")).unwrap_err().to_string(),
            "\"loud\" is not one of \"info\", \"debug\" (write one of these)"
        );
    }
}
