//! Reads a page as a browser does, as far as it takes to see its tags.

/// A tag with its attributes; an end tag's name starts with a slash.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    /// Its name and its attributes', without values.
    pub(super) fn shape(&self) -> Vec<&str> {
        [self.name.as_str()]
            .into_iter()
            .chain(self.attributes.iter().map(|(name, _)| name.as_str()))
            .collect()
    }
}

/// The tags of a document, in their order.
pub(super) fn tags(html: &str) -> Vec<Tag> {
    html.split('<')
        .skip(1)
        .filter(|rest| rest.starts_with(|c: char| c == '/' || c.is_alphabetic()))
        .map(tag)
        .collect()
}

/// The tag at the start of `rest`, which ends before the next `<` at the latest.
fn tag(rest: &str) -> Tag {
    let (name, mut rest) = rest.split_at(end_of_name(&rest[1..]) + 1);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if rest.is_empty() || rest.starts_with('>') {
            return Tag { name: name.to_ascii_lowercase(), attributes };
        }
        // An equals sign at the start of a name is a part of it (HTML §13.2.5.32).
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let (attribute, after) = rest.split_at(first + end_of_name(&rest[first..]));
        let (value, after) = value(after);
        attributes.push((attribute.to_ascii_lowercase(), value.to_owned()));
        rest = after;
    }
}

fn end_of_name(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || "=>/".contains(c)).unwrap_or(text.len())
}

/// An attribute's value, and what comes after it.
fn value(text: &str) -> (&str, &str) {
    let Some(text) = text.trim_start().strip_prefix('=') else { return ("", text) };
    let text = text.trim_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    text.split_at(text.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_however_they_are_written() {
        let tags = tags("a < b <INPUT name=a VALUE='b c' type=\"d>\" required/><p></p><a");
        let names: Vec<&str> = tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, ["input", "p", "/p", "a"]);
        assert_eq!(tags[0].shape(), ["input", "name", "value", "type", "required"]);
        let values = ["name", "value", "type", "required"].map(|name| tags[0].attribute(name));
        assert_eq!(values, [Some("a"), Some("b c"), Some("d>"), Some("")]);
    }

    #[test]
    fn an_unquoted_value_ends_at_a_space() {
        assert_eq!(tags("<a href=x onclick=y>")[0].shape(), ["a", "href", "onclick"]);
        assert_eq!(tags("<a =x é='1'>")[0].shape(), ["a", "=x", "é"]);
    }
}
