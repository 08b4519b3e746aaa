//! Records that sessions are used, off the path of the responses.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::record::{SEEN_OFFSET, seen_digits};
use super::{Session, forgotten_at};
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::store::{Store, Touch};

/// Uses that wait to be recorded. Beyond it a use goes unrecorded; the session's next one stands for it.
const QUEUE: usize = 4096;

/// How long the end of the process waits for what is still queued.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes notice of uses.
#[derive(Clone, Debug)]
pub(super) struct TouchQueue {
    queue: mpsc::Sender<(Handle, Touch)>,
}

/// Records what the queue takes notice of, until it is told to stop.
#[derive(Debug)]
pub struct Toucher {
    store: Arc<dyn Store>,
    uses: mpsc::Receiver<(Handle, Touch)>,
}

/// A queue and who works it off.
pub(super) fn touching(store: Arc<dyn Store>) -> (TouchQueue, Toucher) {
    let (queue, uses) = mpsc::channel(QUEUE);
    (TouchQueue { queue }, Toucher { store, uses })
}

impl TouchQueue {
    /// The session is used at `now`; recorded where the last recorded use is long enough ago.
    pub(super) fn touch(&self, session: &Session, now: Timestamp) {
        if now.since(session.last_seen_at) < session.touch_interval() {
            return;
        }
        let touch = Touch {
            offset: SEEN_OFFSET,
            digits: seen_digits(now),
            due: seen_digits(now.minus(session.touch_interval())),
            expires_at: forgotten_at(now, session.idle_timeout, session.ends_at),
        };
        if self.queue.try_send((session.handle, touch)).is_err() {
            tracing::debug!(handle = %session.handle, "a use goes unrecorded: the store is slow");
        }
    }
}

impl Toucher {
    /// Works until `stop`, and then off what is still queued.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Some((handle, touch))) = stop.run_until_cancelled(self.uses.recv()).await {
            self.record(handle, touch).await;
        }
        let rest = async {
            while let Ok((handle, touch)) = self.uses.try_recv() {
                self.record(handle, touch).await;
            }
        };
        if tokio::time::timeout(LAST_WORDS, rest).await.is_err() {
            tracing::warn!("the latest uses go unrecorded: the store is slow");
        }
    }

    async fn record(&self, handle: Handle, touch: Touch) {
        if let Err(error) = self.store.touch(&handle, touch).await {
            tracing::debug!(%handle, %error, "a use goes unrecorded");
        }
    }
}
