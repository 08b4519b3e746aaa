//! `[hsts]`: HTTP Strict Transport Security (RFC 6797).

use std::time::Duration;

use super::reader::{Section, kind};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// The policy sent on every response over TLS.
#[derive(Clone, Debug)]
pub struct Hsts {
    /// Whether it is sent at all.
    pub enabled: bool,
    /// How long a browser remembers it.
    pub max_age: Duration,
    /// Whether it covers sub-domains.
    pub include_subdomains: bool,
    /// Whether the site asks to be in browsers' preload lists.
    pub preload: bool,
}

pub(super) fn read(section: &mut Section<'_>) -> Hsts {
    let hsts = Hsts {
        enabled: section.value("enabled", kind::boolean, true),
        max_age: section.value("max_age", kind::duration, YEAR),
        include_subdomains: section.value("include_subdomains", kind::boolean, false),
        preload: section.value("preload", kind::boolean, false),
    };
    if hsts.preload && !hsts.include_subdomains {
        let remedy = "add include_subdomains = true, or leave preload out";
        section.error("preload", "is for sites whose sub-domains are covered", remedy);
    }
    if hsts.preload && hsts.max_age < YEAR {
        section.error(
            "max_age",
            "is too short for preload lists",
            "write \"365d\" or more, or leave preload out",
        );
    }
    hsts
}

#[cfg(test)]
mod tests {
    use super::super::testing::outcome;
    use super::*;

    #[test]
    fn the_default_covers_the_host_for_a_year() {
        let (hsts, _) = outcome("", read).unwrap();
        assert!(hsts.enabled && !hsts.include_subdomains && !hsts.preload);
        assert_eq!(hsts.max_age, YEAR);
    }

    #[test]
    fn preload_needs_what_the_lists_ask_for() {
        assert!(outcome("preload = true\ninclude_subdomains = true", read).is_ok());
        let faults = outcome("max_age = \"364d\"\npreload = true", read).unwrap_err();
        assert!(faults[0].starts_with("error: max_age: is too short"), "{faults:?}");
        assert!(faults[1].starts_with("error: preload: is for sites"), "{faults:?}");
    }
}
