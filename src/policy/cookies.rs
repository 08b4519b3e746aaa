//! The cookies that applications set: what becomes of each.

use std::time::Duration;

use http::HeaderMap;

use super::OwnCookies;
use crate::base::clock::Timestamp;
use crate::config::{self, CookieRule, HostPattern, NamePattern, PolicyMode};
use crate::http::cookies::{likeness, sent_name, sift};
use crate::http::set_cookie::{BadSetCookie, HOST_PREFIX, said_name};
use crate::http::{SameSite, SetCookie};

/// What holds for applications' cookies.
#[derive(Debug)]
pub struct CookiePolicy {
    config: config::Cookies,
    own: OwnCookies,
    /// Where names go out under a prefix, and what they look like without.
    prefixed: Vec<(HostPattern, Likeness)>,
}

/// What a pattern's names look like to some application.
#[derive(Debug)]
enum Likeness {
    Whole(Vec<u8>),
    Start(Vec<u8>),
}

/// What becomes of a `Set-Cookie` line.
#[derive(Debug, PartialEq, Eq)]
pub enum Treatment<'a> {
    /// It would set a cookie of the proxy's own, and does not go out, whatever the policy.
    Ours,
    /// It is none of the policy's business.
    Exempt,
    /// It goes out as this, with these changes; none, where it keeps to the policy by itself.
    Passed(SetCookie<'a>, Vec<Change>),
    /// It does not go out.
    Dropped(DropReason),
}

/// What is changed of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It becomes `Secure`.
    Secure,
    /// It becomes `HttpOnly`.
    HttpOnly,
    /// It becomes stricter.
    SameSite {
        /// What the application said.
        from: Option<SameSite>,
        /// What goes out.
        to: SameSite,
    },
    /// It is for one host alone.
    Domain,
    /// It ends earlier.
    MaxAge,
    /// It goes out under another name.
    HostPrefix,
}

/// Why a cookie does not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// A rule says so.
    Rule,
    /// No browser would keep it.
    Refused(BadSetCookie),
}

impl Likeness {
    fn of(pattern: &NamePattern) -> Self {
        match pattern {
            NamePattern::Exact(name) => Self::Whole(likeness(name.as_bytes())),
            NamePattern::Prefix(start) => Self::Start(likeness(start.as_bytes())),
        }
    }

    fn fits(&self, name: &[u8]) -> bool {
        match self {
            Self::Whole(whole) => whole == name,
            Self::Start(start) => name.starts_with(start),
        }
    }
}

impl Change {
    /// What it is, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secure => "Secure added",
            Self::HttpOnly => "HttpOnly added",
            Self::SameSite { from: None, to: SameSite::None } => "SameSite=None added",
            Self::SameSite { from: None, to: SameSite::Lax } => "SameSite=Lax added",
            Self::SameSite { from: None, to: SameSite::Strict } => "SameSite=Strict added",
            Self::SameSite { from: Some(_), to: SameSite::Strict } => "made SameSite=Strict",
            Self::SameSite { from: Some(_), to: _ } => "made SameSite=Lax",
            Self::Domain => "Domain removed",
            Self::MaxAge => "age cut to max_age",
            Self::HostPrefix => "goes out as __Host-NAME, with Path=/",
        }
    }
}

impl DropReason {
    /// What it is, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "dropped by its rule",
            Self::Refused(BadSetCookie::ControlCharacter) => "dropped: has a control character",
            Self::Refused(BadSetCookie::TooLong) => "dropped: longer than 4096 bytes",
            Self::Refused(BadSetCookie::Empty) => "dropped: has neither name nor value",
            Self::Refused(BadSetCookie::Masquerade) => "dropped: has no name, and passes for another",
            Self::Refused(BadSetCookie::BrokenPrefix) => "dropped: does not hold what its prefix promises",
        }
    }
}

impl CookiePolicy {
    /// As configured; `own` nobody else sets or gets.
    pub fn new(config: config::Cookies, own: OwnCookies) -> Self {
        let renaming = config.rules.iter().filter(|rule| rule.host_prefix);
        let prefixed = renaming.map(|rule| (rule.host.clone(), Likeness::of(&rule.name))).collect();
        Self { config, own, prefixed }
    }

    /// Whether it is kept, or only told of.
    pub fn mode(&self) -> PolicyMode {
        self.config.mode
    }

    /// What becomes of the value of a `Set-Cookie` line from an application on `host`, at the moment `now`.
    pub fn judge<'a>(&self, line: &'a [u8], host: &str, now: Timestamp) -> Treatment<'a> {
        if self.own.is_set_by(line) {
            return Treatment::Ours;
        }
        let name = said_name(line);
        if self.config.mode == PolicyMode::Off || self.is_exempt(name) {
            return Treatment::Exempt;
        }
        let rule = self.rule(name, host);
        if rule.is_some_and(|rule| rule.drop) {
            return Treatment::Dropped(DropReason::Rule);
        }
        match SetCookie::parse(line) {
            Ok(cookie) => self.enforce(cookie, rule, now),
            Err(bad) => Treatment::Dropped(DropReason::Refused(bad)),
        }
    }

    fn enforce<'a>(
        &self,
        mut cookie: SetCookie<'a>,
        rule: Option<&CookieRule>,
        now: Timestamp,
    ) -> Treatment<'a> {
        let mut changes = Vec::new();
        if self.config.drop_domain && cookie.domain.take().is_some() {
            changes.push(Change::Domain);
        }
        if rule.and_then(|rule| rule.max_age).is_some_and(|cap| shorten(&mut cookie, cap, now)) {
            changes.push(Change::MaxAge);
        }
        if rule.is_some_and(|rule| rule.host_prefix) {
            if cookie.name.is_empty() {
                return Treatment::Dropped(DropReason::Refused(BadSetCookie::Masquerade));
            }
            cookie.prefix = HOST_PREFIX;
            cookie.path = Some(b"/");
            changes.push(Change::HostPrefix);
        }
        self.harden(&mut cookie, rule, &mut changes);
        if self.own.contains(&[cookie.prefix.as_bytes(), cookie.name].concat()) {
            return Treatment::Ours;
        }
        match cookie.check() {
            Ok(()) => Treatment::Passed(cookie, changes),
            Err(bad) => Treatment::Dropped(DropReason::Refused(bad)),
        }
    }

    /// The attributes that make a cookie safer.
    fn harden(&self, cookie: &mut SetCookie<'_>, rule: Option<&CookieRule>, changes: &mut Vec<Change>) {
        if self.config.secure && !cookie.secure {
            cookie.secure = true;
            changes.push(Change::Secure);
        }
        let by_default = self.config.http_only && !any_fits(&self.config.script_readable, cookie.name);
        if rule.and_then(|rule| rule.http_only).unwrap_or(by_default) && !cookie.http_only {
            cookie.http_only = true;
            changes.push(Change::HttpOnly);
        }
        let least = rule.and_then(|rule| rule.same_site).unwrap_or(self.config.same_site);
        if cookie.same_site < Some(least) {
            let from = cookie.same_site.replace(least);
            changes.push(Change::SameSite { from, to: least });
        }
    }

    /// Makes of a browser's cookies those that the application knows: the proxy's own go; what went out under a prefix
    /// loses it, and what did not go out so, but an application might take for it, goes.
    pub fn restore(&self, headers: &mut HeaderMap, host: &str) {
        self.own.cut(headers);
        if self.config.mode != PolicyMode::Enforce || !self.prefixed.iter().any(|(hosts, _)| hosts.fits(host))
        {
            return;
        }
        sift(headers, |pair| {
            let name = sent_name(pair);
            let bare = name.strip_prefix(HOST_PREFIX.as_bytes());
            if bare.is_some_and(|bare| self.is_prefixed(bare, host)) {
                return pair.strip_prefix(HOST_PREFIX.as_bytes()).filter(|rest| rest.contains(&b'='));
            }
            (!self.passes_for_prefixed(name, host)).then_some(pair)
        });
    }

    fn is_prefixed(&self, name: &[u8], host: &str) -> bool {
        !self.is_exempt(name) && self.rule(name, host).is_some_and(|rule| rule.host_prefix)
    }

    fn passes_for_prefixed(&self, name: &[u8], host: &str) -> bool {
        if self.is_exempt(name) {
            return false;
        }
        if let Some(rule) = self.rule(name, host) {
            return rule.host_prefix;
        }
        let look = likeness(name);
        self.prefixed.iter().any(|(hosts, alike)| hosts.fits(host) && alike.fits(&look))
    }

    pub(super) fn is_own(&self, name: &[u8]) -> bool {
        self.own.contains(name)
    }

    pub(super) fn is_exempt(&self, name: &[u8]) -> bool {
        any_fits(&self.config.exempt, name)
    }

    fn rule(&self, name: &[u8], host: &str) -> Option<&CookieRule> {
        self.config.rules.iter().find(|rule| rule.name.fits(name) && rule.host.fits(host))
    }
}

fn any_fits(patterns: &[NamePattern], name: &[u8]) -> bool {
    patterns.iter().any(|pattern| pattern.fits(name))
}

/// Whether the cookie would have lived for longer.
fn shorten(cookie: &mut SetCookie<'_>, cap: Duration, now: Timestamp) -> bool {
    let is_longer = match (cookie.max_age, cookie.expires) {
        (Some(seconds), _) => seconds > cap.as_secs(),
        (None, Some(moment)) => moment > now.plus(cap),
        (None, None) => false,
    };
    if is_longer {
        (cookie.max_age, cookie.expires) = (Some(cap.as_secs()), None);
    }
    is_longer
}

#[cfg(test)]
mod tests {
    use ::cookie::Cookie;
    use http::header::{COOKIE, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "app.test";
    const NOON: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn names(patterns: &[&str]) -> Vec<NamePattern> {
        patterns.iter().map(|text| name(text)).collect()
    }

    fn name(text: &str) -> NamePattern {
        match text.strip_suffix('*') {
            Some(start) => NamePattern::Prefix(start.to_owned()),
            None => NamePattern::Exact(text.to_owned()),
        }
    }

    fn defaults() -> config::Cookies {
        config::Cookies {
            mode: PolicyMode::Enforce,
            secure: true,
            http_only: true,
            script_readable: names(&["XSRF-TOKEN", "CSRF-TOKEN", "csrftoken", "_csrf*"]),
            same_site: SameSite::Lax,
            drop_domain: true,
            exempt: Vec::new(),
            rules: Vec::new(),
        }
    }

    fn rule(text: &str) -> CookieRule {
        CookieRule {
            name: name(text),
            host: HostPattern::Any,
            http_only: None,
            same_site: None,
            max_age: None,
            host_prefix: false,
            drop: false,
        }
    }

    fn policy(config: config::Cookies) -> CookiePolicy {
        CookiePolicy::new(config, OwnCookies::new("__Host-session"))
    }

    fn with(rules: impl IntoIterator<Item = CookieRule>) -> CookiePolicy {
        policy(config::Cookies { rules: rules.into_iter().collect(), ..defaults() })
    }

    /// What goes out of `line`, or why nothing does.
    fn out(policy: &CookiePolicy, line: &[u8]) -> Vec<u8> {
        match policy.judge(line, HOST, NOON) {
            Treatment::Ours => b"ours".to_vec(),
            Treatment::Exempt => line.to_vec(),
            Treatment::Passed(cookie, _) => cookie.to_line(),
            Treatment::Dropped(reason) => reason.as_str().into(),
        }
    }

    fn said(policy: &CookiePolicy, line: &str) -> String {
        String::from_utf8(out(policy, line.as_bytes())).unwrap()
    }

    fn changes(policy: &CookiePolicy, line: &str) -> Vec<&'static str> {
        match policy.judge(line.as_bytes(), HOST, NOON) {
            Treatment::Passed(_, changes) => changes.into_iter().map(Change::as_str).collect(),
            verdict => panic!("{line}: {verdict:?}"),
        }
    }

    /// The bytes that a line of the fixture stands for.
    fn bytes(text: &str) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), text);
        while let Some(first) = rest.chars().next() {
            let (one, after) = match first {
                '\\' if rest.starts_with("\\x") => {
                    (vec![u8::from_str_radix(&rest[2..4], 16).unwrap()], &rest[4..])
                }
                '\\' => {
                    let names = [('t', b'\t'), ('n', b'\n'), ('r', b'\r'), ('0', 0)];
                    let wanted = rest.chars().nth(1).unwrap();
                    (vec![names.iter().find(|(name, _)| *name == wanted).unwrap().1], &rest[2..])
                }
                '{' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                    let (number, after) = rest[1..].split_once('}').unwrap();
                    (vec![b'x'; number.parse().unwrap()], after)
                }
                _ => (first.to_string().into_bytes(), &rest[first.len_utf8()..]),
            };
            bytes.extend(one);
            rest = after;
        }
        bytes
    }

    #[test]
    fn each_hostile_cookie_comes_to_what_the_list_says() {
        let policy = policy(defaults());
        let text = include_str!("../../tests/fixtures/set_cookies.txt");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut tried = 0;
        for line in lines {
            let (set, expected) = line.split_once(" => ").unwrap_or_else(|| panic!("{line}"));
            let found = out(&policy, &bytes(set));
            let expected = bytes(expected);
            assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{line}");
            tried += 1;
        }
        assert!(tried > 80, "{tried}");
    }

    #[test]
    fn each_change_is_told_once_and_a_good_cookie_has_none() {
        let policy = policy(defaults());
        let good = "a=b; Path=/; Secure; HttpOnly; SameSite=Strict";
        assert_eq!(changes(&policy, good), [""; 0]);
        let bad = "a=b; Domain=app.test";
        assert_eq!(
            changes(&policy, bad),
            ["Domain removed", "Secure added", "HttpOnly added", "SameSite=Lax added"]
        );
        assert_eq!(changes(&policy, "csrftoken=b; SameSite=None; Secure"), ["made SameSite=Lax"]);
    }

    #[test]
    fn a_rule_changes_what_it_names_and_nothing_else() {
        let strict = CookieRule { same_site: Some(SameSite::Strict), ..rule("sid") };
        let open = CookieRule { http_only: Some(false), same_site: Some(SameSite::None), ..rule("widget") };
        let closed = CookieRule { http_only: Some(true), ..rule("csrftoken") };
        let policy = with([strict, open, closed, CookieRule { drop: true, ..rule("track*") }]);
        for (set, out) in [
            ("sid=1; SameSite=Lax", "sid=1; SameSite=Strict; Secure; HttpOnly"),
            ("SID=1", "SID=1; SameSite=Lax; Secure; HttpOnly"),
            ("widget=1", "widget=1; SameSite=None; Secure"),
            ("widget=1; HttpOnly; SameSite=Strict", "widget=1; SameSite=Strict; Secure; HttpOnly"),
            ("csrftoken=1", "csrftoken=1; SameSite=Lax; Secure; HttpOnly"),
            ("tracker=1", "dropped by its rule"),
            ("track", "=track; SameSite=Lax; Secure; HttpOnly"),
        ] {
            assert_eq!(said(&policy, set), out, "{set}");
        }
    }

    #[test]
    fn the_first_rule_whose_name_and_host_fit_counts() {
        let here = HostPattern::Subdomains(".test".to_owned());
        let elsewhere =
            CookieRule { drop: true, host: HostPattern::Exact("other.test".to_owned()), ..rule("a") };
        let first = CookieRule { same_site: Some(SameSite::Strict), host: here, ..rule("a") };
        let policy = with([elsewhere, first, CookieRule { drop: true, ..rule("a*") }]);
        assert_eq!(said(&policy, "a=1"), "a=1; SameSite=Strict; Secure; HttpOnly");
        assert_eq!(said(&policy, "ab=1"), "dropped by its rule");
        assert_eq!(policy.judge(b"a=1", "other.test", NOON), Treatment::Dropped(DropReason::Rule));
    }

    #[test]
    fn an_age_is_cut_and_never_made_longer() {
        let policy = with([CookieRule { max_age: Some(HOUR), ..rule("*") }]);
        let rest = "; SameSite=Lax; Secure; HttpOnly";
        for (set, out) in [
            ("a=1", "a=1"),
            ("a=1; Max-Age=3600", "a=1; Max-Age=3600"),
            ("a=1; Max-Age=3601", "a=1; Max-Age=3600"),
            ("a=1; Max-Age=0; Expires=Fri, 01 Jan 2038 00:00:00 GMT", "a=1; Max-Age=0"),
            ("a=1; Expires=Fri, 01 Jan 2038 00:00:00 GMT", "a=1; Max-Age=3600"),
            ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            ("a=1; Expires=Tue, 14 Nov 2023 23:13:20 GMT", "a=1; Expires=Tue, 14 Nov 2023 23:13:20 GMT"),
            ("a=1; Expires=Tue, 14 Nov 2023 23:13:21 GMT", "a=1; Max-Age=3600"),
        ] {
            assert_eq!(said(&policy, set), format!("{out}{rest}"), "{set}");
        }
        assert_eq!(
            changes(&policy, "a=1; Max-Age=3601; Secure; HttpOnly; SameSite=Lax"),
            ["age cut to max_age"]
        );
    }

    #[test]
    fn a_prefixed_cookie_goes_out_as_browsers_demand() {
        let prefixed = |text: &str| CookieRule { host_prefix: true, ..rule(text) };
        let policy = with([prefixed("sid"), prefixed("s*")]);
        let rest = "; Path=/; SameSite=Lax; Secure; HttpOnly";
        assert_eq!(said(&policy, "sid=1; Path=/app; Domain=app.test"), format!("__Host-sid=1{rest}"));
        assert_eq!(
            changes(&policy, "sid=1; Secure; HttpOnly; SameSite=Lax"),
            ["goes out as __Host-NAME, with Path=/"]
        );
        assert_eq!(said(&policy, "session=1"), "ours", "a pattern makes it no name of ours");
        let longest = format!("sid={}", "x".repeat(4096 - 3));
        assert_eq!(said(&policy, &longest), "dropped: longer than 4096 bytes", "with its prefix");
        let any = with([prefixed("*")]);
        assert_eq!(said(&any, "bare"), "dropped: has no name, and passes for another");
    }

    #[test]
    fn the_exempt_are_left_alone_and_so_are_all_where_it_is_off() {
        let exempt = policy(config::Cookies { exempt: names(&["legacy*"]), ..defaults() });
        let off = policy(config::Cookies { mode: PolicyMode::Off, ..defaults() });
        for policy in [exempt, off] {
            let line = "legacy=1;Domain=.app.test;;SameSite=None , x";
            assert_eq!(said(&policy, line), line);
            assert_eq!(said(&policy, "__host-SESSION=1"), "ours");
        }
    }

    fn restored(policy: &CookiePolicy, line: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(line).unwrap());
        policy.restore(&mut headers, HOST);
        headers.get(COOKIE).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn what_went_out_under_a_prefix_comes_back_without_and_nothing_else_passes_for_it() {
        let prefixed = CookieRule { host_prefix: true, ..rule("my_sid") };
        let policy = with([prefixed]);
        assert_eq!(restored(&policy, "a=1; __Host-my_sid=x; b=\"2\""), "a=1; my_sid=x; b=\"2\"");
        assert_eq!(restored(&policy, "__Host-other=1; __Host-session=1"), "__Host-other=1");
        for planted in [
            "my_sid=evil",
            "MY_SID=evil",
            " my_sid =evil",
            "my_sid",
            "=my_sid=evil",
            "my.sid=evil",
            "my sid=evil",
            "my_sid[0]=evil",
            "my%5Fsid=evil",
            "%6dy%255fsid=evil",
            "%20my_sid=evil",
            "my_sid%00x=evil",
            "=__Host-my_sid=evil",
            "__Host-my_sid",
        ] {
            for line in [format!("{planted}; a=1"), format!("a=1; {planted}")] {
                assert_eq!(restored(&policy, &line), "a=1", "{planted}");
            }
        }
        for other in ["my_sid2=1", "xmy_sid=1", "my=sid", "__host-my_sid=1", "my-sid=1"] {
            assert_eq!(restored(&policy, other), other);
        }
    }

    #[test]
    fn what_another_rule_is_for_keeps_its_name() {
        let plain = CookieRule { http_only: Some(false), ..rule("s_open") };
        let prefixed = CookieRule { host_prefix: true, ..rule("s_*") };
        let rules = vec![plain, prefixed];
        let kept = policy(config::Cookies { exempt: names(&["s_free"]), rules: rules.clone(), ..defaults() });
        assert_eq!(restored(&kept, "s_open=1; s_free=2; s_x=3; __Host-s_x=4"), "s_open=1; s_free=2; s_x=4");
        assert_eq!(restored(&kept, "__Host-s_open=1; __Host-s_free=2"), "__Host-s_open=1; __Host-s_free=2");
        for mode in [PolicyMode::Report, PolicyMode::Off] {
            let policy = policy(config::Cookies { mode, rules: rules.clone(), ..defaults() });
            assert_eq!(restored(&policy, "s_x=3; __Host-s_x=4; __Host-session=5"), "s_x=3; __Host-s_x=4");
        }
    }

    #[test]
    fn a_rule_of_another_host_renames_nothing_here() {
        let host = HostPattern::Exact("other.test".to_owned());
        let policy = with([CookieRule { host_prefix: true, host, ..rule("sid") }]);
        assert_eq!(restored(&policy, "sid=1; __Host-sid=2"), "sid=1; __Host-sid=2");
        assert_eq!(said(&policy, "sid=1"), "sid=1; SameSite=Lax; Secure; HttpOnly");
    }

    /// What is put together to attack a reader of cookies.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let pieces = [
            "; ",
            ";",
            "=",
            " ",
            "\t",
            ",",
            "\"",
            "a",
            "sid",
            "Secure",
            "HttpOnly",
            "Partitioned",
            "SameSite=",
            "SameSite=None",
            "SameSite=bogus",
            "Strict",
            "Domain=",
            ".app.test",
            "Path=/",
            "Path=",
            "Max-Age=",
            "9999",
            "-1",
            "Expires=",
            "Fri, 01-Jan-38 00:00:00",
            "__Host-",
            "__secure-",
            "session",
            "csrftoken",
            "\r\n",
            "\0",
            "\u{7f}",
            "é",
        ];
        prop_oneof![
            6 => prop::sample::select(pieces.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..6),
            1 => (4_000_usize..4_100).prop_map(|length| vec![b'x'; length]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn whatever_comes_in_one_line_that_keeps_to_the_policy_goes_out(
            pieces in prop::collection::vec(piece(), 0..14)
        ) {
            let prefixed = CookieRule { host_prefix: true, max_age: Some(HOUR), ..rule("s*") };
            let policy = with([prefixed]);
            let line = pieces.concat();
            let Treatment::Passed(cookie, _) = policy.judge(&line, HOST, NOON) else { return Ok(()) };
            let out = cookie.to_line();
            prop_assert!(out.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t'));
            prop_assert!(HeaderValue::from_bytes(&out).is_ok());

            let again = SetCookie::parse(&out).unwrap();
            prop_assert_eq!(again.to_line(), out.clone(), "it says one thing only");
            prop_assert!(again.secure && again.domain.is_none() && again.same_site >= Some(SameSite::Lax));
            prop_assert!(again.http_only || again.name.starts_with(b"csrftoken"));
            prop_assert!(!again.name.starts_with(b"s") && !policy.own.is_set_by(&out));
            if cookie.prefix == HOST_PREFIX {
                prop_assert!(again.path == Some(b"/".as_slice()));
                prop_assert!(again.max_age.is_none_or(|age| age <= HOUR.as_secs()));
                prop_assert!(again.expires.is_none_or(|end| end <= NOON.plus(HOUR)));
            }
            let verdict = policy.judge(&out, HOST, NOON);
            prop_assert!(matches!(&verdict, Treatment::Passed(_, changes) if changes.is_empty()), "{:?}", verdict);

            // Somebody else's reader finds the same.
            if let Ok(text) = str::from_utf8(&out) && !again.name.is_empty() {
                let read = Cookie::parse(text).unwrap();
                prop_assert_eq!(read.name().as_bytes(), again.name);
                prop_assert_eq!((read.secure(), read.domain()), (Some(true), None));
                prop_assert_eq!(read.http_only().unwrap_or(false), again.http_only);
            }
        }
    }
}
