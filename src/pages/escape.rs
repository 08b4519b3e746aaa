//! Text in HTML. The library's own escaping turns every slash into `&#x2f;`, which nobody can read.

use minijinja::{Error, Output, State, Value};

/// Writes a value as text; only what is marked as safe stays as it is.
pub(super) fn formatter(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = value.to_string();
    if value.is_safe() { Ok(out.write_str(&text)?) } else { Ok(out.write_str(&escaped(&text))?) }
}

/// The five characters that mean something in text and in attributes, as references.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_ends_a_text_or_an_attribute_gets_through() {
        assert_eq!(
            escaped("<a href='x' b=\"y\">&amp;/"),
            "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;amp;/"
        );
    }
}
