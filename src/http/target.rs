//! What a request is about: the one path that is matched and sent (RFC 3986 §6.2, RFC 9112 §3.2).

use super::percent;

/// A request's path and query in canonical form.
///
/// The path is sent with escapes of unreserved characters decoded, dot segments removed and runs of slashes made
/// one. It is matched in the *match form*: of each segment, params are cut, escapes decoded once and ASCII put in
/// lower case; only `/`, `\` and `%` within a segment are escapes there (`%2f`, `%5c`, `%25`), so that paths of one
/// form differ in case, params and the choice of escapes alone. The query takes no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: String,
    query: Option<String>,
    matched: Vec<u8>,
    /// Where it differs from `matched` at all: see [`Target::is_ambiguous_for`].
    deepest: Option<Vec<u8>>,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// `*`, say, or nothing.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// Windows reads it as a slash.
    #[error("a raw backslash")]
    Backslash,
    /// At any depth of encoding.
    #[error("a control character, raw or encoded")]
    Control,
    /// It would end the target on the request line.
    #[error("a raw space")]
    Space,
    /// It would end the path, or start a fragment.
    #[error("a raw ? or # that delimits nothing")]
    Delimiter,
    /// `%zz`, `%u002e`
    #[error("a percent sign without two hexadecimal digits")]
    InvalidEscape,
    /// `%c0%ae`, at any depth of encoding.
    #[error("an overlong UTF-8 form of an ASCII character")]
    Overlong,
    /// `a//../b`: whether slashes are merged first decides where this leads.
    #[error("an empty segment together with a dot segment")]
    EmptyWithDotSegment,
    /// `..;x`, `%252e`, `..%2fa`
    #[error("a dot segment that shows only under params or after further decoding")]
    HiddenDotSegment,
    /// `;x` before the last slash.
    #[error("a segment of params alone")]
    HiddenEmptySegment,
}

impl Target {
    /// From a request target's path and query, as they came.
    ///
    /// # Errors
    /// Where somebody could read the path in another way than the proxy does, or a request line that carries it.
    pub fn parse(uri_path: &str, query: Option<&str>) -> Result<Self, BadTarget> {
        if !uri_path.starts_with('/') {
            return Err(BadTarget::NotAbsolute);
        }
        refuse_raw_path(uri_path)?;
        query.map_or(Ok(()), refuse_raw_query)?;
        let decoded = percent::decode_unreserved(uri_path).map_err(|_| BadTarget::InvalidEscape)?;
        let segments: Vec<&str> = segments(&decoded).collect();
        refuse_ambiguous(&segments)?;
        let path = canonical(&segments);
        let matched = match_form(&path);
        let deepest = path.contains('%').then(|| deepest_reading(&path));
        Ok(Self { path, query: query.map(str::to_owned), matched, deepest })
    }

    /// The path as it is sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as it came.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The path in the match form.
    pub fn matched(&self) -> &[u8] {
        &self.matched
    }

    /// Whether `%2f` or `%5c` is in the path that is sent.
    pub fn has_encoded_separator(&self) -> bool {
        self.path.as_bytes().windows(3).any(|window| matches!(percent::escape(window), Some(b'/' | b'\\')))
    }

    /// What is sent: the path, and the query where there is one.
    pub fn path_and_query(&self) -> String {
        self.query.as_ref().map_or_else(|| self.path.clone(), |query| format!("{}?{query}", self.path))
    }

    /// Whether the path lies under the route's; see [`Target::is_ambiguous_for`] as well.
    pub fn matches_prefix(&self, route: &PathPrefix) -> bool {
        route.holds(&self.matched)
    }

    /// Whether the path lies under the route's in one reading and outside it in another: after one decoding,
    /// and after decoding to the end, splitting at every `/` and `\` that appears and cutting at every `;`, `?`
    /// and `#`. No access rule holds for such a path, as the upstream may be of either mind: it is to be refused
    /// where it is ambiguous for any route of its host.
    pub fn is_ambiguous_for(&self, route: &PathPrefix) -> bool {
        self.deepest.as_ref().is_some_and(|deepest| route.holds(deepest) != route.holds(&self.matched))
    }

    /// The path as it is sent, without the segments of a route that it matches; one leading slash stays.
    pub fn without_prefix(&self, route: &PathPrefix) -> String {
        let rest = self.path.match_indices('/').nth(route.segments).map_or("/", |(at, _)| &self.path[at..]);
        rest.to_owned()
    }
}

/// A route's path: it holds whole segments, so that `/admin` does not hold `/administrator`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPrefix {
    /// In the match form, without a slash at its end; empty for `/`.
    matched: Vec<u8>,
    segments: usize,
}

impl PathPrefix {
    /// From the path as configured: plain text without escapes.
    pub fn new(plain_path: &str) -> Self {
        let mut prefix = Self { matched: Vec::with_capacity(plain_path.len()), segments: 0 };
        for segment in plain_path.split('/').filter(|segment| !segment.is_empty()) {
            prefix.matched.push(b'/');
            for byte in segment.bytes() {
                push_literal(byte, &mut prefix.matched);
            }
            prefix.segments += 1;
        }
        prefix
    }

    fn holds(&self, matched: &[u8]) -> bool {
        matched
            .strip_prefix(self.matched.as_slice())
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

fn refuse_raw_path(path: &str) -> Result<(), BadTarget> {
    match path.bytes().find(|byte| is_control(*byte) || matches!(byte, b' ' | b'\\' | b'?' | b'#')) {
        None => Ok(()),
        Some(b'\\') => Err(BadTarget::Backslash),
        Some(b' ') => Err(BadTarget::Space),
        Some(b'?' | b'#') => Err(BadTarget::Delimiter),
        Some(_) => Err(BadTarget::Control),
    }
}

fn refuse_raw_query(query: &str) -> Result<(), BadTarget> {
    match query.bytes().find(|byte| is_control(*byte) || matches!(byte, b' ' | b'#')) {
        None => Ok(()),
        Some(b' ') => Err(BadTarget::Space),
        Some(b'#') => Err(BadTarget::Delimiter),
        Some(_) => Err(BadTarget::Control),
    }
}

const fn is_control(byte: u8) -> bool {
    byte.is_ascii_control()
}

/// The segments of a path that starts with a slash; after a slash at the end comes an empty one.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}

fn is_dot_segment(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// The segment as somebody may read it who knows of params, and of queries and fragments within it.
fn bare(segment: &[u8]) -> &[u8] {
    segment.split(|byte| matches!(byte, b';' | b'?' | b'#')).next().unwrap_or_default()
}

/// What remains of a segment, or of a path, once nothing in it is hidden by an encoding.
fn pieces(decoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    decoded.split(|byte| matches!(byte, b'/' | b'\\')).map(bare)
}

fn refuse_ambiguous(segments: &[&str]) -> Result<(), BadTarget> {
    let before_last = &segments[..segments.len().saturating_sub(1)];
    let has_dots = segments.iter().any(|segment| is_dot_segment(segment.as_bytes()));
    if has_dots && before_last.contains(&"") {
        return Err(BadTarget::EmptyWithDotSegment);
    }
    if before_last.iter().any(|segment| segment.starts_with(';')) {
        return Err(BadTarget::HiddenEmptySegment);
    }
    segments.iter().try_for_each(|segment| refuse_hidden(segment.as_bytes()))
}

/// Judges what a segment hides by params and encodings. Further decoding never takes back a character that
/// shows, so the end of all decoding tells of every depth before it.
fn refuse_hidden(segment: &[u8]) -> Result<(), BadTarget> {
    if is_dot_segment(segment) || !segment.iter().any(|byte| matches!(byte, b'%' | b';')) {
        return Ok(());
    }
    let decoded = percent::decode_fully(segment);
    if decoded.iter().any(|byte| is_control(*byte)) {
        return Err(BadTarget::Control);
    }
    if percent::has_overlong_ascii(&decoded) {
        return Err(BadTarget::Overlong);
    }
    if pieces(&decoded).any(is_dot_segment) {
        return Err(BadTarget::HiddenDotSegment);
    }
    Ok(())
}

/// Removes dot segments (RFC 3986 §5.2.4) and empty ones; a dot segment at the end leaves its slash.
fn canonical(segments: &[&str]) -> String {
    let mut kept: Vec<&str> = Vec::with_capacity(segments.len());
    for segment in segments {
        match *segment {
            "" | "." => {}
            ".." => _ = kept.pop(),
            segment => kept.push(segment),
        }
    }
    if kept.is_empty() || matches!(segments.last(), Some(&("" | "." | ".."))) {
        kept.push("");
    }
    kept.iter().flat_map(|segment| ["/", segment]).collect()
}

fn match_form(path: &str) -> Vec<u8> {
    let mut matched = Vec::with_capacity(path.len());
    for segment in segments(path) {
        matched.push(b'/');
        let mut rest = bare(segment.as_bytes());
        while let [first, after @ ..] = rest {
            let escaped = percent::escape(rest);
            push_literal(escaped.unwrap_or(*first), &mut matched);
            rest = if escaped.is_some() { &rest[3..] } else { after };
        }
    }
    matched
}

/// What the path comes to, in the match form, once nothing is hidden by an encoding.
fn deepest_reading(path: &str) -> Vec<u8> {
    let decoded = percent::decode_fully(path.as_bytes());
    let mut deepest = Vec::with_capacity(decoded.len());
    for piece in pieces(&decoded).filter(|piece| !piece.is_empty()) {
        deepest.push(b'/');
        for byte in piece {
            push_literal(*byte, &mut deepest);
        }
    }
    deepest
}

/// Writes one character of a segment in the match form.
fn push_literal(byte: u8, matched: &mut Vec<u8>) {
    match byte {
        b'/' => matched.extend_from_slice(b"%2f"),
        b'\\' => matched.extend_from_slice(b"%5c"),
        b'%' => matched.extend_from_slice(b"%25"),
        _ => matched.push(byte.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(path: &str) -> Result<Target, BadTarget> {
        Target::parse(path, None)
    }

    /// Reads the fixtures' notation for bytes that could not be seen there.
    fn bytes(text: &str) -> Vec<u8> {
        let mut parts = text.split('<');
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            let (hex, rest) = part.split_once('>').unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            bytes.extend_from_slice(rest.as_bytes());
        }
        bytes
    }

    fn lines(fixture: &str) -> impl Iterator<Item = &str> {
        fixture.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    #[test]
    fn every_path_has_one_form_or_none() {
        for line in lines(include_str!("../../tests/fixtures/paths.txt")) {
            let (path, expected) = line.split_once(" → ").unwrap();
            let target = parse(&String::from_utf8(bytes(path)).unwrap());
            if let Some(reason) = expected.strip_prefix("400 ") {
                let refused = target.map_err(|reason| format!("{reason:?}"));
                assert_eq!(refused, Err(reason.to_owned()), "{line}");
                continue;
            }
            let (sent, matched) = expected.split_once(" | ").unwrap();
            let target = target.unwrap_or_else(|reason| panic!("{line}: {reason}"));
            assert_eq!(target.path().as_bytes(), bytes(sent), "{line}");
            assert_eq!(target.matched(), bytes(matched), "{line}");
        }
    }

    #[test]
    fn a_path_that_upstreams_may_read_two_ways_is_known() {
        for line in lines(include_str!("../../tests/fixtures/ambiguous_paths.txt")) {
            let (path, route) = line.split_once(' ').unwrap();
            let target = parse(path).unwrap();
            assert!(target.is_ambiguous_for(&PathPrefix::new(route)), "{line}");
            assert!(!target.is_ambiguous_for(&PathPrefix::new("/")), "{line}");
            assert!(!target.is_ambiguous_for(&PathPrefix::new("/other")), "{line}");
        }
        for path in
            ["/admin;x=y", "/admin/100%25", "/admin/a%20b", "/admin/feature%252Ffoo", "/%61dmin/a%3bb"]
        {
            assert!(!parse(path).unwrap().is_ambiguous_for(&PathPrefix::new("/admin")), "{path}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segments_end() {
        for (path, route, lies_under) in [
            ("/", "/", true),
            ("/anything", "/", true),
            ("/admin", "/admin", true),
            ("/admin/", "/admin", true),
            ("/Admin;x/users", "/aDMIN", true),
            ("/administrator", "/admin", false),
            ("/admin%20", "/admin", false),
            ("/", "/admin", false),
            ("/a/b/c", "/a/b", true),
            ("/a%2fb/c", "/a/b", false),
            ("/m%C3%BCller/x", "/müller", true),
            ("/a%20b", "/a b", true),
            ("/100%25/x", "/100%", true),
            ("/a%2fb", "/a%2fb", false),
            ("/a%252fb", "/a%2fb", true),
        ] {
            let matches = parse(path).unwrap().matches_prefix(&PathPrefix::new(route));
            assert_eq!(matches, lies_under, "{path} under {route}");
        }
    }

    #[test]
    fn a_stripped_prefix_leaves_one_leading_slash() {
        for (path, route, rest) in [
            ("/app", "/app", "/"),
            ("/app/", "/app", "/"),
            ("/app//x", "/app", "/x"),
            ("/%61pp;v=1/x;y/%2fz", "/app", "/x;y/%2fz"),
            ("/a/b/c/d/", "/a/b", "/c/d/"),
            ("/a/b", "/", "/a/b"),
        ] {
            let (target, route) = (parse(path).unwrap(), PathPrefix::new(route));
            assert!(target.matches_prefix(&route));
            assert_eq!(target.without_prefix(&route), rest, "{path}");
        }
    }

    #[test]
    fn the_query_passes_as_it_came_and_cannot_end_the_line() {
        let target = Target::parse("/a/../b", Some("x=%00%2e//..;?\\é")).unwrap();
        assert_eq!(target.path_and_query(), "/b?x=%00%2e//..;?\\é");
        assert_eq!(Target::parse("/", Some("")).unwrap().path_and_query(), "/?");
        for (query, reason) in [
            ("a b", BadTarget::Space),
            ("a#b", BadTarget::Delimiter),
            ("a\r\nX: y", BadTarget::Control),
            ("\0", BadTarget::Control),
            ("\x7f", BadTarget::Control),
        ] {
            assert_eq!(Target::parse("/", Some(query)), Err(reason), "{query:?}");
        }
    }

    #[test]
    fn encoded_separators_are_known_where_they_survive() {
        for path in ["/a%2fb", "/a%2Fb", "/a%5cb", "/a;%5C"] {
            assert!(parse(path).unwrap().has_encoded_separator(), "{path}");
        }
        for path in ["/a/b", "/a%252fb", "/a%2fb/../c"] {
            assert!(!parse(path).unwrap().has_encoded_separator(), "{path}");
        }
    }

    #[test]
    fn a_path_of_any_length_is_read_in_linear_time() {
        let nested = format!("/%{}61", "25".repeat(1 << 19));
        assert_eq!(parse(&nested).unwrap().path(), nested);
        assert_eq!(parse(&"/%25".repeat(1 << 19)).unwrap().path().len(), 4 << 19);
        assert_eq!(parse(&"/a/..".repeat(1 << 19)).unwrap().path(), "/");
    }

    /// The segments that the laxest upstream makes of a path, told independently of the code above: it decodes
    /// for as long as something changes, takes backslashes for slashes, cuts params, queries and fragments,
    /// skips empty segments, follows dots and ignores case.
    fn laxest(path: &[u8]) -> Vec<Vec<u8>> {
        let mut decoded = path.to_vec();
        loop {
            let once = decoded_once(&decoded);
            if once == decoded {
                break;
            }
            decoded = once;
        }
        let mut stack: Vec<Vec<u8>> = Vec::new();
        for piece in decoded.split(|byte| b"/\\".contains(byte)) {
            let end = piece.iter().position(|byte| b";?#".contains(byte)).unwrap_or(piece.len());
            match &piece[..end] {
                b"" | b"." => {}
                b".." => {
                    stack.pop();
                }
                name => stack.push(name.to_ascii_lowercase()),
            }
        }
        stack
    }

    fn decoded_once(text: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let digits = text.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            if let (b'%', Some(digits)) = (text[at], digits) {
                decoded.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
                at += 3;
            } else {
                decoded.push(text[at]);
                at += 1;
            }
        }
        decoded
    }

    fn attack() -> impl Strategy<Value = String> {
        const WORDS: [&str; 32] = [
            "/", "/", "/", "/", "%2f", "%5c", "%252f", ".", "..", "%2e", "%252e", ";", "%3b", ";x=y", "%25",
            "25", "2e", "2f", "5c", "61", "%61", "%2561", "admin", "ADMIN", "public", "a", "%3f", "%23",
            "%c3%bc", "é", "%", "%20",
        ];
        let word = prop_oneof![
            20 => proptest::sample::select(WORDS.as_slice()).prop_map(str::to_owned),
            1 => any::<char>().prop_map(String::from),
        ];
        proptest::collection::vec(word, 0..12).prop_map(|words| format!("/{}", words.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// What is sent is canonical: the proxy itself reads it as it read what came.
        #[test]
        fn what_is_sent_reads_as_what_came(path in attack()) {
            if let Ok(target) = parse(&path) {
                prop_assert_eq!(parse(target.path()), Ok(target));
            }
        }

        /// Wherever the laxest upstream goes with what is sent, a route there has matched, or the path is
        /// ambiguous for it; and no route has matched that the upstream does not come under.
        #[test]
        fn nothing_is_sent_outside_of_what_was_matched(path in attack()) {
            let Ok(target) = parse(&path) else { return Ok(()) };
            let reached = laxest(target.path().as_bytes());
            let fixed = ["/admin", "/public", "/a", "/a/admin", "/public/a"].map(str::to_owned);
            let above = (0..=reached.len()).filter_map(|depth| {
                let plain = reached[..depth].iter().flat_map(|name| [b"/", name.as_slice()].concat()).collect();
                String::from_utf8(plain).ok()
            });
            for plain in above.chain(fixed) {
                let route = PathPrefix::new(&plain);
                let segments: Vec<Vec<u8>> = plain
                    .split('/')
                    .filter(|segment| !segment.is_empty())
                    .map(|segment| segment.as_bytes().to_vec())
                    .collect();
                let is_reached = reached.starts_with(&segments);
                prop_assert!(
                    target.is_ambiguous_for(&route) || target.matches_prefix(&route) == is_reached,
                    "{:?} under {:?}", target, plain
                );
            }
        }

        /// No upstream finds dots to follow, however often it decodes before it looks for them.
        #[test]
        fn no_dot_segment_is_sent(path in attack()) {
            let Ok(target) = parse(&path) else { return Ok(()) };
            let mut depth = target.path().as_bytes().to_vec();
            for _ in 0..4 {
                for piece in depth.split(|byte| b"/\\".contains(byte)) {
                    let name = piece.split(|byte| b";?#".contains(byte)).next();
                    prop_assert!(!matches!(name, Some(b"." | b"..")), "{:?}", target);
                }
                depth = decoded_once(&depth);
            }
        }
    }
}
