//! TLS towards a server: the keys `ca`, `client_cert` and `client_key`, in whichever section they stand.

use std::path::PathBuf;

use super::CertificateFiles;
use super::context::Context;
use super::reader::Section;

/// The files of TLS towards a server. Its name is verified whatever they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// A PEM bundle of the authorities that are trusted; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// What is shown to a server that asks who we are.
    pub certificate: Option<CertificateFiles>,
}

pub(super) fn ca(section: &mut Section<'_>, context: Context<'_>) -> ClientTls {
    ClientTls { ca: section.optional("ca", context.path()), certificate: None }
}

pub(super) fn ca_and_certificate(section: &mut Section<'_>, context: Context<'_>) -> ClientTls {
    let cert = section.optional("client_cert", context.path());
    let key = section.optional("client_key", context.path());
    match (section.has("client_cert"), section.has("client_key")) {
        (true, false) => section.error("client_cert", "has no key", "add client_key = \"PATH\""),
        (false, true) => section.error("client_key", "has no certificate", "add client_cert = \"PATH\""),
        _ => {}
    }
    let certificate = cert.zip(key).map(|(cert, key)| CertificateFiles { cert, key });
    ClientTls { certificate, ..ca(section, context) }
}
