//! `Set-Cookie`: read as leniently as browsers read it (RFC 6265bis §5.6 and §5.7), written strictly.

use super::cookie_date;
use super::cookies::trim;
use crate::base::clock::Timestamp;

/// The most bytes that a name and its value may have together.
const LONGEST: usize = 4096;

/// The most bytes that the value of an attribute may have; a longer one counts as left out.
const LONGEST_ATTRIBUTE: usize = 1024;

/// The longest that browsers keep a cookie, in seconds: 400 days.
const LONGEST_AGE: u64 = 400 * 86_400;

/// The beginning of a name whose cookie is of one host alone.
pub const HOST_PREFIX: &str = "__Host-";

/// The beginning of a name whose cookie came by TLS.
pub const SECURE_PREFIX: &str = "__Secure-";

/// The `SameSite` attribute, the least strict first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SameSite {
    /// Sent everywhere.
    None,
    /// Sent on cross-site navigations by GET alone.
    Lax,
    /// Not sent on any cross-site request.
    Strict,
}

/// A cookie that a server sets, as a browser understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie<'a> {
    /// The name's bytes; empty where there is none.
    pub name: &'a [u8],
    /// The value's bytes.
    pub value: &'a [u8],
    /// What a rule puts before the name.
    pub prefix: &'static str,
    /// When it ends; `None` where `max_age` says it, which counts before.
    pub expires: Option<Timestamp>,
    /// In how many seconds it ends; at once where it is zero.
    pub max_age: Option<u64>,
    /// The domain, without a dot at its start; `None`: this host alone.
    pub domain: Option<&'a [u8]>,
    /// The path, which begins with a slash; `None`: the folder of the address that was asked for.
    pub path: Option<&'a [u8]>,
    /// `Secure`
    pub secure: bool,
    /// `HttpOnly`
    pub http_only: bool,
    /// `SameSite`; `None` also where it is none of the three words.
    pub same_site: Option<SameSite>,
    /// `Partitioned`
    pub partitioned: bool,
    /// Attributes that are none of these, as they stand there.
    pub others: Vec<&'a [u8]>,
}

/// What no browser would keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSetCookie {
    /// A control character, other than the tab.
    ControlCharacter,
    /// A name and a value of more than 4096 bytes together.
    TooLong,
    /// Neither a name nor a value.
    Empty,
    /// No name, but a value that would be sent back as a cookie of that name.
    Masquerade,
    /// A name that promises what the attributes do not hold.
    BrokenPrefix,
}

impl<'a> SetCookie<'a> {
    /// What a browser would make of the value of a `Set-Cookie` line. It is one cookie: commas separate nothing.
    ///
    /// # Errors
    /// Where it would refuse the cookie.
    pub fn parse(line: &'a [u8]) -> Result<Self, BadSetCookie> {
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(BadSetCookie::ControlCharacter);
        }
        let mut parts = line.split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default();
        let (name, value) = halves(pair).unwrap_or((b"", trim(pair)));
        let mut cookie = Self::new(name, value);
        parts.for_each(|attribute| cookie.take(attribute));
        if cookie.max_age.is_some() {
            cookie.expires = None;
        }
        cookie.check()?;
        Ok(cookie)
    }

    fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            name,
            value,
            prefix: "",
            expires: None,
            max_age: None,
            domain: None,
            path: None,
            secure: false,
            http_only: false,
            same_site: None,
            partitioned: false,
            others: Vec::new(),
        }
    }

    /// Of several attributes of one name the last counts.
    fn take(&mut self, attribute: &'a [u8]) {
        let (name, value) = halves(attribute).unwrap_or((trim(attribute), b""));
        if name.is_empty() || value.len() > LONGEST_ATTRIBUTE {
            return;
        }
        match name.to_ascii_lowercase().as_slice() {
            b"expires" => self.expires = cookie_date::parse(value).or(self.expires),
            b"max-age" => self.max_age = seconds(value).or(self.max_age),
            b"domain" => {
                let bare = value.strip_prefix(b".").unwrap_or(value);
                // A second dot, or white space, would be left out by who reads what we write.
                self.domain = Some(bare).filter(|domain| !matches!(domain, [] | [b'.' | b' ' | b'\t', ..]));
            }
            b"path" => self.path = Some(value).filter(|path| path.starts_with(b"/")),
            b"secure" => self.secure = true,
            b"httponly" => self.http_only = true,
            b"samesite" => self.same_site = same_site(value),
            b"partitioned" => self.partitioned = true,
            _ => self.others.push(trim(attribute)),
        }
    }

    /// Whether a browser would keep it.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check(&self) -> Result<(), BadSetCookie> {
        let named = !self.name.is_empty();
        if !named && self.value.is_empty() {
            return Err(BadSetCookie::Empty);
        }
        let passes_for_another = self.value.contains(&b'=') || has_prefix(self.value);
        if !named && passes_for_another {
            return Err(BadSetCookie::Masquerade);
        }
        if self.prefix.len() + self.name.len() + self.value.len() > LONGEST {
            return Err(BadSetCookie::TooLong);
        }
        if self.keeps_its_prefix() { Ok(()) } else { Err(BadSetCookie::BrokenPrefix) }
    }

    /// Whether the attributes hold what the name promises (RFC 6265bis §4.1.3).
    fn keeps_its_prefix(&self) -> bool {
        if self.prefix == HOST_PREFIX || begins_with(self.name, HOST_PREFIX) {
            return self.secure && self.domain.is_none() && self.path == Some(b"/");
        }
        self.secure || !begins_with(self.name, SECURE_PREFIX)
    }

    /// The value of a `Set-Cookie` line that says this and nothing else, each thing once and in one order.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.name.len() + self.value.len() + 96);
        line.extend_from_slice(self.prefix.as_bytes());
        line.extend_from_slice(self.name);
        line.push(b'=');
        line.extend_from_slice(self.value);
        let mut say = |attribute: &str, value: &[u8]| {
            line.extend_from_slice(b"; ");
            line.extend_from_slice(attribute.as_bytes());
            line.extend_from_slice(value);
        };
        if let Some(moment) = self.expires {
            say("Expires=", cookie_date::format(moment).as_bytes());
        }
        if let Some(seconds) = self.max_age {
            say("Max-Age=", seconds.to_string().as_bytes());
        }
        if let Some(domain) = self.domain {
            say("Domain=", domain);
        }
        if let Some(path) = self.path {
            say("Path=", path);
        }
        if let Some(same_site) = self.same_site {
            say("SameSite=", same_site.as_str().as_bytes());
        }
        let flags =
            [("Secure", self.secure), ("HttpOnly", self.http_only), ("Partitioned", self.partitioned)];
        flags.into_iter().filter(|(_, is_set)| *is_set).for_each(|(flag, _)| say(flag, b""));
        self.others.iter().for_each(|other| say("", other));
        line
    }
}

impl SameSite {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Lax => "Lax",
            Self::Strict => "Strict",
        }
    }
}

/// Whether a name promises something by its beginning, in any case.
pub fn has_prefix(name: &[u8]) -> bool {
    begins_with(name, HOST_PREFIX) || begins_with(name, SECURE_PREFIX)
}

fn begins_with(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// The name that a `Set-Cookie` line says, whether or not a browser would take it; empty where it says none.
pub fn said_name(line: &[u8]) -> &[u8] {
    let pair = line.split(|byte| *byte == b';').next().unwrap_or_default();
    halves(pair).map(|(name, _)| name).unwrap_or_default()
}

/// What stands before the first `=` and what behind it.
fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, from) = text.split_at(text.iter().position(|byte| *byte == b'=')?);
    Some((trim(before), trim(&from[1..])))
}

/// `Max-Age`: one that has passed is zero.
fn seconds(value: &[u8]) -> Option<u64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() < value.len() {
        return Some(0);
    }
    Some(str::from_utf8(digits).ok()?.parse().unwrap_or(LONGEST_AGE))
}

fn same_site(value: &[u8]) -> Option<SameSite> {
    let words = [SameSite::None, SameSite::Lax, SameSite::Strict];
    words.into_iter().find(|word| value.eq_ignore_ascii_case(word.as_str().as_bytes()))
}
