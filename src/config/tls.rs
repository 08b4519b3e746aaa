//! `[tls]`: certificates and versions.

use std::path::PathBuf;

use super::Server;
use super::client_auth::{self, ClientAuth};
use super::context::Context;
use super::host;
use super::reader::{Complaint, Section, Value, kind};

/// TLS towards clients.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Host names to generate a certificate for; development only.
    pub self_signed: Vec<String>,
    /// Certificates, chosen by SNI from the names in them; the first is the default.
    pub certificates: Vec<CertificateFiles>,
    /// `[tls.client_auth]`; `None`: off.
    pub client_auth: Option<ClientAuth>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246
    Tls12,
    /// RFC 8446
    Tls13,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// A PEM chain, the leaf first.
    pub cert: PathBuf,
    /// A PEM private key.
    pub key: PathBuf,
}

const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

pub(super) fn read(section: &mut Section<'_>, server: &Server, context: Context<'_>) -> Tls {
    let tls = Tls {
        min_version: section.value("min_version", kind::one_of(&VERSIONS), TlsVersion::Tls12),
        self_signed: section.list("self_signed", host_name, Vec::new()),
        certificates: section.tables("certificate", |certificate| files(certificate, context)),
        client_auth: section.table("client_auth", |section| client_auth::read(section, context)),
    };
    if !tls.self_signed.is_empty() && context.in_production() {
        let remedy = "name a certificate in [[tls.certificate]], or set mode = \"development\"";
        section.error("self_signed", "is for development", remedy);
    }
    if tls.client_auth.is_some() && server.https.is_empty() {
        let remedy = "name an address in server.https, or leave [tls.client_auth] out";
        section.error("client_auth", "asks nobody for a certificate: server.https is empty", remedy);
    }
    let none = tls.self_signed.is_empty() && tls.certificates.is_empty();
    if none && !server.https.is_empty() && section.sound("self_signed") {
        let remedy = if context.in_production() {
            "add [[tls.certificate]] with cert and key"
        } else {
            "add [[tls.certificate]] with cert and key, or self_signed = [\"localhost\"]"
        };
        section.error("certificate", "is missing: server.https needs one", remedy);
    }
    tls
}

fn files(section: &mut Section<'_>, context: Context<'_>) -> CertificateFiles {
    CertificateFiles {
        cert: section.required("cert", context.path(), "\"certs/example.crt\"").unwrap_or_default(),
        key: section.required("key", context.path(), "\"certs/example.key\"").unwrap_or_default(),
    }
}

fn host_name(value: &Value<'_>) -> Result<String, Complaint> {
    kind::text_as(|text| {
        host::parse(text).ok_or_else(|| {
            let remedy = "write one such as \"localhost\" or \"127.0.0.1\"";
            Complaint::new(format!("{text:?} is neither a host name nor an address"), remedy)
        })
    })(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::server;
    use super::super::testing::{development, outcome, production};
    use super::*;

    fn tls(text: &str, context: Context<'_>) -> Result<Tls, Vec<String>> {
        outcome(text, |root| {
            let server = root.table("server", |section| server::read(section, production(&[])));
            root.table("tls", |section| read(section, &server, context))
        })
        .map(|(tls, _)| tls)
    }

    #[test]
    fn certificates_lie_beside_the_file() {
        let text = "[[tls.certificate]]\ncert = \"a.crt\"\nkey = \"/keys/a.key\"";
        let tls = tls(text, production(&[])).unwrap();
        assert_eq!(tls.min_version, TlsVersion::Tls12);
        assert_eq!(tls.certificates[0].cert, Path::new("/etc/foregate/a.crt"));
        assert_eq!(tls.certificates[0].key, Path::new("/keys/a.key"));
    }

    #[test]
    fn https_needs_a_certificate() {
        assert!(tls("", production(&[])).unwrap_err()[0].contains("tls.certificate: is missing"));
        assert!(tls("", development(&[])).unwrap_err()[0].contains("self_signed = [\"localhost\"]"));
        assert!(tls("server.https = []", production(&[])).is_ok());
    }

    #[test]
    fn clients_show_certificates_where_there_is_tls() {
        let asking = "[tls.client_auth]\nmode = \"required\"\nca = \"ca.pem\"\n";
        let without =
            |listeners: &str| tls(&format!("{asking}[server]\nhttps = {listeners}"), production(&[]));
        let faults = without("[]").unwrap_err();
        assert!(faults[0].contains("tls.client_auth: asks nobody"), "{faults:?}");
        assert_eq!(faults.len(), 1);
        assert!(
            !without("[\"[::]:8443\"]").unwrap_err()[0].contains("client_auth"),
            "a certificate is missing"
        );
    }

    #[test]
    fn generated_certificates_are_for_development() {
        let text = "[tls]\nself_signed = [\"LocalHost\", \"::1\"]";
        assert_eq!(tls(text, development(&[])).unwrap().self_signed, ["localhost", "::1"]);
        let faults = tls(text, production(&[])).unwrap_err();
        assert!(faults[0].contains("tls.self_signed: is for development"), "{faults:?}");
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn a_name_that_is_none_is_the_only_fault() {
        let faults = tls("[tls]\nself_signed = [\"not a host\"]", development(&[])).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
    }

    #[test]
    fn a_certificate_is_two_files() {
        let faults = tls("[[tls.certificate]]", production(&[])).unwrap_err();
        assert!(faults[0].contains("tls.certificate[0].cert: is missing (write cert ="), "{faults:?}");
        assert!(faults[1].contains("tls.certificate[0].key: is missing"), "{faults:?}");
    }
}
