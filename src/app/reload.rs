//! What a reload may change, and what becomes of files that change by themselves.

use tokio::task::JoinError;

use super::StartError;
use crate::base::clock::Timestamp;
use crate::base::file_version::FileVersion;
use crate::config::{CertificateFiles, Config, Faults, Store};
use crate::listener::{CertificateError, Certificates, Shared};
use crate::telemetry::{Metrics, ReloadResult};

/// Why a configuration that was read again does not take the place of the one before.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It is no good.
    #[error(transparent)]
    Configuration(Faults),
    /// It changes what can only be set at the start.
    #[error("{} cannot change while the program runs: it needs a restart", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// It names something that cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It could not be looked at.
    #[error("the configuration cannot be put in force: {0}")]
    Failed(#[source] JoinError),
    /// The program is about to end.
    #[error("the program is about to end")]
    Ending,
}

/// The keys that differ and that a reload cannot change.
pub(super) fn fixed(old: &Config, new: &Config) -> Vec<&'static str> {
    let limits = (&old.server.limits, &new.server.limits);
    let (old_store, new_store) = (&old.session.store, new.session.store.clone());
    // What an outage means to sessions is theirs to know, and a reload makes them anew.
    let Store { on_outage, outage_grace, .. } = *old_store;
    let new_store = Store { on_outage, outage_grace, ..new_store };
    let differing = [
        ("mode", old.mode != new.mode),
        ("server.admin", old.server.admin != new.server.admin),
        ("server.admin_socket", old.server.admin_socket != new.server.admin_socket),
        ("server.worker_threads", old.server.worker_threads != new.server.worker_threads),
        ("server.limits.connections", limits.0.connections != limits.1.connections),
        (
            "server.limits.connections_per_client",
            limits.0.connections_per_client != limits.1.connections_per_client,
        ),
        ("session.store", *old_store != new_store),
        ("session.cache", old.session.cache != new.session.cache),
        ("log.format", old.log.format != new.log.format),
        ("log.level", old.log.level != new.log.level),
        ("log.audit", old.log.audit != new.log.audit),
    ];
    differing.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

/// The files that certificates come from, as they were when they were read.
#[derive(Clone, Debug, Default)]
pub(super) struct CertificateWatch {
    files: Vec<CertificateFiles>,
    versions: Vec<Option<FileVersion>>,
    ends: Vec<(String, Timestamp)>,
}

impl CertificateWatch {
    /// Reads them, and remembers what they were.
    pub(super) fn load(files: Vec<CertificateFiles>) -> Result<(Certificates, Self), Vec<CertificateError>> {
        // Looked at first: what changes from now on is seen later.
        let versions = versions(&files);
        let certificates = Certificates::load(&files)?;
        let ends = certificates.ends().collect();
        Ok((certificates, Self { files, versions, ends }))
    }

    /// Tells when the certificates end.
    pub(super) fn tell(&self, metrics: &Metrics) {
        metrics.certificates_end(self.ends.iter().cloned());
    }

    /// Reads them again where they have changed. Where they are no good the ones before go on, and nobody looks at them
    /// again before they change.
    pub(super) async fn renew(&mut self, shared: &Shared) {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking({
            let before = self.versions.clone();
            move || {
                let now = versions(&files);
                (now != before).then(|| (now, Self::load(files)))
            }
        });
        let Ok(Some((now, loaded))) = read.await else { return };
        self.versions = now;
        match (loaded, &shared.terms.load().tls) {
            (Ok((certificates, watch)), Some(handshakes)) => {
                handshakes.tls.renew(certificates);
                *self = watch;
                self.tell(&shared.metrics);
                shared.metrics.reload(ReloadResult::Applied);
                tracing::info!("the certificates have changed: new connections get the new ones");
            }
            (Ok(_), None) => {}
            (Err(errors), _) => {
                shared.metrics.reload(ReloadResult::Refused);
                for error in errors {
                    tracing::error!("the certificates stay as they were before: {error}");
                }
            }
        }
    }
}

fn versions(files: &[CertificateFiles]) -> Vec<Option<FileVersion>> {
    files.iter().flat_map(|pair| [&pair.cert, &pair.key]).map(|path| FileVersion::of(path).ok()).collect()
}
