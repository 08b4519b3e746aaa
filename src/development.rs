//! What development makes for itself: a certificate and a session secret, kept under `certs/`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::base::clock::Timestamp;
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::config::{CertificateFiles, Config, MIN_SECRET_BYTES};
use crate::listener::{SelfSignedError, self_signed};

/// Development cannot make what it needs.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] SelfSignedError),
    /// A session secret.
    #[error("cannot keep a session secret in {}: {source} (make the folder writable, or set session.secret)", path.display())]
    Secret {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What lies there is none.
    #[error("{} holds fewer than {MIN_SECRET_BYTES} bytes (remove it, and a new one is made)", path.display())]
    ShortSecret {
        /// Where.
        path: PathBuf,
    },
}

/// The configured certificates, and after them the one that development makes where it is asked to.
///
/// # Errors
/// Where it cannot be made.
pub fn certificate_files(config: &Config, now: Timestamp) -> Result<Vec<CertificateFiles>, DevelopmentError> {
    let mut files = config.tls.certificates.clone();
    if !config.tls.self_signed.is_empty() {
        files.push(self_signed(&config.folder.join("certs"), &config.tls.self_signed, now)?);
    }
    Ok(files)
}

/// A fresh secret as the configuration and `foregate secret` write it: 64 hexadecimal digits.
pub fn new_secret(random: Random) -> Secret<String> {
    let bytes: [u8; 32] = random.bytes();
    let digit = |value: u8| char::from_digit(u32::from(value), 16).expect("four bits are one digit");
    Secret::new(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

/// The secret in `path`, less one trailing newline; made there (0600) at the first start.
///
/// # Errors
/// Where it can be neither read nor made, or is too short to be a secret.
pub fn session_secret(path: &Path, random: Random) -> Result<Secret<Vec<u8>>, DevelopmentError> {
    let failed = |source| DevelopmentError::Secret { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(mut secret) => {
            if secret.ends_with(b"\n") {
                secret.pop();
            }
            let secret = Secret::new(secret);
            if secret.expose().len() < MIN_SECRET_BYTES {
                return Err(DevelopmentError::ShortSecret { path: path.to_owned() });
            }
            Ok(secret)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = new_secret(random);
            write_new(path, &secret).map_err(failed)?;
            Ok(Secret::new(secret.expose().clone().into_bytes()))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whole or not at all: half a secret would be used as one at the next start.
fn write_new(path: &Path, secret: &Secret<String>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".secret-").tempfile_in(folder)?;
    writeln!(file, "{}", secret.expose())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_kept_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certs/session.secret");
        let made = session_secret(&path, Random::system()).unwrap();
        assert_eq!(made.expose().len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = session_secret(&path, Random::system()).unwrap();
        assert_eq!(read, made);
        fs::write(&path, "short\n").unwrap();
        let short = session_secret(&path, Random::system()).unwrap_err();
        assert!(short.to_string().contains("remove it"), "{short}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = session_secret(Path::new("/proc/none/secret"), Random::system()).unwrap_err();
        assert!(error.to_string().contains("/proc/none/secret"), "{error}");
    }
}
