//! Certificates for development, made by the program itself.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::alternative_names;
use crate::base::clock::Timestamp;
use crate::base::pem::certificates;
use crate::config::CertificateFiles;

const DAY: Duration = Duration::from_secs(86_400);
const LIFE: Duration = Duration::from_secs(397 * 86_400);

/// No certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// The library refuses the names.
    #[error("cannot make a certificate for {names:?}: {source}")]
    Generate {
        /// For whom.
        names: Vec<String>,
        /// Why not.
        source: rcgen::Error,
    },
    /// It cannot be kept.
    #[error("cannot write {}: {source} (the folder must be writable by the user that foregate runs as)", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A certificate for `names` in `folder`, named after the first of them: the one that lies there, while it is
/// for these names and good for another day, else a new one.
///
/// # Errors
/// Where none can be made or kept.
///
/// # Panics
/// Where `names` is empty.
pub fn self_signed(
    folder: &Path,
    names: &[String],
    now: Timestamp,
) -> Result<CertificateFiles, SelfSignedError> {
    let stem = names.first().expect("the configuration names at least one host").replace(['*', ':'], "_");
    let files = CertificateFiles {
        cert: folder.join(format!("{stem}.crt")),
        key: folder.join(format!("{stem}.key")),
    };
    if files.key.exists() && is_good(&files.cert, names, now) {
        return Ok(files);
    }
    let (cert, key) =
        generate(names, now).map_err(|source| SelfSignedError::Generate { names: names.to_vec(), source })?;
    fs::create_dir_all(folder)
        .map_err(|source| SelfSignedError::Write { path: folder.to_owned(), source })?;
    write(&files.key, &pem("PRIVATE KEY", &key), 0o600)?;
    write(&files.cert, &pem("CERTIFICATE", &cert), 0o644)?;
    Ok(files)
}

fn is_good(cert: &Path, names: &[String], now: Timestamp) -> bool {
    let Ok(chain) = certificates(cert) else { return false };
    let Some(has) = alternative_names(&chain[0]) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&chain[0]) else { return false };
    names.iter().all(|name| has.contains(&canonical(name)))
        && certificate.validity().not_after.timestamp() > now.plus(DAY).seconds()
}

fn canonical(name: &str) -> String {
    name.parse::<IpAddr>().map_or_else(|_| name.to_ascii_lowercase(), |address| address.to_string())
}

fn generate(names: &[String], now: Timestamp) -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "Foregate development certificate");
    params.not_before = moment(now.minus(DAY));
    params.not_after = moment(now.plus(LIFE));
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    Ok((cert.der().to_vec(), key.serialize_der()))
}

fn moment(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, further) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = further;
    }
    text + &format!("-----END {label}-----\n")
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), SelfSignedError> {
    let _ = fs::remove_file(path);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| SelfSignedError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{Certificates, fingerprint};

    const NOW: Timestamp = Timestamp::from_seconds(1_763_800_000);

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_pair_is_made_once_kept_private_and_loads() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let hosts = names(&["localhost", "127.0.0.1", "::1"]);
        let files = self_signed(folder.path(), &hosts, NOW).unwrap();
        let first = fingerprint(&files.cert).unwrap();
        assert_eq!(first.len(), 95);
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Certificates::load(std::slice::from_ref(&files)).is_ok());
        self_signed(folder.path(), &hosts, NOW).unwrap();
        assert_eq!(fingerprint(&files.cert).unwrap(), first);
    }

    #[test]
    fn a_new_one_is_made_for_other_names_and_before_the_old_one_expires() {
        let folder = tempfile::tempdir().unwrap();
        let made = |hosts: &[&str], now| {
            let files = self_signed(folder.path(), &names(hosts), now).unwrap();
            fingerprint(&files.cert).unwrap()
        };
        let first = made(&["localhost"], NOW);
        let second = made(&["localhost", "app.test"], NOW);
        assert_ne!(first, second);
        assert_eq!(made(&["localhost", "APP.test"], NOW), second);
        assert_ne!(made(&["localhost"], NOW.plus(LIFE)), second);
    }

    #[test]
    fn a_key_that_does_not_fit_is_named_with_its_certificate() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = self_signed(one.path(), &names(&["a.test"]), NOW).unwrap();
        let second = self_signed(other.path(), &names(&["b.test"]), NOW).unwrap();
        let mixed = CertificateFiles { cert: first.cert, key: second.key.clone() };
        let missing = CertificateFiles { cert: one.path().join("missing.crt"), key: second.key.clone() };
        let garbage = CertificateFiles { cert: second.key.clone(), key: second.key };
        let errors = Certificates::load(&[mixed, missing, garbage]).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(texts[0].contains("a.test.crt does not fit the key in"), "{}", texts[0]);
        assert!(texts[1].contains("cannot read"), "{}", texts[1]);
        assert!(texts[2].contains("BEGIN CERTIFICATE"), "{}", texts[2]);
    }
}
