//! `[headers]`: what browsers are told where an application tells them nothing, and what they are not told.

use http::{HeaderName, HeaderValue, header};

use super::reader::{Complaint, Section, Value, kind};

/// Headers of applications' answers.
#[derive(Clone, Debug)]
pub struct Headers {
    /// Set where the application sent none.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Removed, before the others are set.
    pub remove: Vec<HeaderName>,
}

/// A header that is set: its key, its name, its default, and what may stand there.
type Settable = (&'static str, HeaderName, &'static str, Words);

/// What may stand in a header.
#[derive(Clone, Copy)]
enum Words {
    /// One of these: browsers pass over anything else.
    One(&'static [&'static str]),
    /// Some of these, between commas: the last that a browser knows counts.
    List(&'static [&'static str]),
    /// A language of its own.
    Any,
}

const REFERRER_POLICIES: [&str; 8] = [
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];

const OPENER_POLICIES: [&str; 4] =
    ["unsafe-none", "same-origin-allow-popups", "same-origin", "noopener-allow-popups"];

const SETTABLE: [Settable; 6] = [
    ("x_content_type_options", header::X_CONTENT_TYPE_OPTIONS, "nosniff", Words::One(&["nosniff"])),
    ("x_frame_options", header::X_FRAME_OPTIONS, "SAMEORIGIN", Words::One(&["SAMEORIGIN", "DENY"])),
    (
        "referrer_policy",
        header::REFERRER_POLICY,
        "strict-origin-when-cross-origin",
        Words::List(&REFERRER_POLICIES),
    ),
    ("content_security_policy", header::CONTENT_SECURITY_POLICY, "", Words::Any),
    ("permissions_policy", HeaderName::from_static("permissions-policy"), "", Words::Any),
    (
        "cross_origin_opener_policy",
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin-allow-popups",
        Words::One(&OPENER_POLICIES),
    ),
];

const REMOVED: [&str; 3] = ["server", "x-powered-by", "x-aspnet-version"];

/// Without these an answer is another one, or the proxy sets them itself.
const KEPT: [HeaderName; 13] = [
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::LOCATION,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::VARY,
    HeaderName::from_static("x-request-id"),
];

pub(super) fn read(section: &mut Section<'_>) -> Headers {
    let set = SETTABLE.into_iter().filter_map(|(key, name, default, words)| {
        let value = section.value(key, words.kind(), default.to_owned());
        let value = HeaderValue::from_str(&value).expect("it was read as one");
        (!value.is_empty()).then_some((name, value))
    });
    Headers {
        set: set.collect(),
        remove: section.list("remove", removable, REMOVED.map(HeaderName::from_static).into()),
    }
}

impl Words {
    /// The kind of the header's value; an empty one sends none.
    fn kind(self) -> impl Fn(&Value<'_>) -> Result<String, Complaint> {
        move |value| match value.as_str() {
            Some("") => Ok(String::new()),
            _ => kind::text_as(|text| self.check(text))(value),
        }
    }

    fn check(self, text: &str) -> Result<String, Complaint> {
        let known = match self {
            Self::One(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
            Self::List(words) => text.split(',').all(|item| words.contains(&item.trim())),
            Self::Any => true,
        };
        match self {
            Self::One(words) | Self::List(words) if !known => {
                let remedy = format!("write {}, or \"\" to send none", quoted(words));
                Err(Complaint::new(format!("{text:?} means nothing to a browser"), remedy))
            }
            _ if !is_plain(text) => {
                let remedy = "write one line of visible ASCII characters";
                Err(Complaint::new(format!("{text:?} cannot stand in a header"), remedy))
            }
            _ => Ok(text.to_owned()),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(" or ")
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn removable(value: &Value<'_>) -> Result<HeaderName, Complaint> {
    kind::text_as(|text| {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
            Complaint::new(format!("{text:?} is not a header's name"), "write one such as \"X-Generator\"")
        })?;
        if KEPT.contains(&name) {
            return Err(Complaint::new(format!("an answer cannot do without {text:?}"), "leave it out"));
        }
        Ok(name)
    })(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::outcome;
    use super::*;

    fn set(text: &str) -> Vec<String> {
        let (headers, _) = outcome(text, read).unwrap_or_else(|faults| panic!("{faults:?}"));
        headers.set.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    fn fault(text: &str) -> String {
        let mut faults = outcome(text, read).map(|_| ()).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.remove(0)
    }

    #[test]
    fn the_defaults_break_few_applications() {
        assert_eq!(
            set(""),
            [
                "x-content-type-options: nosniff",
                "x-frame-options: SAMEORIGIN",
                "referrer-policy: strict-origin-when-cross-origin",
                "cross-origin-opener-policy: same-origin-allow-popups",
            ]
        );
        let (headers, _) = outcome("", read).unwrap();
        assert_eq!(headers.remove, REMOVED);
    }

    #[test]
    fn what_is_empty_is_not_sent() {
        let none: String = SETTABLE.map(|(key, ..)| format!("{key} = \"\"\n")).concat();
        assert_eq!(set(&none), [""; 0]);
        let one = none.replace("x_frame_options = \"\"", "x_frame_options = \"deny\"");
        assert_eq!(set(&one), ["x-frame-options: deny"]);
    }

    #[test]
    fn what_no_browser_understands_is_refused() {
        for text in [
            "x_content_type_options = \"no-sniff\"",
            "x_frame_options = \"ALLOW-FROM https://a.test\"",
            "referrer_policy = \"never\"",
            "referrer_policy = \"no-referrer,\"",
            "cross_origin_opener_policy = \"none\"",
        ] {
            assert!(fault(text).contains("means nothing to a browser"), "{text}");
        }
        assert_eq!(
            set("referrer_policy = \"no-referrer, same-origin\"")[2],
            "referrer-policy: no-referrer, same-origin"
        );
    }

    #[test]
    fn no_value_begins_another_line() {
        for text in ["a\\nX-Injected: b", "a\\rb", "a\\u0000b", "é", "a\\tb"] {
            let fault = fault(&format!("content_security_policy = \"{text}\""));
            assert!(fault.contains("cannot stand in a header"), "{fault}");
        }
    }

    #[test]
    fn what_an_answer_is_made_of_is_not_removed() {
        for name in KEPT {
            let spelled = name.as_str().to_ascii_uppercase();
            assert!(fault(&format!("remove = [{spelled:?}]")).contains("cannot do without"), "{name}");
        }
        assert!(fault("remove = [\"X Generator\"]").contains("is not a header's name"));
    }
}
