//! Reads a page as a browser does, as far as tests need it.

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

/// The tag at the start of `rest`. No `<` stands in a value, or it would be cut there and lack its quote.
fn tag(rest: &str) -> Tag {
    let (name, mut rest) = rest.split_at(rest.find([' ', '>']).expect("a tag's name ends"));
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.starts_with('>') {
            return Tag { name: name.to_owned(), attributes };
        }
        let (attribute, after) = rest.split_at(rest.find(['=', ' ', '>']).expect("a tag ends"));
        let (value, after) = match after.strip_prefix("=\"") {
            Some(quoted) => quoted.split_once('"').expect("a value ends"),
            None => ("", after),
        };
        assert!(!after.starts_with('='), "{name} {attribute}: values stand in double quotes");
        attributes.push((attribute.to_owned(), value.to_owned()));
        rest = after;
    }
}
