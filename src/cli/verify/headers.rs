//! What a page says to browsers and caches.

use super::super::check::Check;
use super::client::Answer;
use super::findings::{fail, pass, warn};

/// What every page should say.
pub(super) fn page(answer: &Answer) -> Vec<Check> {
    vec![framing(answer), nosniff(answer), referrer(answer)]
}

fn framing(answer: &Answer) -> Check {
    const ID: &str = "headers.framing";
    let policy = answer.header("content-security-policy").unwrap_or_default().to_ascii_lowercase();
    let mut directives = policy.split([';', ',']).map(str::trim);
    let ancestors = directives.find_map(|directive| directive.strip_prefix("frame-ancestors"));
    let options = answer.header("x-frame-options").unwrap_or_default().to_ascii_lowercase();
    match ancestors {
        Some(who) if who.split_whitespace().any(|who| matches!(who, "*" | "https:" | "http:")) => {
            fail(ID, format!("frame-ancestors{who}"), "frame-ancestors 'self'")
        }
        Some(who) => pass(ID, format!("frame-ancestors{who}")),
        None if matches!(options.trim(), "deny" | "sameorigin") => {
            pass(ID, format!("X-Frame-Options: {options}"))
        }
        None => fail(
            ID,
            "every site may show it in a frame",
            "Content-Security-Policy: frame-ancestors 'self'; X-Frame-Options: SAMEORIGIN",
        ),
    }
}

fn nosniff(answer: &Answer) -> Check {
    const ID: &str = "headers.nosniff";
    match answer.header("x-content-type-options") {
        Some(value) if value.trim().eq_ignore_ascii_case("nosniff") => pass(ID, value),
        _ => fail(ID, "browsers may guess another type", "X-Content-Type-Options: nosniff"),
    }
}

fn referrer(answer: &Answer) -> Check {
    const ID: &str = "headers.referrer";
    match answer.header("referrer-policy") {
        Some(value) if !value.to_ascii_lowercase().contains("unsafe-url") => pass(ID, value),
        Some(value) => fail(ID, value, "Referrer-Policy: strict-origin-when-cross-origin"),
        None => warn(ID, "the browser decides", "Referrer-Policy: strict-origin-when-cross-origin"),
    }
}

/// Whether a cache between may keep what is one user's.
pub(super) fn caching(answer: &Answer) -> Check {
    const ID: &str = "headers.caching";
    let value = answer.header("cache-control").unwrap_or_default().to_ascii_lowercase();
    let mut words = value.split(',').map(str::trim);
    if words.any(|word| word == "no-store" || word == "private") {
        return pass(ID, value);
    }
    let seen = match value.as_str() {
        "" => "a private page has no Cache-Control".to_owned(),
        _ => format!("a private page has Cache-Control: {value}"),
    };
    fail(ID, seen, "Cache-Control: no-store on pages of signed-in users")
}
