//! A form as it was sent, and what is known of it.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, REFERER};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::LIFE;
use crate::base::clock::Timestamp;
use crate::base::random::Random;
use crate::base::sealed::{SealPurpose, Sealer};
use crate::http::RequestContext;
use crate::http::cookies::{self, BROWSER_COOKIE};
use crate::session::carried::COOKIES_CHECKED;
use crate::session::id::SessionId;

/// What browsers send forms as (HTML §4.10.21.5).
const FORM_TYPES: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// What of the request's head is kept; applications look at the last two to see whose page has sent a form.
const KEPT_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, ORIGIN, REFERER];

/// No longer text of a head is kept. Browsers cut `Referer` here.
const LONGEST: usize = 4096;

/// A form as it was sent.
pub struct UnsentForm {
    /// Its body.
    pub body: Bytes,
    /// For which host it was sent: for others it does not open.
    host: String,
    pub(super) label: Label,
    /// By which it lies in the store, and which alone opens it there.
    pub(super) id: SessionId,
}

/// What is known of a form besides its body.
#[derive(Serialize, Deserialize)]
pub(super) struct Label {
    /// Where it goes: a path and a query.
    pub(super) target: String,
    /// Those of [`KEPT_HEADERS`] that there were.
    headers: Vec<(String, String)>,
    /// In seconds since the Unix epoch.
    sent_at: i64,
    /// The cookies by which the browser was known.
    pub(super) browsers: Vec<String>,
}

/// Whether a body under these headers is a form's, as browsers send it.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(content_type), None) = (types.next().and_then(text), types.next()) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default().trim_ascii();
    let is_known = FORM_TYPES.iter().any(|form_type| essence.eq_ignore_ascii_case(form_type));
    is_known && !headers.contains_key(CONTENT_ENCODING)
}

impl UnsentForm {
    /// A form that comes as `body`, now.
    pub(super) fn new(
        id: SessionId,
        request: &RequestContext,
        headers: &HeaderMap,
        body: Bytes,
        now: Timestamp,
    ) -> Self {
        let kept = KEPT_HEADERS
            .iter()
            .filter_map(|name| Some((name.as_str().to_owned(), text(headers.get(name)?)?.to_owned())));
        let browsers = cookies::values(headers, BROWSER_COOKIE).take(COOKIES_CHECKED);
        let browsers = browsers.filter(|value| value.len() <= LONGEST);
        let label = Label {
            target: request.target.path_and_query(),
            headers: kept.collect(),
            sent_at: now.seconds(),
            browsers: browsers.filter_map(|value| String::from_utf8(value.to_vec()).ok()).collect(),
        };
        Self { body, host: request.authority.host().to_owned(), label, id }
    }

    /// What lies in the store.
    pub(super) fn seal(&self, random: Random) -> Vec<u8> {
        let label = serde_json::to_vec(&self.label).expect("text is always JSON");
        let content = [&label, b"\n".as_slice(), &self.body].concat();
        sealer(&self.id).seal(&content, self.host.as_bytes(), random)
    }

    /// From what lies in the store; `None` where that is nothing that we put there.
    pub(super) fn open(id: SessionId, host: &str, sealed: &[u8]) -> Option<Self> {
        let content = sealer(&id).open(sealed, host.as_bytes())?;
        let end = content.expose().iter().position(|byte| *byte == b'\n')?;
        let (label, body) = content.expose().split_at(end);
        let label = serde_json::from_slice(label).ok()?;
        Some(Self { body: Bytes::copy_from_slice(&body[1..]), host: host.to_owned(), label, id })
    }

    /// When it is thrown away.
    pub(super) fn until(&self) -> Timestamp {
        Timestamp::from_seconds(self.label.sent_at).plus(LIFE)
    }

    /// Makes the headers of the request that stands for it what they were with it.
    pub fn restore(&self, headers: &mut HeaderMap) {
        for name in KEPT_HEADERS {
            headers.remove(name);
        }
        headers.remove(CONTENT_ENCODING);
        for (name, value) in &self.label.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        headers.insert(CONTENT_LENGTH, self.body.len().into());
    }
}

/// Nothing of what people fill in.
impl fmt::Debug for UnsentForm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "UnsentForm({}, {} bytes)", self.id.handle(), self.body.len())
    }
}

fn sealer(id: &SessionId) -> Sealer {
    Sealer::derive(id.bytes().expose(), SealPurpose::UnsentForm)
}

fn text(line: &HeaderValue) -> Option<&str> {
    line.to_str().ok().filter(|text| text.len() <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_what_browsers_send_as_one() {
        let is = |lines: &[(HeaderName, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, HeaderValue::try_from(*value).unwrap());
            }
            is_form(&headers)
        };
        for content_type in ["text/plain", "Multipart/Form-Data ; boundary=x"] {
            assert!(is(&[(CONTENT_TYPE, content_type)]), "{content_type}");
        }
        for lines in [
            &[][..],
            &[(CONTENT_TYPE, "application/json")],
            &[(CONTENT_TYPE, "text/plain; charset=\u{fc}")],
            &[(CONTENT_TYPE, "text/plain"), (CONTENT_TYPE, "text/plain")],
            &[(CONTENT_TYPE, "text/plain"), (CONTENT_ENCODING, "gzip")],
        ] {
            assert!(!is(lines), "{lines:?}");
        }
    }
}
