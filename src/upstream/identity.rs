//! The headers by which an application learns who the user is.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::IdentityHeaders;
use crate::http::ManagedNames;
use crate::session::Session;

/// Writes identity headers, and knows which names are its own.
#[derive(Debug)]
pub struct IdentityWriter {
    headers: IdentityHeaders,
    managed: ManagedNames,
}

impl IdentityWriter {
    /// As configured.
    pub fn new(headers: IdentityHeaders) -> Self {
        let names = [
            &headers.user,
            &headers.email,
            &headers.name,
            &headers.groups,
            &headers.provider,
            &headers.session,
        ];
        let managed = ManagedNames::new(names.into_iter().flatten().chain(&headers.strip));
        Self { headers, managed }
    }

    /// What clients may not send, however it is spelled.
    pub fn managed(&self) -> &ManagedNames {
        &self.managed
    }

    /// Sets the headers for `session`. Names that the application is not told are absent.
    ///
    /// # Errors
    /// Where a value cannot stand in a header: then the request must not go upstream without it.
    pub fn write(&self, headers: &mut HeaderMap, session: &Session) -> Result<(), UnfitForHeader> {
        let identity = &session.identity;
        if identity.groups.iter().any(|group| group.trim() != group) {
            return Err(UnfitForHeader);
        }
        let groups: Vec<String> = identity.groups.iter().map(|group| group.replace(',', "%2C")).collect();
        let mut set = |name: &Option<HeaderName>, value: Option<&str>| match (name, value) {
            (Some(name), Some(value)) => {
                let value = fit(value)?;
                headers.insert(name.clone(), value);
                Ok(())
            }
            _ => Ok(()),
        };
        set(&self.headers.user, Some(&identity.user))?;
        set(&self.headers.email, identity.email.as_deref())?;
        set(&self.headers.name, identity.name.as_deref())?;
        set(&self.headers.groups, (!groups.is_empty()).then(|| groups.join(",")).as_deref())?;
        set(&self.headers.provider, Some(&identity.account.provider))?;
        set(&self.headers.session, Some(&session.handle.to_string()))
    }
}

/// White space around a value is none of it to whoever reads the header, who would take it for another's.
fn fit(value: &str) -> Result<HeaderValue, UnfitForHeader> {
    if value.trim() != value {
        return Err(UnfitForHeader);
    }
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| UnfitForHeader)
}

/// A part of somebody's identity holds control characters, or white space at one of its ends.
#[derive(Debug, thiserror::Error)]
#[error(
    "the user's identity cannot be written as headers: it holds control characters, or white space at an end"
)]
pub struct UnfitForHeader;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::session_of;

    fn writer() -> IdentityWriter {
        let name = |name| Some(HeaderName::from_static(name));
        IdentityWriter::new(IdentityHeaders {
            user: name("x-forwarded-user"),
            email: name("x-forwarded-email"),
            name: None,
            groups: name("x-forwarded-groups"),
            provider: None,
            session: None,
            strip: vec![HeaderName::from_static("remote-user")],
        })
    }

    #[test]
    fn names_pass_as_utf8_and_a_comma_in_a_group_cannot_make_two_of_it() {
        let mut headers = HeaderMap::new();
        writer().write(&mut headers, &session_of("ärmel", &["staff", "a,admin"])).unwrap();
        assert_eq!(headers["x-forwarded-user"].as_bytes(), "ärmel".as_bytes());
        assert_eq!(headers["x-forwarded-groups"], "staff,a%2Cadmin");
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn what_would_be_read_as_another_name_is_never_written() {
        for (user, group) in [
            ("alice\r\nX-Admin: 1", "staff"),
            ("alice\0", "staff"),
            (" alice", "staff"),
            ("alice\u{a0}", "staff"),
            ("alice", " admin"),
            ("alice", "admin\t"),
            ("alice", "a\nb"),
        ] {
            let written = writer().write(&mut HeaderMap::new(), &session_of(user, &["x", group]));
            assert!(written.is_err(), "{user:?} {group:?}");
        }
    }
}
