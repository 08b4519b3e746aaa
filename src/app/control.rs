//! How a program that runs is told what to do.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::reload::ReloadError;
use crate::config::{Faults, Loaded};

/// Reloads that may wait for the one before.
const QUEUE: usize = 4;

/// Tells the program what to do. Cloned freely.
#[derive(Clone, Debug)]
pub struct Control {
    stop: CancellationToken,
    hurry: CancellationToken,
    reloads: mpsc::Sender<Reload>,
}

/// What the program is told.
#[derive(Debug)]
pub(super) struct Orders {
    /// It is to come to its end.
    pub(super) stop: CancellationToken,
    /// At once.
    pub(super) hurry: CancellationToken,
    /// Another configuration is to take the place of its own.
    pub(super) reloads: mpsc::Receiver<Reload>,
}

/// A configuration that was read again, and who waits to hear what came of it.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) read: Result<Loaded, Faults>,
    pub(super) done: oneshot::Sender<Result<(), ReloadError>>,
}

/// Both ends.
pub(super) fn control() -> (Control, Orders) {
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let (sender, reloads) = mpsc::channel(QUEUE);
    (Control { stop: stop.clone(), hurry: hurry.clone(), reloads: sender }, Orders { stop, hurry, reloads })
}

impl Control {
    /// Finish what is under way, and end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// End at once.
    pub fn hurry(&self) {
        self.stop.cancel();
        self.hurry.cancel();
    }

    /// Go on with what was read; as before, where that cannot be.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn reload(&self, read: Result<Loaded, Faults>) -> Result<(), ReloadError> {
        let (done, outcome) = oneshot::channel();
        self.reloads.send(Reload { read, done }).await.map_err(|_| ReloadError::Ending)?;
        outcome.await.map_err(|_| ReloadError::Ending)?
    }
}
