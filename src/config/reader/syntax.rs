//! What the parser finds, in words for whoever wrote the file.

use super::fault::Complaint;

/// What to do, by what the parser says is wrong: its own words name at most the sign that it waited for.
const REMEDIES: [(&str, &str); 12] = [
    ("string values must be quoted", "put it in straight quotes: \"…\""),
    ("invalid basic string, expected `\"`", "end the text with \" on its line"),
    ("invalid literal string, expected `'`", "end the text with ' on its line"),
    ("missing escaped value", BACKSLASH),
    ("too few unicode value digits", BACKSLASH),
    ("key with no value", "write KEY = VALUE"),
    ("unexpected key or value", "start a line for each key"),
    ("unclosed table", "end the header with ]"),
    ("unclosed array table", "end the header with ]]"),
    ("unclosed array", "end the list with ]"),
    ("unclosed inline table", "end it with }"),
    ("missing comma", "put a comma between the two"),
];

const BACKSLASH: &str = "write \\\\ for a backslash, or put the text in single quotes";

/// What is wrong, and the way out.
pub(super) fn complaint(message: &str) -> Complaint {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let remedy = match REMEDIES.iter().find(|(start, _)| message.starts_with(start)) {
        Some((_, remedy)) => (*remedy).to_owned(),
        None if expected == "nothing" => "take it out".to_owned(),
        None if !expected.is_empty() => format!("expected {expected}"),
        None => "see https://toml.io for how it is written".to_owned(),
    };
    Complaint::new(what, remedy)
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    /// The parser words these itself: another version of it may say them otherwise.
    #[test]
    fn what_the_parser_finds_has_a_way_out() {
        for (text, says) in [
            ("a = b", "string values must be quoted (put it in straight quotes: \"…\")"),
            ("a = “b”", "string values must be quoted (put it in straight quotes: \"…\")"),
            ("a = \"b", "invalid basic string (end the text with \" on its line)"),
            ("a = 'b", "invalid literal string (end the text with ' on its line)"),
            (
                "a = \"C:\\work\"",
                "missing escaped value (write \\\\ for a backslash, or put the text in single quotes)",
            ),
            ("a", "key with no value (write KEY = VALUE)"),
            (
                "a = \"\\ux\"",
                "too few unicode value digits (write \\\\ for a backslash, or put the text in single quotes)",
            ),
            ("a = 1 b = 2", "unexpected key or value (start a line for each key)"),
            ("[a", "unclosed table (end the header with ])"),
            ("[[a]", "unclosed array table (end the header with ]])"),
            ("a = [1", "unclosed array (end the list with ])"),
            ("a = [\"b\" \"c\"]", "missing comma between array elements (put a comma between the two)"),
            ("a = { b = 1", "unclosed inline table (end it with })"),
            ("a == 1", "extra `=` (take it out)"),
        ] {
            let (_, errors) = DeTable::parse_recoverable(text);
            assert_eq!(complaint(errors[0].message()).to_string(), says, "{text}");
        }
    }
}
