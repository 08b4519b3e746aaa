//! One JSON object a line, in which nothing moves a terminal's cursor or turns text around.

use serde::Serialize;

/// So many bytes of what a client chose are kept: names, addresses, methods.
pub(super) const LONGEST: usize = 1024;

/// The object as a line. JSON escapes what is below U+0020; a terminal also obeys what is from U+007F to U+009F,
/// and a reader is led astray by marks of direction (Unicode TR36 §3.4).
pub(super) fn line(object: &impl Serialize) -> Vec<u8> {
    escaped(serde_json::to_string(object).expect("strings and numbers are always JSON")).into_bytes()
}

/// The value over several lines, as safe to look at.
///
/// # Panics
/// Where it is none that JSON has.
pub fn pretty(value: &impl Serialize) -> String {
    escaped(serde_json::to_string_pretty(value).expect("strings and numbers are always JSON"))
}

/// Text from outside for a terminal: on one line, with what is obeyed rather than shown as an escape.
pub fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_treacherous(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

fn escaped(json: String) -> String {
    if !json.contains(is_treacherous) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 64);
    for character in json.chars() {
        if is_treacherous(character) {
            safe.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            safe.push(character);
        }
    }
    safe
}

fn is_treacherous(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// The beginning of a text that a client chose.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_reads_back() {
        let text = "a\u{1b}[31m\u{9b}31m\u{7f}\u{202e}\u{2066}\r\nü";
        let line = String::from_utf8(line(&text)).unwrap();
        assert!(line.is_ascii() || line.chars().all(|c| !c.is_control() && !is_treacherous(c)), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        assert_eq!(plain(text), "a\\u{1b}[31m\\u{9b}31m\\u{7f}\\u{202e}\\u{2066}\\u{d}\\u{a}ü");
        let pretty = pretty(&[text]);
        assert!(pretty.chars().all(|c| c == '\n' || !c.is_control() && !is_treacherous(c)), "{pretty}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&pretty).unwrap(), [text]);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let long = "ü".repeat(LONGEST);
        assert_eq!(cut(&long).len(), LONGEST);
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&format!("a{long}")).len(), LONGEST - 1);
    }
}
