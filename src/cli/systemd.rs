//! What the service manager is told, by `sd_notify(3)`: nothing where it has not set `NOTIFY_SOCKET`.
//!
//! `sd_notify` reads the process's own environment: whom to tell is no setting of ours.

use std::fmt::Display;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::task::AbortOnDropHandle;

/// Every socket is bound; `status` says where.
pub(super) fn ready(status: impl Display) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status.to_string())]);
}

/// The configuration is read again; until [`ready`] is said the service counts as reloading.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of a reload"),
    }
}

/// The process has been asked to end.
pub(super) fn stopping(status: impl Display) {
    tell(&[NotifyState::Stopping, NotifyState::Status(&status.to_string())]);
}

/// Pings as often as `WatchdogSec=` asks for, from a thread that serves: a process whose threads all hang does not, and
/// is started anew. `None` where nobody asks.
pub(super) fn heart() -> Option<AbortOnDropHandle<()>> {
    let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())?;
    Some(AbortOnDropHandle::new(tokio::spawn(beat(patience / 2))))
}

async fn beat(every: Duration) {
    let mut interval = tokio::time::interval(every);
    loop {
        interval.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// The proxy serves without a service manager too.
fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "the service manager cannot be told (NOTIFY_SOCKET)");
    }
}
