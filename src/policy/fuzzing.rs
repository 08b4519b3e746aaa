//! What holds of every address that a login may lead to. See [`crate::fuzzing`].

use url::Url;

use super::ReturnTo;

const PREFIX: &str = "/_foregate";

/// An address to return to stays on this host, leads to none of our own pages, fits into a header and is read again as
/// the same one.
pub fn return_to(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some(address) = ReturnTo::parse(text, PREFIX) else { return };
    let kept = address.as_str();
    assert!(kept.starts_with('/') && !kept.starts_with("//") && !kept.starts_with("/\\"), "{kept:?}");
    assert!(kept.bytes().all(|byte| byte.is_ascii_graphic()), "{kept:?}");
    let page = Url::parse("https://app.test:8443/_foregate/login?return_to=x#y").expect("a URL");
    let led_to = page.join(kept).expect("what was kept is an address");
    assert_eq!(led_to.origin(), page.origin(), "{kept:?}");
    assert!(led_to.username().is_empty() && led_to.password().is_none(), "{kept:?}");
    let first = led_to.path().split('/').nth(1).unwrap_or_default();
    assert!(!first.eq_ignore_ascii_case(&PREFIX[1..]), "{kept:?}");
    // Beyond the bound an address is refused, and escapes make it longer.
    if kept.len() <= 4096 {
        assert_eq!(ReturnTo::parse(kept, PREFIX), Some(address));
    }
}
