//! What TLS is like on our side: versions, ciphers, ALPN, resumption, and whom we ask for a certificate.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    Acceptor, NoServerSessionStorage, ServerConfig, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Shelf;
use super::{Certificates, Handshake, HandshakeThreads};
use crate::base::pem::{self, PemFileError};
use crate::config::{self, ClientAuth, ClientAuthMode, TlsVersion};

/// TLS for all https listeners: HTTP/2 or HTTP/1.1 by ALPN, tickets under keys of this process alone, no early
/// data.
#[derive(Debug)]
pub struct Tls {
    certificates: Arc<Shelf>,
    open: Arc<ServerConfig>,
    guarded: Option<Guarded>,
}

/// The hosts whose clients are asked for a certificate. No session is resumed here, of whatever host.
#[derive(Debug)]
struct Guarded {
    config: Arc<ServerConfig>,
    policy: ClientAuth,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The library has no randomness for the tickets' keys.
    #[error("cannot set up TLS: {0}")]
    Library(#[from] rustls::Error),
    /// `ca` or `crl` cannot be read, or holds something else.
    #[error(transparent)]
    File(#[from] PemFileError),
    /// `ca` holds a certificate that is no authority's.
    #[error("{}: {source} (tls.client_auth.ca holds the certificates of authorities)", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What the library says.
        source: rustls::Error,
    },
    /// Clients cannot be verified by what the files hold.
    #[error("tls.client_auth cannot be set up: {0} (check its ca and crl)")]
    Verifier(#[from] VerifierBuilderError),
}

/// How a connection to a TLS listener begins.
pub(super) enum Opened {
    /// As it should.
    Tls(Box<TlsStream<TcpStream>>, Handshake),
    /// With a request in the clear.
    Plain(TcpStream),
}

impl Tls {
    /// TLS with these certificates, by `[tls]`.
    ///
    /// # Errors
    /// Where a file that it names cannot be used.
    pub fn new(certificates: Certificates, section: &config::Tls) -> Result<Self, TlsSetupError> {
        let certificates = Arc::new(Shelf::new(certificates));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let configured = |verifier| server_config(&certificates, section.min_version, &provider, verifier);
        let guarded = match &section.client_auth {
            Some(policy) => {
                let config = without_resumption(configured(verifier(policy, &provider)?)?);
                Some(Guarded { config: Arc::new(config), policy: policy.clone() })
            }
            None => None,
        };
        let mut open = configured(WebPkiClientVerifier::no_client_auth())?;
        open.ticketer = aws_lc_rs::Ticketer::new()?;
        let open = Arc::new(open);
        Ok(Self { certificates, open, guarded })
    }

    /// Handshakes from now on are done with these; connections that there are go on.
    pub fn renew(&self, certificates: Certificates) {
        self.certificates.replace(certificates);
    }

    /// Does the handshake; what takes long of it, by `threads`.
    pub(super) async fn open(&self, stream: TcpStream, threads: &HandshakeThreads) -> io::Result<Opened> {
        let mut first = [0];
        stream.peek(&mut first).await?;
        // A handshake begins with a byte that is no character (RFC 8446 §5.1), and a request with one.
        if first[0].is_ascii_graphic() {
            return Ok(Opened::Plain(stream));
        }
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let (config, handshake) = self.choose(begun.client_hello().server_name());
        let config = Arc::clone(config);
        // The keys are agreed on before the future is there to be awaited.
        let stream = threads.run(async move { begun.into_stream(config).await }).await?;
        Ok(Opened::Tls(Box::new(stream), handshake))
    }

    fn choose(&self, name: Option<&str>) -> (&Arc<ServerConfig>, Handshake) {
        match &self.guarded {
            Some(guarded) if guarded.policy.covers(name) => (&guarded.config, Handshake::ClientCertificate),
            _ => (&self.open, Handshake::Open),
        }
    }
}

fn server_config(
    certificates: &Arc<Shelf>,
    min_version: TlsVersion,
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::<Shelf>::clone(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A session that is resumed brings the client's certificate along, and nobody looks at it again: whether its time is
/// over, or it was revoked meanwhile.
fn without_resumption(mut config: ServerConfig) -> ServerConfig {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// Checks a client's chain up to one of `ca`, and each of its certificates by `crl`, whose own time must not be over.
fn verifier(
    policy: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(&policy.ca)? {
        let path = || policy.ca.clone();
        roots.add(certificate).map_err(|source| TlsSetupError::Authority { path: path(), source })?;
    }
    let roots = Arc::new(roots);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    if let Some(crl) = &policy.crl {
        builder = builder.with_crls(pem::revocation_lists(crl)?).enforce_revocation_expiration();
    }
    if policy.mode == ClientAuthMode::Optional {
        builder = builder.allow_unauthenticated();
    }
    Ok(builder.build()?)
}
