//! `[cookies]` and `[[cookies.rule]]`: what applications set in browsers.

mod pattern;
mod rule;

use super::context::Context;
use super::policy_mode::{POLICY_MODES, PolicyMode};
use super::reader::{Section, kind};
use super::session::{SAME_SITE, SessionCookie};
use crate::http::SameSite;

pub use pattern::NamePattern;
pub use rule::CookieRule;

/// The policy for applications' cookies.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// Whether it is kept.
    pub mode: PolicyMode,
    /// Whether they are `Secure`.
    pub secure: bool,
    /// Whether they are `HttpOnly`.
    pub http_only: bool,
    /// Those that `http_only` does not apply to: the application's scripts read them.
    pub script_readable: Vec<NamePattern>,
    /// The least strict `SameSite` that passes; a cookie without one gets it.
    pub same_site: SameSite,
    /// Whether they are for one host alone.
    pub drop_domain: bool,
    /// Those that are left alone.
    pub exempt: Vec<NamePattern>,
    /// What holds for some instead, in the file's order.
    pub rules: Vec<CookieRule>,
}

/// Names by which libraries hand a token to the application's scripts.
const SCRIPT_READABLE: [&str; 4] = ["XSRF-TOKEN", "CSRF-TOKEN", "csrftoken", "_csrf*"];

pub(super) fn read(section: &mut Section<'_>, own: &SessionCookie, context: Context<'_>) -> Cookies {
    let name = || kind::text_as(pattern::parse);
    let script_readable = SCRIPT_READABLE.map(|text| pattern::parse(text).expect("these are names")).to_vec();
    let mut cookies = Cookies {
        mode: section.value("mode", kind::one_of(&POLICY_MODES), PolicyMode::Enforce),
        secure: section.value("secure", kind::boolean, true),
        http_only: section.value("http_only", kind::boolean, true),
        script_readable: section.list("script_readable", name(), script_readable),
        same_site: section.value("same_site", kind::one_of(&SAME_SITE), SameSite::Lax),
        drop_domain: section.value("drop_domain", kind::boolean, true),
        exempt: section.list("exempt", name(), Vec::new()),
        rules: Vec::new(),
    };
    if !cookies.secure && cookies.same_site == SameSite::None {
        section.error("same_site", "is \"none\", which needs secure", "set secure = true, or write \"lax\"");
    }
    if !cookies.secure && context.in_production() {
        section.warn("secure", "is false: browsers send these cookies in clear text, too", "leave it out");
    }
    cookies.rules = rule::read_all(section, &cookies, own);
    cookies
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{development, lines, outcome, production};
    use super::super::{HostPattern, server, session};
    use super::*;

    fn read_all(text: &str, context: Context<'_>) -> Result<(Cookies, Vec<String>), Vec<String>> {
        let read = outcome(text, |root| {
            let server = root.table("server", |section| server::read(section, context));
            let session = root.table("session", |section| session::read(section, &server, context));
            root.table("cookies", |section| read(section, &session.cookie, context))
        });
        read.map(|(cookies, warnings)| (cookies, lines(&warnings)))
    }

    fn cookies(text: &str) -> Result<Cookies, Vec<String>> {
        read_all(text, development(&[])).map(|(cookies, _)| cookies)
    }

    fn only_fault(text: &str) -> String {
        let faults = cookies(text).unwrap_err();
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        faults[0].clone()
    }

    #[test]
    fn the_default_is_as_strict_as_most_applications_bear() {
        let cookies = cookies("").unwrap();
        assert_eq!((cookies.mode, cookies.same_site), (PolicyMode::Enforce, SameSite::Lax));
        assert!(cookies.secure && cookies.http_only && cookies.drop_domain);
        assert!(cookies.exempt.is_empty() && cookies.rules.is_empty());
        let readable = |name: &str| cookies.script_readable.iter().any(|it| it.fits(name.as_bytes()));
        assert!(readable("XSRF-TOKEN") && readable("_csrf_token") && readable("_csrf"));
        assert!(!readable("xsrf-token") && !readable("XSRF-TOKEN2") && !readable("a_csrf"));
    }

    #[test]
    fn a_rule_says_what_it_changes() {
        let rules = cookies(
            "[[cookies.rule]]\nname = \"JSESSIONID\"\nhost = \"*.Example.com\"\nsame_site = \"strict\"\n\
             [[cookies.rule]]\nname = \"wp-*\"\nhttp_only = false\nmax_age = \"1h\"\nhost_prefix = true",
        );
        let [first, second] = &rules.unwrap().rules[..] else { panic!("there are two") };
        assert_eq!((first.http_only, first.same_site), (None, Some(SameSite::Strict)));
        assert_eq!(first.host, HostPattern::Subdomains(".example.com".to_owned()));
        assert!(!first.host_prefix && !first.drop && first.max_age.is_none());
        assert!(second.name.fits(b"wp-settings") && !second.name.fits(b"WP-settings"));
        assert_eq!((second.http_only, second.max_age), (Some(false), Some(Duration::from_secs(3_600))));
        assert!(second.host_prefix && second.host == HostPattern::Any);
    }

    #[test]
    fn names_are_names() {
        for name in ["a b", "a;b", "a=b", "*a", "a*b", "**", "a\\u0000", "a\\t"] {
            for text in [format!("exempt = [\"{name}\"]"), format!("script_readable = [\"{name}\"]")] {
                assert!(
                    only_fault(&format!("[cookies]\n{text}")).contains("is not a cookie's name"),
                    "{text}"
                );
            }
        }
        for name in ["*", "é", "a[b]", "$Version", "a,b", "\\\"q\\\""] {
            assert!(cookies(&format!("cookies.exempt = [\"{name}\"]")).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let rule = "[[cookies.rule]]\nname = \"sid\"\n";
        for (text, key, part) in [
            ("[cookies]\nsecure = false\nsame_site = \"none\"".to_owned(), "same_site", "needs secure"),
            (
                format!("[cookies]\nsecure = false\n{rule}same_site = \"none\""),
                "rule[0].same_site",
                "cookies.secure",
            ),
            (
                format!("[cookies]\nsecure = false\n{rule}host_prefix = true"),
                "rule[0].host_prefix",
                "are Secure",
            ),
            (
                format!("[cookies]\ndrop_domain = false\n{rule}host_prefix = true"),
                "rule[0].host_prefix",
                "no Domain",
            ),
            (format!("{rule}drop = true\nmax_age = \"1h\""), "rule[0].max_age", "means nothing"),
            (format!("{rule}max_age = \"0s\""), "rule[0].max_age", "is zero"),
            ("[[cookies.rule]]\nhost_prefix = true".to_owned(), "rule[0].name", "is missing"),
            (format!("{rule}secure = false"), "rule[0].secure", "unknown key"),
        ] {
            let fault = only_fault(&text);
            assert!(fault.starts_with(&format!("error: cookies.{key}: ")) && fault.contains(part), "{fault}");
        }
    }

    #[test]
    fn a_prefix_makes_no_cookie_of_ours() {
        let rule = |name: &str| format!("[[cookies.rule]]\nname = \"{name}\"\nhost_prefix = true\n");
        for name in ["session", "SESSION", "foregate-login"] {
            assert!(only_fault(&rule(name)).contains("the proxy's own cookie"), "{name}");
        }
        for name in ["__Host-a", "__host-a", "__Secure-a", "__Secure-*"] {
            assert!(only_fault(&rule(name)).contains("without a prefix"), "{name}");
        }
        assert!(cookies(&rule("sessions")).is_ok() && cookies(&rule("s*")).is_ok());
        let renamed = format!("session.cookie.name = \"__Host-sid\"\n{}", rule("session"));
        assert!(cookies(&renamed).is_ok());
    }

    #[test]
    fn a_rule_that_no_cookie_meets_is_a_mistake() {
        let rules = |rules: &[(&str, &str)]| {
            let rule = |(name, host): &(&str, &str)| {
                format!("[[cookies.rule]]\nname = \"{name}\"\nhost = \"{host}\"\n")
            };
            rules.iter().map(rule).collect::<String>()
        };
        for hidden in [
            [("a", "*"), ("a", "app.example.com")],
            [("a*", "*"), ("ab*", "*")],
            [("*", "*.example.com"), ("a", "app.example.com")],
            [("a", "*.example.com"), ("a", "*.app.example.com")],
        ] {
            let fault = only_fault(&rules(&hidden));
            assert!(fault.starts_with("error: cookies.rule[1].name: cookies.rule[0] comes first"), "{fault}");
        }
        for apart in [
            [("a", "app.example.com"), ("a", "*")],
            [("ab*", "*"), ("a*", "*")],
            [("a", "*"), ("A", "*")],
            [("a", "*.example.com"), ("a", "example.com")],
            [("a", "app.example.com"), ("a", "*.app.example.com")],
        ] {
            assert!(cookies(&rules(&apart)).is_ok(), "{apart:?}");
        }
        let fault = only_fault(&format!("[cookies]\nexempt = [\"a*\"]\n{}", rules(&[("ab", "*")])));
        assert!(fault.contains("is exempt"), "{fault}");
    }

    #[test]
    fn production_wonders_about_clear_text() {
        let secret = [("SECRET_KEY", "0123456789abcdef0123456789abcdef")];
        let (_, warnings) = read_all("cookies.secure = false", production(&secret)).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("warning: cookies.secure: is false"), "{warnings:?}");
        assert!(read_all("cookies.secure = false", development(&[])).unwrap().1.is_empty());
    }
}
