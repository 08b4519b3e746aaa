//! Cookies on the wire, byte for byte: nothing is decoded, unquoted or parsed further than names reach.
//!
//! RFC 6265bis has servers split `Cookie` at every semicolon, quoted or not; a parser that minds the quotes must
//! not find a cookie where we see none, nor the other way round.

use http::{HeaderMap, HeaderValue, header};

use super::percent;

/// The proxy's cookie that binds a login form to the browser that asked for it.
pub const LOGIN_COOKIE: &str = "__Host-foregate-login";

/// The proxy's cookie by which a browser is known that somebody logged in from.
pub const BROWSER_COOKIE: &str = "__Host-foregate-browser";

/// The proxy's cookie by which a browser comes for a form that met an ended session.
pub const UNSENT_COOKIE: &str = "__Host-foregate-unsent";

/// The proxy's cookies beside the session's, whose name is configured.
pub const OWN: [&str; 3] = [LOGIN_COOKIE, BROWSER_COOKIE, UNSENT_COOKIE];

/// The values of all cookies called exactly `name`, in the order they came.
pub fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    lines(headers).flat_map(pairs).filter_map(move |pair| {
        let (key, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        (trim(key) == name.as_bytes()).then(|| trim(&value[1..]))
    })
}

/// The names of all cookies, as the laxest reader finds them.
pub fn names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    lines(headers).flat_map(pairs).map(sent_name).filter(|name| !name.is_empty())
}

/// Cuts out all cookies that an upstream might take for one of `names`: case and white space around the name do
/// not count, nor does whether it has a value. The others stay as they are; several lines, as HTTP/2 has them
/// (RFC 9113 §8.2.3), become one.
pub fn remove(headers: &mut HeaderMap, names: &[&str]) {
    sift(headers, |pair| {
        let found = sent_name(pair);
        let is_unwanted = names.iter().any(|name| found.eq_ignore_ascii_case(name.as_bytes()));
        (!is_unwanted).then_some(pair)
    });
}

/// Leaves of each cookie, name and value, what `rest` leaves of it.
pub fn sift(headers: &mut HeaderMap, rest: impl Fn(&[u8]) -> Option<&[u8]>) {
    let is_whole = |pair: &[u8]| rest(pair).is_some_and(|left| left.len() == pair.len());
    let is_one_line = lines(headers).nth(1).is_none();
    if is_one_line && lines(headers).flat_map(pairs).all(is_whole) {
        return;
    }
    let kept: Vec<&[u8]> =
        lines(headers).flat_map(pairs).filter(|pair| !pair.is_empty()).filter_map(&rest).collect();
    let joined = kept.join(b"; ".as_slice());
    if joined.is_empty() {
        headers.remove(header::COOKIE);
        return;
    }
    let mut value = HeaderValue::try_from(joined).expect("pieces of header values make a header value");
    value.set_sensitive(true);
    headers.insert(header::COOKIE, value);
}

/// What all names have in common that some application takes for one: PHP reads dots and spaces as underscores and
/// stops at a bracket, others undo percent-encoding, and some do not mind case.
pub fn likeness(name: &[u8]) -> Vec<u8> {
    let decoded = percent::decode_fully(name);
    let read = decoded.trim_ascii_start().split(|byte| matches!(byte, b'[' | 0)).next().unwrap_or_default();
    let same = |byte: &u8| if matches!(byte, b'.' | b' ') { b'_' } else { byte.to_ascii_lowercase() };
    read.iter().map(same).collect()
}

/// The name that an upstream's `Set-Cookie` value gives its cookie (RFC 6265bis §5.6). Browsers send a nameless
/// cookie back as its bare value, so that `=a=b` comes back as `a=b`: its name is what is read then.
pub fn set_cookie_name(value: &[u8]) -> &[u8] {
    sent_name(pairs(value).next().unwrap_or_default())
}

fn lines(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes)
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').map(trim)
}

/// The name of a pair as the laxest reader finds it: behind any `=` at the start, and the whole of a pair
/// without `=`.
pub fn sent_name(mut pair: &[u8]) -> &[u8] {
    while let [b'=' | b' ' | b'\t', rest @ ..] = pair {
        pair = rest;
    }
    trim(pair.split(|byte| *byte == b'=').next().unwrap_or_default())
}

pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_bytes(line).unwrap())).collect()
    }

    fn found(lines: &[&[u8]]) -> Vec<Vec<u8>> {
        values(&headers(lines), "sid").map(<[u8]>::to_vec).collect()
    }

    fn left(lines: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut headers = headers(lines);
        remove(&mut headers, &["sid", "__Host-login"]);
        headers.get_all(header::COOKIE).iter().map(|line| line.as_bytes().to_vec()).collect()
    }

    #[test]
    fn every_cookie_of_the_name_is_found() {
        assert_eq!(
            found(&[b"a=1; sid=x; sid=y;sid=\"z\"", b"\tsid=\t=%41 "]),
            [b"x".as_slice(), b"y", b"\"z\"", b"=%41"]
        );
    }

    #[test]
    fn other_names_are_other_cookies() {
        assert!(found(&[b"SID=x; xsid=x; sidx=x; sid; =sid=x; %73id=x; a=sid=x; sid,=x"]).is_empty());
        assert!(found(&[]).is_empty());
    }

    #[test]
    fn quotes_protect_nothing() {
        assert_eq!(found(&[b"a=\"x; sid=1; y\""]), [b"1"]);
        assert_eq!(left(&[b"a=\"x; sid=1; y\""]), [b"a=\"x; y\""]);
    }

    #[test]
    fn all_spellings_are_cut_out() {
        for cut in
            [b"sid=x".as_slice(), b"SID=x", b" sid\t=x", b"sid", b"=sid=x", b"= sid", b"__host-LOGIN=1"]
        {
            assert!(left(&[cut]).is_empty(), "{cut:?}");
            assert_eq!(left(&[&[b"a=1;", cut, b";b=2"].concat()]), [b"a=1; b=2"], "{cut:?}");
        }
    }

    #[test]
    fn other_cookies_stay_as_they_came() {
        for line in [b"a=\xff\xfe;;b=\"q; \" ;c=%00; =d;e".as_slice(), b"SIDE=1;  a", b"", b";"] {
            assert_eq!(left(&[line]), [line], "{line:?}");
        }
        assert_eq!(left(&[b"a=\xff,\";sid=x; b = 1 ;c"]), [b"a=\xff,\"; b = 1; c"]);
        assert!(left(&[]).is_empty());
    }

    #[test]
    fn crumbs_become_one_line() {
        assert_eq!(left(&[b"a=1", b"sid=x", b"b=2; c=3"]), [b"a=1; b=2; c=3"]);
        assert_eq!(left(&[b"a=1", b"b=2"]), [b"a=1; b=2"]);
        assert!(left(&[b"sid=x", b"", b"; sid=y"]).is_empty());
    }

    #[test]
    fn a_cookie_is_known_by_the_name_it_comes_back_under() {
        for (set, name) in [
            (b"sid=x; Path=/".as_slice(), b"sid".as_slice()),
            (b" \tsid \t= x", b"sid"),
            (b"sid", b"sid"),
            (b"=sid", b"sid"),
            (b"=sid=x; Secure", b"sid"),
            (b" = =__Host-sid=x", b"__Host-sid"),
            (b"\xff=x", b"\xff"),
            (b"; sid=x", b""),
            (b"=", b""),
            (b"", b""),
        ] {
            assert_eq!(set_cookie_name(set), name, "{set:?}");
        }
    }
}
