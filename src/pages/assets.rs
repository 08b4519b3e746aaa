//! What pages are dressed in.

use std::fmt::Write;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file that the proxy serves itself.
#[derive(Debug)]
pub struct Asset {
    stem: &'static str,
    extension: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    name: LazyLock<String>,
}

pub(super) static STYLESHEET: Asset = Asset {
    stem: "style",
    extension: "css",
    content_type: "text/css; charset=utf-8",
    bytes: include_bytes!("assets/style.css"),
    name: LazyLock::new(|| STYLESHEET.hashed_name()),
};

impl Asset {
    /// Its name, in which its content's hash stands: a changed file has another name, so that browsers may keep
    /// it for ever.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn hashed_name(&self) -> String {
        let mut name = format!("{}.", self.stem);
        for byte in &Sha256::digest(self.bytes)[..8] {
            write!(name, "{byte:02x}").expect("a string takes all that is written");
        }
        name + "." + self.extension
    }
}

pub(super) fn find(name: &str) -> Option<&'static Asset> {
    (name == STYLESHEET.name()).then_some(&STYLESHEET)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2, success criterion 1.4.3, level AA.
    const READABLE: f64 = 4.5;

    const TEXT_ON_GROUND: [(&str, &str); 8] = [
        ("text", "card"),
        ("quiet", "card"),
        ("accent", "card"),
        ("on-accent", "accent"),
        ("on-accent", "accent-strong"),
        ("alert", "alert-ground"),
        ("good", "good-ground"),
        ("good", "card"),
    ];

    #[test]
    fn text_is_readable_in_the_light_and_in_the_dark() {
        let style = str::from_utf8(STYLESHEET.bytes).unwrap();
        let schemes: Vec<&str> = style.split(":root {").skip(1).collect();
        assert_eq!(schemes.len(), 2);
        for scheme in schemes {
            for (text, ground) in TEXT_ON_GROUND {
                let contrast = contrast(luminance(scheme, text), luminance(scheme, ground));
                assert!(contrast >= READABLE, "{text} on {ground}: {contrast:.2}");
            }
        }
    }

    fn contrast(one: f64, other: f64) -> f64 {
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// WCAG's relative luminance of a colour that `scheme` defines.
    fn luminance(scheme: &str, colour: &str) -> f64 {
        let digits = scheme.split(&format!("--{colour}: #")).nth(1).expect(colour);
        let channel = |at: usize| {
            let share = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
    }
}
