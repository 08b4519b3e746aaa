//! `[session.cookie]`: the session cookie's attributes.

use super::super::Server;
use super::super::context::Context;
use super::super::host;
use super::super::reader::{Complaint, Section, kind};
use crate::http::SameSite;
use crate::http::cookies;

/// The session cookie's attributes (RFC 6265bis).
#[derive(Clone, Debug)]
pub struct SessionCookie {
    /// The name, `auto` resolved.
    pub name: String,
    /// `SameSite`
    pub same_site: SameSite,
    /// `Secure`
    pub secure: bool,
    /// `HttpOnly`
    pub http_only: bool,
    /// `Domain`; `None`: host-only.
    pub domain: Option<String>,
    /// `Path`
    pub path: String,
    /// Whether it always has `Max-Age`, so that it outlives the browser.
    pub persistent: bool,
}

/// The words for it.
pub(in crate::config) const SAME_SITE: [(&str, SameSite); 3] =
    [("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)];

pub(super) fn read(section: &mut Section<'_>, server: &Server, context: Context<'_>) -> SessionCookie {
    let name = section.value("name", kind::text_as(name), Name::Auto);
    let mut cookie = SessionCookie {
        name: String::new(),
        same_site: section.value("same_site", kind::one_of(&SAME_SITE), SameSite::Lax),
        secure: section.value("secure", kind::boolean, true),
        http_only: section.value("http_only", kind::boolean, true),
        domain: section.optional("domain", kind::text_as(domain)),
        path: section.value("path", kind::text_as(path), "/".to_owned()),
        persistent: section.value("persistent", kind::boolean, false),
    };
    match name {
        Name::Auto => automatic_name(&cookie).clone_into(&mut cookie.name),
        Name::Given(name) => cookie.name = name,
    }
    check_name(section, &cookie);
    check_attributes(section, &cookie, server, context);
    cookie
}

#[derive(PartialEq, Eq)]
enum Name {
    Auto,
    Given(String),
}

fn automatic_name(cookie: &SessionCookie) -> &'static str {
    match cookie {
        SessionCookie { secure: true, domain: None, path, .. } if path == "/" => "__Host-session",
        SessionCookie { secure: true, .. } => "__Secure-session",
        _ => "session",
    }
}

/// Browsers refuse a cookie whose name promises what its attributes do not hold (RFC 6265bis §4.1.3).
fn check_name(section: &Section<'_>, cookie: &SessionCookie) {
    let has_prefix = |prefix: &str| {
        cookie.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let host_only = cookie.domain.is_none() && cookie.path == "/";
    if has_prefix("__Host-") && !(cookie.secure && host_only) {
        let what = "begins with __Host-, which needs secure, no domain and path \"/\"";
        section.error("name", what, "set them so, or write name = \"auto\"");
    }
    if has_prefix("__Secure-") && !cookie.secure {
        let remedy = "set secure = true, or write name = \"auto\"";
        section.error("name", "begins with __Secure-, which needs secure", remedy);
    }
    if cookies::OWN.iter().any(|own| cookie.name.eq_ignore_ascii_case(own)) {
        section.error("name", "is the name of another of the proxy's cookies", "write another, or \"auto\"");
    }
}

fn check_attributes(section: &Section<'_>, cookie: &SessionCookie, server: &Server, context: Context<'_>) {
    if !cookie.secure && context.in_production() {
        let remedy = "leave it out, or set mode = \"development\" on your own machine";
        section.error("secure", "is false: the session would travel in clear text", remedy);
    }
    if !cookie.secure && cookie.same_site == SameSite::None {
        section.error("same_site", "is \"none\", which needs secure", "set secure = true, or write \"lax\"");
    }
    if !cookie.http_only && context.in_production() {
        section.warn("http_only", "is false: scripts can read the session", "leave it out");
    }
    if !covers(&cookie.path, &server.prefix) {
        let what = format!("does not cover {}, where the proxy's own pages are", server.prefix);
        section.error("path", what, "write \"/\", or move server.prefix beneath it");
    }
}

/// Whether a browser sends a cookie of this path there (RFC 6265 §5.1.4).
fn covers(cookie_path: &str, path: &str) -> bool {
    path.strip_prefix(cookie_path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cookie_path.ends_with('/'))
}

fn name(text: &str) -> Result<Name, Complaint> {
    // A token (RFC 9110 §5.6.2), which is what RFC 6265 §4.1.1 makes of a name.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match text {
        "auto" => Ok(Name::Auto),
        _ if text.bytes().all(is_token) => Ok(Name::Given(text.to_owned())),
        _ => Err(Complaint::new(
            format!("{text:?} is not a cookie's name"),
            "only letters, digits and !#$%&'*+-.^_`|~ can stand in it",
        )),
    }
}

fn domain(text: &str) -> Result<String, Complaint> {
    let name = text.to_ascii_lowercase();
    if name.contains('.') && host::is_name(&name) {
        return Ok(name);
    }
    let remedy = "write one such as \"example.com\", without a dot at its start, or leave the key out";
    Err(Complaint::new(format!("{text:?} is not a domain for cookies"), remedy))
}

fn path(text: &str) -> Result<String, Complaint> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(format!("{text:?} is not a path for cookies"), "write \"/\""))
}

#[cfg(test)]
mod tests {
    use super::super::super::server;
    use super::super::super::testing::{development, lines, outcome, production};
    use super::*;

    fn cookie(text: &str, context: Context<'_>) -> Result<SessionCookie, Vec<String>> {
        outcome(text, |root| {
            let server = root.table("server", |section| server::read(section, production(&[])));
            root.table("cookie", |section| read(section, &server, context))
        })
        .map(|(cookie, _)| cookie)
    }

    #[test]
    fn the_default_is_as_strict_as_logging_in_allows() {
        let cookie = cookie("", production(&[])).unwrap();
        assert_eq!(cookie.name, "__Host-session");
        assert_eq!((cookie.same_site, cookie.secure, cookie.http_only), (SameSite::Lax, true, true));
        assert_eq!((cookie.domain.as_deref(), cookie.path.as_str(), cookie.persistent), (None, "/", false));
    }

    #[test]
    fn an_automatic_name_promises_what_holds() {
        for (text, name) in [
            ("cookie.domain = \"Example.com\"", "__Secure-session"),
            ("cookie.path = \"/_foregate\"", "__Secure-session"),
            ("cookie.secure = false", "session"),
        ] {
            assert_eq!(cookie(text, development(&[])).unwrap().name, name, "{text}");
        }
    }

    #[test]
    fn a_prefixed_name_keeps_its_rules_in_any_case() {
        for (text, key) in [
            ("name = \"__Host-x\"\ndomain = \"example.com\"", "name"),
            ("name = \"__hOST-x\"\npath = \"/_foregate\"", "name"),
            ("name = \"__Host-x\"\nsecure = false", "name"),
            ("name = \"__secure-x\"\nsecure = false", "name"),
            ("name = \"__HOST-foregate-login\"", "name"),
            ("name = \"__Host-foregate-Browser\"", "name"),
            ("name = \"a b\"", "name"),
            ("name = \"é\"", "name"),
            ("same_site = \"none\"\nsecure = false", "same_site"),
            ("same_site = \"Lax\"", "same_site"),
            ("domain = \".example.com\"", "domain"),
            ("domain = \"localhost\"", "domain"),
            ("domain = \"127.0.0.1\"", "domain"),
            ("path = \"app\"", "path"),
            ("path = \"/a;b\"", "path"),
            ("path = \"/_fore\"", "path"),
        ] {
            let faults = cookie(&format!("[cookie]\n{text}"), development(&[])).unwrap_err();
            assert!(faults[0].starts_with(&format!("error: cookie.{key}: ")), "{text}: {faults:?}");
            assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        }
        assert!(cookie("cookie.name = \"__Secure-x\"", production(&[])).is_ok());
    }

    #[test]
    fn a_path_covers_the_proxys_pages() {
        let text = "server.prefix = \"/sso/here\"\ncookie.path = ";
        for path in ["/", "/sso", "/sso/", "/sso/here"] {
            assert!(cookie(&format!("{text}{path:?}"), development(&[])).is_ok(), "{path}");
        }
        for path in ["/ss", "/sso/here/", "/other"] {
            assert!(cookie(&format!("{text}{path:?}"), development(&[])).is_err(), "{path}");
        }
    }

    #[test]
    fn production_refuses_clear_text_and_wonders_about_scripts() {
        let faults = cookie("cookie.secure = false", production(&[])).unwrap_err();
        assert!(faults[0].starts_with("error: cookie.secure: is false"), "{faults:?}");
        let text = "cookie.http_only = false";
        let (_, warnings) = outcome(text, |root| {
            let server = root.table("server", |section| server::read(section, production(&[])));
            root.table("cookie", |section| read(section, &server, production(&[])))
        })
        .unwrap();
        assert!(lines(&warnings)[0].starts_with("warning: cookie.http_only: is false"));
    }
}
