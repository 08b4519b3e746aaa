//! `[csrf]`: requests that other sites' pages have browsers send.

use super::PolicyMode;
use super::policy_mode::POLICY_MODES;
use super::reader::{Complaint, Section, Value, kind};
use crate::http::Origin;

/// The largest body that may be kept; a store's memory pays for it.
const MOST_KEPT: u64 = 1 << 20;

const USUALLY_KEPT: u64 = 64 << 10;

/// What becomes of a request that another site's page sent and that may change something.
#[derive(Clone, Debug)]
pub struct Csrf {
    /// For routes that say nothing else.
    pub mode: PolicyMode,
    /// The largest body, in bytes, that is kept of a form which met an ended session; zero: none is.
    pub keep_body: u64,
    /// Places whose pages may send what they like.
    pub trusted_origins: Vec<Origin>,
}

pub(super) fn read(section: &mut Section<'_>) -> Csrf {
    Csrf {
        mode: section.value("mode", kind::one_of(&POLICY_MODES), PolicyMode::Enforce),
        keep_body: section.value("keep_body", kind::size(0..=MOST_KEPT), USUALLY_KEPT),
        trusted_origins: section.list("trusted_origins", origin, Vec::new()),
    }
}

fn origin(value: &Value<'_>) -> Result<Origin, Complaint> {
    kind::text_as(|text| {
        if text == "null" {
            let remedy = "name the site's origin, or write csrf = \"report\" or \"off\" in the [[route]]";
            return Err(Complaint::new("\"null\" is what any page in a sandbox is called", remedy));
        }
        let remedy = "write one such as \"https://partner.example.com\" or \"https://[2001:db8::1]:8443\"";
        Origin::parse(text).ok_or_else(|| Complaint::new(format!("{text:?} is not an origin"), remedy))
    })(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::outcome;
    use super::*;

    fn trusted(origin: &str) -> Result<String, Vec<String>> {
        let text = format!("trusted_origins = [{origin:?}]");
        outcome(&text, read).map(|(csrf, _)| csrf.trusted_origins[0].to_string())
    }

    #[test]
    fn the_default_refuses_and_trusts_nobody() {
        let (csrf, _) = outcome("", read).unwrap();
        assert_eq!(csrf.mode, PolicyMode::Enforce);
        assert!(csrf.trusted_origins.is_empty());
        assert_eq!(csrf.keep_body, 65_536);
    }

    #[test]
    fn as_much_is_kept_of_a_form_as_is_said_or_nothing() {
        let kept = |text: &str| outcome(text, read).map(|(csrf, _)| csrf.keep_body);
        assert_eq!(kept("keep_body = \"0B\""), Ok(0));
        assert_eq!(kept("keep_body = \"1MiB\""), Ok(1 << 20));
        assert!(kept("keep_body = \"2MiB\"").unwrap_err()[0].contains("keep_body"));
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host_and_perhaps_a_port() {
        for (text, origin) in [
            ("https://Partner.example.com", "https://partner.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(trusted(text), Ok(origin.to_owned()));
        }
    }

    #[test]
    fn what_would_never_match_or_always_is_refused() {
        for text in [
            "https://partner.example.com/",
            "https://partner.example.com/form",
            "https://partner.example.com.",
            "https://*.example.com",
            "https://u@partner.example.com",
            "partner.example.com",
            "ftp://partner.example.com",
            "*",
        ] {
            let fault = trusted(text).unwrap_err().remove(0);
            assert!(fault.contains("trusted_origins[0]: ") && fault.contains("is not an origin"), "{fault}");
        }
        assert!(trusted("null").unwrap_err()[0].contains("sandbox"));
        assert!(trusted("").unwrap_err()[0].contains("is empty"));
    }
}
