//! What TLS is like on our side: versions, ciphers, ALPN, resumption.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::ServerConfig;
use rustls::version::{TLS12, TLS13};

use super::Certificates;
use crate::config::TlsVersion;

/// TLS for all https listeners: HTTP/2 or HTTP/1.1 by ALPN, tickets under keys of this process alone, no early
/// data.
///
/// # Errors
/// Where the library has no randomness for the tickets' keys.
pub fn server_config(
    certificates: Certificates,
    min_version: TlsVersion,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[_] = match min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}
