//! TLS as a client: whom we trust, and who we say that we are. A server's name is always verified; there is no way
//! to turn that off.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::pem::{self, PemFileError};
use crate::config::{CertificateFiles, ClientTls};

/// There is no TLS with a server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error(transparent)]
    File(#[from] PemFileError),
    /// What should be an authority's certificate is none.
    #[error("{}: {source} (a PEM bundle of the authorities' certificates is expected)", path.display())]
    NoAuthority {
        /// The bundle.
        path: PathBuf,
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// The system trusts nobody, as far as can be found.
    #[error("the system's trusted authorities cannot be found{} (install ca-certificates, or name a PEM bundle: ca = \"PATH\")", told(.0))]
    NoSystemRoots(Vec<rustls_native_certs::Error>),
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
    /// The server is not whom we trust, does not trust us, or speaks something else.
    #[error("no TLS with {host}: {source}")]
    Handshake {
        /// The name that it should have.
        host: String,
        /// What the TLS library says.
        source: io::Error,
    },
    /// The server does not take its part in the handshake.
    #[error("no TLS with {host}: it does not answer the handshake (is this port one for TLS?)")]
    Silent {
        /// The name that it should have.
        host: String,
    },
}

fn told(errors: &[rustls_native_certs::Error]) -> String {
    errors.iter().map(|error| format!(": {error}")).collect()
}

/// The files that TLS towards a server needs. They may be replaced while the program runs: each
/// [`client`](TlsFiles::client) is made of what they say then. What the system trusts is read once.
#[derive(Debug)]
pub struct TlsFiles {
    trusted: Trusted,
    certificate: Option<CertificateFiles>,
}

#[derive(Debug)]
enum Trusted {
    System(Arc<RootCertStore>),
    Bundle(PathBuf),
}

/// Makes TLS connections.
#[derive(Clone)]
pub struct TlsClient(TlsConnector);

impl fmt::Debug for TlsClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsClient").finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// Reads them once, to know that they can be used.
    ///
    /// # Errors
    /// Where they cannot.
    pub fn new(files: &ClientTls) -> Result<Self, TlsError> {
        let trusted = match &files.ca {
            Some(path) => Trusted::Bundle(path.clone()),
            None => Trusted::System(Arc::new(system_roots()?)),
        };
        let files = Self { trusted, certificate: files.certificate.clone() };
        files.client(&[]).map(|_| files)
    }

    /// A client that offers `protocols` (ALPN, RFC 7301).
    ///
    /// # Errors
    /// Where the files cannot be used any more.
    pub fn client(&self, protocols: &[&str]) -> Result<TlsClient, TlsError> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3")
            .with_root_certificates(self.roots()?);
        let mut config = match &self.certificate {
            None => config.with_no_client_auth(),
            Some(pair) => config
                .with_client_auth_cert(pem::certificates(&pair.cert)?, pem::private_key(&pair.key)?)
                .map_err(|source| TlsError::Mismatch {
                    cert: pair.cert.clone(),
                    key: pair.key.clone(),
                    source,
                })?,
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(TlsClient(TlsConnector::from(Arc::new(config))))
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        match &self.trusted {
            Trusted::System(roots) => Ok(Arc::clone(roots)),
            Trusted::Bundle(path) => bundle(path).map(Arc::new),
        }
    }
}

/// The system's authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, as other programs have it. One
/// that the library cannot read is passed over.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(TlsError::NoSystemRoots(found.errors)) } else { Ok(roots) }
}

fn bundle(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::NoAuthority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

impl TlsClient {
    /// TLS on `stream` with the server whose name or address is `host`: that is what it is asked for (SNI) and
    /// what its certificate must be for.
    ///
    /// # Errors
    /// Where it is not that server, or it and we do not agree.
    pub async fn connect<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let refused = |source| TlsError::Handshake { host: host.to_owned(), source };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(io::Error::other(error)))?;
        self.0.connect(name, stream).await.map_err(refused)
    }
}
