//! What a certificate says of itself, for those who look at it before it is served.

use std::path::Path;

use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::{CertificateError, alternative_names};
use crate::base::clock::Timestamp;
use crate::base::pem;

/// What the server's own certificate in a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The DNS names, in lower case, and the addresses that it is for.
    pub names: Vec<String>,
    /// From when on it is good.
    pub begins_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Whether nobody but itself vouches for it.
    pub is_self_signed: bool,
}

impl CertificateFacts {
    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    /// Where there is none.
    pub fn read(path: &Path) -> Result<Self, CertificateError> {
        let not_x509 = || CertificateError::NotX509 { path: path.to_owned() };
        let chain = pem::certificates(path)?;
        let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|_| not_x509())?;
        let validity = leaf.validity();
        Ok(Self {
            names: alternative_names(&chain[0]).ok_or_else(not_x509)?,
            begins_at: Timestamp::from_seconds(validity.not_before.timestamp()),
            ends_at: Timestamp::from_seconds(validity.not_after.timestamp()),
            is_self_signed: leaf.issuer() == leaf.subject(),
        })
    }

    /// Whether it is for `host`; a wildcard stands for one label (RFC 6125 §6.4.3).
    pub fn covers(&self, host: &str) -> bool {
        let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        self.names.iter().any(|name| name == host || wildcard.as_ref() == Some(name))
    }
}
