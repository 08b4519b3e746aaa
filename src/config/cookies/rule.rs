//! `[[cookies.rule]]`: what holds for some cookies in place of what `[cookies]` says.

use std::time::Duration;

use super::super::reader::{Section, kind};
use super::super::route::{self, HostPattern};
use super::super::session::{SAME_SITE, SessionCookie};
use super::{Cookies, NamePattern, pattern};
use crate::http::SameSite;
use crate::http::cookies::OWN;
use crate::http::set_cookie::{HOST_PREFIX, has_prefix};

/// The first whose name and host fit says for a cookie what it says, and no more.
#[derive(Clone, Debug)]
pub struct CookieRule {
    /// The cookies.
    pub name: NamePattern,
    /// The hosts.
    pub host: HostPattern,
    /// Instead of `cookies.http_only` and `cookies.script_readable`.
    pub http_only: Option<bool>,
    /// Instead of `cookies.same_site`.
    pub same_site: Option<SameSite>,
    /// The longest that a browser keeps it.
    pub max_age: Option<Duration>,
    /// Whether it goes out as `__Host-NAME` and comes back to the application as `NAME`.
    pub host_prefix: bool,
    /// Whether it never goes out.
    pub drop: bool,
}

/// All rules; `cookies` has none yet.
pub(super) fn read_all(section: &mut Section<'_>, cookies: &Cookies, own: &SessionCookie) -> Vec<CookieRule> {
    let mut earlier: Vec<(NamePattern, HostPattern)> = Vec::new();
    section.tables("rule", |section| {
        let rule = read(section);
        check_reach(section, &rule, &cookies.exempt, &earlier);
        check_same_site(section, &rule, cookies);
        check_prefix(section, &rule, cookies, own);
        check_drop(section, &rule);
        earlier.push((rule.name.clone(), rule.host.clone()));
        rule
    })
}

fn read(section: &mut Section<'_>) -> CookieRule {
    let name = section.required("name", kind::text_as(pattern::parse), "\"JSESSIONID\"");
    CookieRule {
        // A stand-in that means no cookie, and so is in no other rule's way.
        name: name.unwrap_or_else(|| NamePattern::Exact(String::new())),
        host: section.value("host", kind::text_as(route::host_pattern), HostPattern::Any),
        http_only: section.optional("http_only", kind::boolean),
        same_site: section.optional("same_site", kind::one_of(&SAME_SITE)),
        max_age: section.optional("max_age", kind::whole_seconds),
        host_prefix: section.value("host_prefix", kind::boolean, false),
        drop: section.value("drop", kind::boolean, false),
    }
}

/// A rule that no cookie meets is a mistake.
fn check_reach(
    section: &Section<'_>,
    rule: &CookieRule,
    exempt: &[NamePattern],
    earlier: &[(NamePattern, HostPattern)],
) {
    if exempt.iter().any(|pattern| pattern.covers(&rule.name)) {
        let remedy = "take the name out of cookies.exempt, or leave the rule out";
        section.error("name", "is exempt, so that the rule means nothing", remedy);
    }
    let covers =
        |(name, host): &(NamePattern, HostPattern)| name.covers(&rule.name) && host.covers(&rule.host);
    if let Some(index) = earlier.iter().position(covers) {
        let what = format!("cookies.rule[{index}] comes first wherever this rule fits");
        section.error("name", what, "put this one before it, or make them one");
    }
}

fn check_same_site(section: &Section<'_>, rule: &CookieRule, cookies: &Cookies) {
    if rule.same_site == Some(SameSite::None) && !cookies.secure {
        let remedy = "set cookies.secure = true, or write \"lax\"";
        section.error("same_site", "is \"none\", which needs cookies.secure", remedy);
    }
}

/// Browsers refuse a cookie whose name promises what its attributes do not hold (RFC 6265bis §4.1.3).
fn check_prefix(section: &Section<'_>, rule: &CookieRule, cookies: &Cookies, own: &SessionCookie) {
    if !rule.host_prefix {
        return;
    }
    if !cookies.secure {
        let remedy = "set cookies.secure = true, or leave host_prefix out";
        section.error("host_prefix", "needs cookies.secure: __Host- cookies are Secure", remedy);
    }
    if !cookies.drop_domain {
        let remedy = "set cookies.drop_domain = true, or leave host_prefix out";
        section.error("host_prefix", "needs cookies.drop_domain: __Host- cookies have no Domain", remedy);
    }
    if has_prefix(rule.name.text().as_bytes()) {
        let remedy = "leave host_prefix out, or write the name that the application gives";
        section.error(
            "host_prefix",
            format!("is for names without a prefix, not {:?}", rule.name.text()),
            remedy,
        );
    }
    let NamePattern::Exact(name) = &rule.name else { return };
    let sent = format!("{HOST_PREFIX}{name}");
    let is_fixed = OWN.iter().any(|own| sent.eq_ignore_ascii_case(own));
    if is_fixed || sent.eq_ignore_ascii_case(&own.name) {
        let remedy = if is_fixed {
            "leave host_prefix out"
        } else {
            "leave host_prefix out, or change session.cookie.name"
        };
        section.error("host_prefix", format!("makes it {sent}, the name of the proxy's own cookie"), remedy);
    }
}

fn check_drop(section: &Section<'_>, rule: &CookieRule) {
    if !rule.drop {
        return;
    }
    for key in ["http_only", "same_site", "max_age", "host_prefix"].into_iter().filter(|key| section.has(key))
    {
        section.error(key, "means nothing with drop = true", "leave one of the two out");
    }
}
