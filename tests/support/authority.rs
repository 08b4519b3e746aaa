//! A certificate authority of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, X509Certificate};

/// An authority and what it has issued, in a folder of its own.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "A test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (folder, key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap());
        write(&folder.path().join("ca.pem"), "CERTIFICATE", params.self_signed(&key).unwrap().der());
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// The bundle of those who trust it.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A file of what was issued for `name`: its `crt` or its `key`.
    pub(crate) fn issued(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.{ending}"))
    }

    /// A certificate for a name or an address.
    pub(crate) fn issue(&self, name: &str) -> Pair {
        self.sign(name, CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// One that was good until 2020.
    pub(crate) fn issue_expired(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&format!("{name}-expired"), params)
    }

    /// The list of those that it has revoked: this one.
    pub(crate) fn revoke(&self, pair: &Pair) -> PathBuf {
        let certificate = CertificateDer::from_pem_file(&pair.cert).unwrap();
        let (_, certificate) = X509Certificate::from_der(&certificate).unwrap();
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from_slice(certificate.raw_serial()),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.folder.path().join("revoked.crl");
        write(&path, "X509 CRL", list.signed_by(&self.issuer).unwrap().der());
        path
    }

    fn sign(&self, stem: &str, mut params: CertificateParams) -> Pair {
        params.distinguished_name.push(DnType::CommonName, stem);
        let key = KeyPair::generate().unwrap();
        let file = |ending: &str| self.folder.path().join(format!("{stem}.{ending}"));
        let pair = Pair { cert: file("crt"), key: file("key") };
        write(&pair.cert, "CERTIFICATE", params.signed_by(&key, &self.issuer).unwrap().der());
        write(&pair.key, "PRIVATE KEY", key.serialized_der());
        pair
    }
}

impl Pair {
    /// A server with this certificate that speaks `protocol` within TLS.
    pub(crate) fn server(&self, protocol: &str) -> Arc<ServerConfig> {
        self.serving(protocol, WebPkiClientVerifier::no_client_auth())
    }

    /// As [`Pair::server`], but only for clients with a certificate by those in `ca`.
    pub(crate) fn server_for_clients_of(&self, ca: &Path) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        self.serving("http/1.1", verifier.build().unwrap())
    }

    fn serving(&self, protocol: &str, clients: Arc<dyn ClientCertVerifier>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![CertificateDer::from_pem_file(&self.cert).unwrap()],
                PrivateKeyDer::from_pem_file(&self.key).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config)
    }
}

fn write(path: &Path, label: &str, der: &[u8]) {
    let text = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
    fs::write(path, text).unwrap();
}
