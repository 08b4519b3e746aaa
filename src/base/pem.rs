//! Certificates and keys in PEM files (RFC 7468).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// A PEM file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemFileError {
    /// It cannot be read.
    #[error("cannot read {}: {source} (it must exist and be readable by the user that foregate runs as)", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{}: {source} ({expected})", path.display())]
    NotPem {
        /// Which.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        source: pem::Error,
    },
}

/// The certificates in a file, in its order; at least one.
///
/// # Errors
/// Where there is none, or something that begins as one is none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemFileError> {
    let expected = "a PEM file that begins with -----BEGIN CERTIFICATE----- is expected";
    let not_pem = |source| PemFileError::NotPem { path: path.to_owned(), expected, source };
    let text = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(not_pem)?;
    if found.is_empty() {
        return Err(not_pem(pem::Error::NoItemsFound));
    }
    Ok(found)
}

/// The lists of revoked certificates in a file; at least one.
///
/// # Errors
/// Where there is none.
pub fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, PemFileError> {
    let expected = "a PEM file that begins with -----BEGIN X509 CRL----- is expected";
    let not_pem = |source| PemFileError::NotPem { path: path.to_owned(), expected, source };
    let text = read(path)?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&text);
    let found: Vec<_> = lists.collect::<Result<_, _>>().map_err(not_pem)?;
    if found.is_empty() {
        return Err(not_pem(pem::Error::NoItemsFound));
    }
    Ok(found)
}

/// The first private key in a file.
///
/// # Errors
/// Where there is none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemFileError> {
    let expected = "an unencrypted PEM private key is expected: PKCS#8, PKCS#1 or SEC1";
    let text = Zeroizing::new(read(path)?);
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| PemFileError::NotPem {
        path: path.to_owned(),
        expected,
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, PemFileError> {
    fs::read(path).map_err(|source| PemFileError::Unreadable { path: path.to_owned(), source })
}
