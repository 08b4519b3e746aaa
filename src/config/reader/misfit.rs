//! Values of another type than their key's.

use super::Value;
use super::fault::Complaint;

/// What is no list where one is expected.
pub(super) fn no_list(value: &Value<'_>) -> Complaint {
    misfit(value, "a list", "put it in brackets: [\"…\"]")
}

/// A value of one type where another is expected.
pub(super) fn misfit(value: &Value<'_>, expected: &'static str, remedy: &str) -> Complaint {
    let found = match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    };
    let what = format!("{found} stands where {expected} is expected");
    Complaint { expected: Some(expected), ..Complaint::new(what, remedy) }
}
