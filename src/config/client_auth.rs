//! `[tls.client_auth]`: certificates of clients.

use std::net::IpAddr;
use std::path::PathBuf;

use super::context::Context;
use super::host;
use super::reader::{Complaint, Section, Value, kind};

/// Which hosts ask their clients for a certificate, and whose count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// Whether there has to be one.
    pub mode: ClientAuthMode,
    /// The hosts, in lower case; empty: all.
    pub hosts: Vec<String>,
    /// A PEM bundle of the authorities whose certificates count.
    pub ca: PathBuf,
    /// PEM lists of the certificates that count no more.
    pub crl: Option<PathBuf>,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// One that is shown has to be good.
    Optional,
    /// There is no connection without one.
    Required,
}

impl ClientAuth {
    /// Whether it is for this host; a client that names none gets to none of the hosts that are named here.
    pub fn covers(&self, host: Option<&str>) -> bool {
        let is_named = |host: &str| self.hosts.iter().any(|covered| covered.eq_ignore_ascii_case(host));
        self.hosts.is_empty() || host.is_some_and(is_named)
    }
}

const MODES: [(&str, Option<ClientAuthMode>); 3] = [
    ("off", None),
    ("optional", Some(ClientAuthMode::Optional)),
    ("required", Some(ClientAuthMode::Required)),
];

/// `None` where it is off.
pub(super) fn read(section: &mut Section<'_>, context: Context<'_>) -> Option<ClientAuth> {
    let mode = section.value("mode", kind::one_of(&MODES), None);
    let hosts = section.list("hosts", host_name, Vec::new());
    let ca = section.optional("ca", context.path());
    let crl = section.optional("crl", context.path());
    let unused = [("hosts", !hosts.is_empty()), ("ca", ca.is_some()), ("crl", crl.is_some())];
    if mode.is_none() && section.sound("mode") {
        for (key, _) in unused.into_iter().filter(|(_, is_there)| *is_there) {
            section.error(key, "does nothing while mode is \"off\"", "set mode, or leave it out");
        }
    }
    if mode.is_some() && ca.is_none() {
        section.error(
            "ca",
            "is missing",
            "write ca = \"clients.pem\": the authorities that clients' certificates are by",
        );
    }
    Some(ClientAuth { mode: mode?, hosts, ca: ca?, crl })
}

/// A name: TLS has no way to ask for an address (RFC 6066 §3).
fn host_name(value: &Value<'_>) -> Result<String, Complaint> {
    kind::text_as(|text| {
        let name = host::parse(text).filter(|name| name.parse::<IpAddr>().is_err());
        name.ok_or_else(|| {
            Complaint::new(format!("{text:?} is not a host name"), "write one such as \"admin.example.com\"")
        })
    })(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::{outcome, production};
    use super::*;

    fn client_auth(text: &str) -> Result<Option<ClientAuth>, Vec<String>> {
        outcome(text, |section| read(section, production(&[]))).map(|(client_auth, _)| client_auth)
    }

    #[test]
    fn nobody_is_asked_unless_it_is_said() {
        assert_eq!(client_auth(""), Ok(None));
        assert_eq!(client_auth("mode = \"off\""), Ok(None));
    }

    #[test]
    fn a_host_that_is_named_is_covered_in_any_case_and_no_other_is() {
        let named = client_auth("mode = \"required\"\nca = \"ca.pem\"\nhosts = [\"Admin.Test\"]");
        let named = named.unwrap().unwrap();
        assert_eq!((named.ca.as_path(), &named.crl), (Path::new("/etc/foregate/ca.pem"), &None));
        for (host, covered) in [
            (Some("admin.test"), true),
            (Some("ADMIN.test"), true),
            (Some("app.test"), false),
            (Some("admin.test.evil.test"), false),
            (None, false),
        ] {
            assert_eq!(named.covers(host), covered, "{host:?}");
        }
        let all = client_auth("mode = \"optional\"\nca = \"ca.pem\"").unwrap().unwrap();
        assert!(all.covers(None) && all.covers(Some("app.test")));
    }

    #[test]
    fn what_would_leave_a_host_open_is_refused() {
        for text in [
            "mode = \"required\"",
            "mode = \"on\"\nca = \"ca.pem\"",
            "ca = \"ca.pem\"",
            "mode = \"off\"\nhosts = [\"admin.test\"]",
            "mode = \"required\"\nca = \"\"",
            "mode = \"required\"\nca = \"ca.pem\"\nhosts = [\"192.0.2.1\"]",
            "mode = \"required\"\nca = \"ca.pem\"\nhosts = [\"*.test\"]",
        ] {
            assert_eq!(client_auth(text).unwrap_err().len(), 1, "{text}");
        }
    }
}
