//! What holds of every message, however hostile. See [`crate::fuzzing`].

use std::net::IpAddr;

use ::cookie::Cookie;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use url::Url;

use super::websocket::{Frames, Handshake};
use super::{
    Arrival, Authority, PathPrefix, Scheme, SetCookie, Target, TrustedProxies, Way, cookies, forwarding,
};

/// A path that may be sent is its own canonical form, hides nothing at any depth of encoding, and is read alike by the
/// `url` crate.
pub fn target(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let Ok(target) = Target::parse(path, query) else { return };
    assert_eq!(Target::parse(target.path(), target.query()).as_ref(), Ok(&target));
    let shouted = Target::parse(&target.path().to_ascii_uppercase(), None).expect("a path in capitals");
    assert_eq!(shouted.matched(), target.matched());
    is_read_alike_by_url(&target);
    is_under_one_route_at_every_depth(&target, "admin");
}

fn is_read_alike_by_url(target: &Target) {
    let text = format!("http://host.invalid{}", target.path_and_query());
    let url = Url::parse(&text).expect("a URL on this host");
    assert_eq!(decoded(url.path().as_bytes()), decoded(target.path().as_bytes()));
    let matched = url.path().split('/').skip(1).flat_map(|segment| {
        let bare = segment.split(';').next().unwrap_or_default();
        let literal = decoded(bare.as_bytes()).into_iter().flat_map(|byte| match byte {
            b'/' => b"%2f".to_vec(),
            b'\\' => b"%5c".to_vec(),
            b'%' => b"%25".to_vec(),
            byte => vec![byte.to_ascii_lowercase()],
        });
        std::iter::once(b'/').chain(literal).collect::<Vec<_>>()
    });
    assert_eq!(matched.collect::<Vec<_>>(), target.matched());
}

/// Whoever decodes the path once more, and once more, comes to no dot segment, to no control character, and to no
/// route that the path was not matched with or found ambiguous for.
fn is_under_one_route_at_every_depth(target: &Target, route: &str) {
    let prefix = PathPrefix::new(&format!("/{route}"));
    let is_known = target.matches_prefix(&prefix) || target.is_ambiguous_for(&prefix);
    if target.matches_prefix(&prefix) {
        let rest = target.without_prefix(&prefix);
        assert_eq!(Target::parse(&rest, None).as_ref().map(Target::path), Ok(rest.as_str()));
    }
    let mut reading = target.path().as_bytes().to_vec();
    loop {
        assert!(!reading.iter().any(u8::is_ascii_control), "{reading:?}");
        let has_dots = names(&reading, |byte| matches!(byte, b';' | b'?' | b'#'))
            .any(|piece| matches!(piece, b"." | b".."));
        assert!(!has_dots, "{reading:?}");
        // What follows a decoded `?` or `#` is no path any more, at whatever depth.
        let path = reading.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        let first = names(path, |byte| *byte == b';').next();
        let leads_there = first.is_some_and(|first| first.eq_ignore_ascii_case(route.as_bytes()));
        assert!(is_known || !leads_there, "{reading:?}");
        let deeper = decoded(&reading);
        if deeper == reading {
            return;
        }
        reading = deeper;
    }
}

/// What stands between the slashes, each up to what ends a name; empty ones left out.
fn names(path: &[u8], ends: impl Fn(&u8) -> bool) -> impl Iterator<Item = &[u8]> {
    let pieces = path.split(|byte| matches!(byte, b'/' | b'\\'));
    pieces.map(move |piece| piece.split(&ends).next().unwrap_or_default()).filter(|piece| !piece.is_empty())
}

/// With every escape decoded once.
fn decoded(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let digit = |at: usize| rest.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (byte, after) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => (u8::try_from(high << 4 | low).expect("a byte"), &rest[2..]),
            _ => (*first, rest),
        };
        bytes.push(byte);
        text = after;
    }
    bytes
}

/// A cookie that was cut out is found by nobody, the others stay, and what we find is what the `cookie` crate finds;
/// which trims white space beyond ASCII as well, as no browser does.
pub fn cookies(data: &[u8]) {
    let lines: Vec<HeaderValue> =
        data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let mut headers: HeaderMap = lines.iter().map(|line| (header::COOKIE, line.clone())).collect();
    if data.is_ascii() {
        let found: Vec<Vec<u8>> = cookies::values(&headers, "sid").map(<[u8]>::to_vec).collect();
        assert_eq!(found, as_the_crate_finds(&headers, |name| name == "sid"));
    }
    let kept = pairs(&headers).into_iter().filter(|pair| !pair.is_empty() && !is_sid(pair));
    let kept: Vec<Vec<u8>> = kept.collect();
    cookies::remove(&mut headers, &["sid"]);
    let left: Vec<Vec<u8>> = pairs(&headers).into_iter().filter(|pair| !pair.is_empty()).collect();
    assert_eq!(left, kept);
    assert_eq!(cookies::values(&headers, "sid").count(), 0);
    let is_sid = |name: &str| name.eq_ignore_ascii_case("sid");
    assert!(!data.is_ascii() || as_the_crate_finds(&headers, is_sid).is_empty());
    let once = headers.clone();
    cookies::remove(&mut headers, &["sid"]);
    assert_eq!(headers, once);
}

fn as_the_crate_finds(headers: &HeaderMap, is_it: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let lines =
        headers.get_all(header::COOKIE).iter().filter_map(|line| str::from_utf8(line.as_bytes()).ok());
    lines
        .flat_map(Cookie::split_parse)
        .flatten()
        .filter(|cookie| is_it(cookie.name()))
        .map(|cookie| cookie.value().as_bytes().to_vec())
        .collect()
}

fn pairs(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b';')).map(|pair| trimmed(pair).to_vec()).collect()
}

fn trimmed(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// Whether a lax reader could take the pair for the cookie `sid`, with or without a value.
fn is_sid(pair: &[u8]) -> bool {
    let start = pair.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'=')).unwrap_or(pair.len());
    let name = pair[start..].split(|byte| *byte == b'=').next().unwrap_or_default();
    trimmed(name).eq_ignore_ascii_case(b"sid")
}

/// The name that `Set-Cookie` gives a cookie is the one under which the browser's cookie is cut out again.
pub fn set_cookie(data: &[u8]) {
    if let Ok(cookie) = SetCookie::parse(data) {
        let line = cookie.to_line();
        assert!(HeaderValue::from_bytes(&line).is_ok(), "one header line: {line:?}");
        assert_eq!(SetCookie::parse(&line).as_ref(), Ok(&cookie), "what is written reads as what was read");
    }
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let name = cookies::set_cookie_name(value.as_bytes());
    assert!(!name.iter().any(|byte| matches!(byte, b'=' | b';')));
    let Ok(name) = str::from_utf8(name) else { return };
    if let Ok(text) = str::from_utf8(data)
        && text.is_ascii()
        && let Ok(cookie) = Cookie::parse(text)
    {
        assert_eq!(cookie.name().trim_start_matches(['=', ' ', '\t']), name);
    }
    let Ok(sent) = HeaderValue::from_bytes(&as_browsers_send_it(data)) else { return };
    let mut headers = HeaderMap::from_iter([(header::COOKIE, sent)]);
    cookies::remove(&mut headers, &[name]);
    assert!(pairs(&headers).iter().all(Vec::is_empty), "{name:?} stays: {headers:?}");
}

/// RFC 6265bis §5.6 and §5.8.3: a nameless cookie comes back as its value.
fn as_browsers_send_it(set_cookie: &[u8]) -> Vec<u8> {
    let pair = set_cookie.split(|byte| *byte == b';').next().unwrap_or_default();
    let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (trimmed(&pair[..at]), trimmed(&pair[at + 1..])),
        None => (b"".as_slice(), trimmed(pair)),
    };
    if name.is_empty() { value.to_vec() } else { [name, b"=", value].concat() }
}

/// Nobody but a trusted proxy is believed, and what is told upstream is read there as it was meant. The input is
/// header lines.
pub fn forwarding(data: &[u8]) {
    let headers = header_lines(data);
    let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
    let [near, far, next] =
        ["10.0.0.1", "192.0.2.1", "10.0.0.2"].map(|text| text.parse().expect("an address"));
    let direct = Arrival::of(&headers, far, Scheme::Http, &trusted);
    assert_eq!(direct, Ok(Arrival::direct(far, Scheme::Http)));
    let Ok(arrival) = Arrival::of(&headers, near, Scheme::Http, &trusted) else { return };
    assert_eq!(arrival.hops.last(), Some(&near));
    let after = arrival.hops.iter().rev().skip_while(|hop| trusted.trust(**hop));
    let last: Vec<&IpAddr> = after.collect();
    let farthest = arrival.hops.first().expect("the peer");
    assert_eq!(arrival.client, **last.first().unwrap_or(&farthest));
    is_read_as_it_was_meant(&arrival, next, &trusted);
}

fn is_read_as_it_was_meant(arrival: &Arrival, next: IpAddr, trusted: &TrustedProxies) {
    let authority = Authority::parse("app.test:8443").expect("a host");
    let mut told = HeaderMap::new();
    let way = Way { hops: &arrival.hops, scheme: arrival.scheme, authority: &authority };
    forwarding::set(&mut told, &way);
    let read = Arrival::of(&told, next, Scheme::Http, trusted).expect("what we write can be read");
    assert_eq!(read.scheme, arrival.scheme);
    let is_cut = read.hops.len() == arrival.hops.len();
    assert!(is_cut || read.client == arrival.client, "{arrival:?} is read as {read:?}");
    let (peer, before) = read.hops.split_last().expect("the peer");
    assert!(*peer == next && arrival.hops.ends_with(before), "{arrival:?} is read as {read:?}");
}

fn header_lines(data: &[u8]) -> HeaderMap {
    let lines = data.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        Some((name, HeaderValue::from_bytes(trimmed(&line[at + 1..])).ok()?))
    });
    lines.collect()
}

/// Frames end where their lengths say, however they are cut; a handshake is passed on as the same one. The input is
/// read as frames, and as header lines.
pub fn websocket(data: &[u8]) {
    let ends = ends_of_frames(data);
    let (mut whole, mut taken, mut edges) = (Frames::default(), 0, Vec::new());
    while taken < data.len() {
        taken += whole.step(&data[taken..]);
        if whole.at_edge() {
            edges.push(taken);
        }
    }
    assert_eq!(edges, ends);
    let mut bytewise = Frames::default();
    for byte in data {
        bytewise.pass(std::slice::from_ref(byte));
    }
    assert_eq!(bytewise.at_edge(), whole.at_edge());
    let mut starts = std::iter::once(&0).chain(&ends).filter_map(|start| data.get(*start));
    let is_data = starts.any(|first| first & 0x0f <= 2);
    assert_eq!([bytewise.take_data(), whole.take_data()], [is_data; 2]);
    let mut request = Request::new(());
    *request.headers_mut() = header_lines(data);
    let Some(handshake) = Handshake::of(&request.into_parts().0) else { return };
    let mut passed_on = Request::new(());
    handshake.ask(passed_on.headers_mut());
    assert!(Handshake::of(&passed_on.into_parts().0).is_some());
}

/// RFC 6455 §5.2
fn ends_of_frames(data: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut rest = data;
    while let [_, second, more @ ..] = rest {
        let short = second & 0x7f;
        let extended = [0, 2, 8][usize::from(short.saturating_sub(125))];
        let Some(long) = more.get(..extended) else { break };
        let length = long.iter().fold(0, |length, byte| length << 8 | u128::from(*byte));
        let length = if extended == 0 { u128::from(short) } else { length };
        let head = 2 + extended + if second & 0x80 == 0 { 0 } else { 4 };
        let Some(after) =
            usize::try_from(length).ok().and_then(|length| rest.get(head.checked_add(length)?..))
        else {
            break;
        };
        ends.push(data.len() - after.len());
        rest = after;
    }
    ends
}
