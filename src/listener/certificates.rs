//! Certificates, chosen by the name that the client asks for (SNI, RFC 6066).

use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::base::clock::Timestamp;
use crate::base::pem::{self, PemFileError};
use crate::config::CertificateFiles;

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or holds something else.
    #[error(transparent)]
    File(#[from] PemFileError),
    /// The certificate itself is broken.
    #[error("{}: this is no X.509 certificate (the file begins with the server's own certificate, then the chain)", path.display())]
    NotX509 {
        /// Its file.
        path: PathBuf,
    },
    /// It names no host.
    #[error("{}: the certificate has no DNS name or address among its subject alternative names (browsers look nowhere else; issue it anew with them)", path.display())]
    NoNames {
        /// Its file.
        path: PathBuf,
    },
    /// Certificate and key are not a pair.
    #[error("{} does not fit the key in {}: {source} (each certificate goes with the key that its request was made with)", cert.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library says.
        source: rustls::Error,
    },
}

/// The certificates of all listeners.
#[derive(Debug)]
pub struct Certificates {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// What a client gets that asks for another name, or for none.
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Loads all pairs; the first is the default. Of two certificates for a name the first wins.
    ///
    /// # Errors
    /// Every pair that cannot be used.
    pub fn load(files: &[CertificateFiles]) -> Result<Self, Vec<CertificateError>> {
        let mut certificates = Self { by_name: HashMap::new(), default: None };
        let mut errors = Vec::new();
        for pair in files {
            match load_pair(pair) {
                Ok((names, certified)) => certificates.add(names, &Arc::new(certified)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(certificates) } else { Err(errors) }
    }

    /// When each of them ends, by the name it was found under.
    pub fn ends(&self) -> impl Iterator<Item = (String, Timestamp)> {
        self.by_name.iter().filter_map(|(name, certified)| {
            let (_, certificate) = X509Certificate::from_der(certified.cert.first()?).ok()?;
            let ends_at = Timestamp::from_seconds(certificate.validity().not_after.timestamp());
            Some((name.clone(), ends_at))
        })
    }

    fn add(&mut self, names: Vec<String>, certified: &Arc<CertifiedKey>) {
        for name in names {
            self.by_name.entry(name).or_insert_with(|| Arc::clone(certified));
        }
        self.default.get_or_insert_with(|| Arc::clone(certified));
    }

    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard?))
        });
        named.or(self.default.as_ref()).cloned()
    }
}

/// The certificates of the moment: handshakes that begin later get those that take their place.
#[derive(Debug)]
pub(super) struct Shelf(ArcSwap<Certificates>);

impl Shelf {
    pub(super) fn new(certificates: Certificates) -> Self {
        Self(ArcSwap::from_pointee(certificates))
    }

    pub(super) fn replace(&self, certificates: Certificates) {
        self.0.store(Arc::new(certificates));
    }
}

impl ResolvesServerCert for Shelf {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().choose(hello.server_name())
    }
}

/// SHA-256 of the leaf certificate in a PEM file, as browsers show it: `AB:CD:…`.
///
/// # Errors
/// Where there is no certificate in the file.
pub fn fingerprint(path: &Path) -> Result<String, CertificateError> {
    let chain = pem::certificates(path)?;
    let digest = Sha256::digest(&chain[0]);
    let mut text = String::with_capacity(95);
    for (at, byte) in digest.iter().enumerate() {
        let colon = if at == 0 { "" } else { ":" };
        write!(text, "{colon}{byte:02X}").expect("a string takes all that is written");
    }
    Ok(text)
}

fn load_pair(files: &CertificateFiles) -> Result<(Vec<String>, CertifiedKey), CertificateError> {
    let chain = pem::certificates(&files.cert)?;
    let key = pem::private_key(&files.key)?;
    let names = names(&files.cert, &chain[0])?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| {
        CertificateError::Mismatch { cert: files.cert.clone(), key: files.key.clone(), source }
    })?;
    Ok((names, certified))
}

/// The DNS names of a certificate, which SNI can ask for.
fn names(path: &Path, leaf: &CertificateDer<'_>) -> Result<Vec<String>, CertificateError> {
    let alternatives =
        alternative_names(leaf).ok_or_else(|| CertificateError::NotX509 { path: path.to_owned() })?;
    if alternatives.is_empty() {
        return Err(CertificateError::NoNames { path: path.to_owned() });
    }
    Ok(alternatives.into_iter().filter(|name| name.parse::<IpAddr>().is_err()).collect())
}

/// The DNS names, in lower case, and the addresses that a certificate is for; `None` where it is none.
pub(super) fn alternative_names(leaf: &CertificateDer<'_>) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    Some(names.filter_map(plain_name).collect())
}

fn plain_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}
