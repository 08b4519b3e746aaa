//! `[identity.*]`: what upstream applications are told.

use http::HeaderName;

use crate::http::folded;

use super::reader::{Complaint, Section, Value, kind};

/// How an upstream learns who the user is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `[identity.headers]`
    pub headers: IdentityHeaders,
}

/// The headers that carry the identity; `None` sends none. All of them, and those in `strip`, are removed from
/// what clients send.
#[derive(Clone, Debug)]
pub struct IdentityHeaders {
    /// The user's name.
    pub user: Option<HeaderName>,
    /// The e-mail address.
    pub email: Option<HeaderName>,
    /// The full name.
    pub name: Option<HeaderName>,
    /// The groups, comma-separated.
    pub groups: Option<HeaderName>,
    /// The provider that vouches for the user.
    pub provider: Option<HeaderName>,
    /// The session's handle.
    pub session: Option<HeaderName>,
    /// Further names that are removed.
    pub strip: Vec<HeaderName>,
}

impl IdentityHeaders {
    /// Names that applications are known to believe and that clients may say: neither removed nor ours.
    pub fn unguarded(&self) -> Vec<&'static str> {
        let told = [&self.user, &self.email, &self.name, &self.groups, &self.provider, &self.session];
        let guarded = told.into_iter().flatten().chain(&self.strip);
        let guarded: Vec<String> = guarded.map(|name| folded(name.as_str())).collect();
        STRIPPED.into_iter().filter(|name| !guarded.iter().any(|ours| ours == name)).collect()
    }
}

/// What other proxies of this kind call the user: applications may believe it, so clients must not say it.
const STRIPPED: [&str; 14] = [
    "x-remote-user",
    "remote-user",
    "remote-groups",
    "remote-email",
    "remote-name",
    "x-authenticated-user",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-groups",
    "x-auth-request-preferred-username",
    "x-auth-request-access-token",
    "x-webauth-user",
];

/// Names that mean something else already: framing, hop-by-hop, credentials, and what the proxy says of the request.
const TAKEN: [&str; 24] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

pub(super) fn read(section: &mut Section<'_>) -> Identity {
    Identity { headers: section.table("headers", headers) }
}

fn headers(section: &mut Section<'_>) -> IdentityHeaders {
    let standard = |name| Some(HeaderName::from_static(name));
    let headers = IdentityHeaders {
        user: section.value("user", header_or_none, standard("x-forwarded-user")),
        email: section.value("email", header_or_none, standard("x-forwarded-email")),
        name: section.value("name", header_or_none, standard("x-forwarded-name")),
        groups: section.value("groups", header_or_none, standard("x-forwarded-groups")),
        provider: section.value("provider", header_or_none, standard("x-forwarded-auth-provider")),
        session: section.value("session", header_or_none, standard("x-foregate-session")),
        strip: section.list("strip", header, STRIPPED.map(HeaderName::from_static).into()),
    };
    refuse_shared_names(section, &headers);
    headers
}

fn refuse_shared_names(section: &Section<'_>, headers: &IdentityHeaders) {
    let IdentityHeaders { user, email, name, groups, provider, session, strip: _ } = headers;
    let carriers = [
        ("user", user),
        ("email", email),
        ("name", name),
        ("groups", groups),
        ("provider", provider),
        ("session", session),
    ];
    for (index, (key, header)) in carriers.iter().enumerate() {
        let Some(header) = header else { continue };
        let same = |other: &HeaderName| folded(other.as_str()) == folded(header.as_str());
        for (earlier, _) in carriers[..index].iter().filter(|(_, other)| other.as_ref().is_some_and(same)) {
            // Of the two, the one that stands in the file is what somebody can change.
            let (at, other) = if section.has(key) { (key, earlier) } else { (earlier, key) };
            let what = format!("is the same header as {}", section.path_of(other));
            section.error(at, what, "give each a name of its own, or write \"\" to send none");
        }
    }
}

fn header_or_none(value: &Value<'_>) -> Result<Option<HeaderName>, Complaint> {
    if value.as_str() == Some("") { Ok(None) } else { header(value).map(Some) }
}

fn header(value: &Value<'_>) -> Result<HeaderName, Complaint> {
    kind::text_as(|text| {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
            let remedy = "write one such as \"X-Forwarded-User\"";
            Complaint::new(format!("{text:?} is not a header's name"), remedy)
        })?;
        if TAKEN.contains(&folded(name.as_str()).as_str()) {
            let what = format!("{text:?} means something else already");
            return Err(Complaint::new(what, "write a name of its own, such as \"X-Forwarded-User\""));
        }
        Ok(name)
    })(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::outcome;
    use super::*;

    fn headers_of(text: &str) -> Result<IdentityHeaders, Vec<String>> {
        outcome(text, headers).map(|(headers, _)| headers)
    }

    #[test]
    fn the_default_tells_who_the_user_is() {
        let headers = headers_of("").unwrap();
        assert_eq!(headers.user.unwrap(), "x-forwarded-user");
        assert_eq!(headers.session.unwrap(), "x-foregate-session");
        assert_eq!(headers.strip.len(), 14);
    }

    #[test]
    fn an_empty_name_sends_none() {
        let headers = headers_of("email = \"\"\nname = \"\"\nuser = \"X-Remote-User\"\nstrip = []").unwrap();
        assert_eq!((headers.email, headers.name), (None, None));
        assert_eq!(headers.user.unwrap(), "x-remote-user");
        assert!(headers.strip.is_empty());
    }

    #[test]
    fn two_parts_of_an_identity_never_share_a_header() {
        for (text, says) in [
            ("user = \"X-Who\"\nname = \"x_who\"", "error: name: is the same header as user"),
            ("name = \"X-Forwarded-User\"", "error: name: is the same header as user"),
            ("user = \"X-Forwarded.Email\"", "error: user: is the same header as email"),
        ] {
            let faults = headers_of(text).unwrap_err();
            assert!(faults[0].starts_with(says), "{faults:?}");
            assert_eq!(faults.len(), 1, "{faults:?}");
        }
    }

    #[test]
    fn names_that_mean_something_else_are_refused_however_they_are_spelled() {
        for name in TAKEN.into_iter().chain(["Host", "CONTENT_LENGTH", "x.forwarded!for"]) {
            let faults = headers_of(&format!("user = \"{name}\"\nstrip = [\"{name}\"]")).unwrap_err();
            assert_eq!(faults.len(), 2, "{name}: {faults:?}");
        }
        for name in ["X User", "X-User:", "é"] {
            assert!(headers_of(&format!("user = \"{name}\"")).is_err(), "{name}");
        }
        assert!(headers_of("strip = [\"\"]").is_err());
    }
}
