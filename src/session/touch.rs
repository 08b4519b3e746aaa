//! Records that sessions are used, off the path of the responses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::id::VerifierKey;
use super::opened::Opened;
use super::record::{SEEN_OFFSET, seen_digits};
use super::rotation::Rotation;
use super::{Session, forgotten_at};
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::store::Touch;

/// Notices that wait to be recorded. Beyond it one goes unrecorded; the session's next one stands for it.
const QUEUE: usize = 4096;

/// Notices that are recorded at once.
const AT_ONCE: usize = 16;

/// How long the end of the process waits for what is still queued.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is to be recorded of a session.
#[derive(Debug)]
enum Notice {
    /// It was used.
    Use(Touch),
    /// The id with this verifier was.
    Settled(VerifierKey),
}

/// A notice, and whose.
#[derive(Debug)]
struct Noticed {
    handle: Handle,
    notice: Notice,
}

/// Takes notice of uses.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    queue: mpsc::Sender<Noticed>,
}

/// Records what was noticed, until it is told to stop.
#[derive(Debug)]
pub struct Toucher {
    rotation: Rotation,
    notices: mpsc::Receiver<Noticed>,
}

/// A queue and who works it off.
pub(super) fn touching(rotation: Rotation) -> (Notices, Toucher) {
    let (queue, notices) = mpsc::channel(QUEUE);
    (Notices { queue }, Toucher { rotation, notices })
}

impl Notices {
    /// The session is used at `now`; recorded where the last recorded use is long enough ago.
    pub(super) fn used(&self, opened: &Opened, now: Timestamp) {
        let session = &opened.session;
        if now.since(session.last_seen_at) >= session.touch_interval() {
            once(&opened.ordered.use_of_it, || self.record(session, now));
        }
    }

    /// Records a use at `now`, unless one is recorded by then that is hardly older.
    /// Says whether it will be tried.
    pub(super) fn record(&self, session: &Session, now: Timestamp) -> bool {
        let interval = session.touch_interval();
        let touch = Touch {
            offset: SEEN_OFFSET,
            digits: seen_digits(now),
            due: seen_digits(now.minus(interval)),
            expires_at: forgotten_at(now, session.idle_timeout, session.ends_at),
        };
        self.send(session.handle, Notice::Use(touch))
    }

    /// The session's present id is used at `now`.
    pub(super) fn settled(&self, opened: &Opened, now: Timestamp) {
        if opened.settlement(now).is_some() {
            let notice = || Notice::Settled(opened.key.clone());
            once(&opened.ordered.settlement, || self.send(opened.session.handle, notice()));
        }
    }

    fn send(&self, handle: Handle, notice: Notice) -> bool {
        let sent = self.queue.try_send(Noticed { handle, notice });
        if sent.is_err() {
            tracing::debug!(%handle, "a use goes unrecorded: the store is slow");
        }
        sent.is_ok()
    }
}

/// Does `order` unless it was done before, and leaves it to the next where it comes to nothing.
fn once(ordered: &AtomicBool, order: impl FnOnce() -> bool) {
    if !ordered.swap(true, Ordering::Relaxed) && !order() {
        ordered.store(false, Ordering::Relaxed);
    }
}

impl Toucher {
    /// Works until `stop`, and then off what is still queued.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut under_way = JoinSet::new();
        while let Some(Some(notice)) = stop.run_until_cancelled(self.notices.recv()).await {
            self.begin(notice, &mut under_way).await;
        }
        let rest = async {
            while let Ok(notice) = self.notices.try_recv() {
                self.begin(notice, &mut under_way).await;
            }
            while under_way.join_next().await.is_some() {}
        };
        if tokio::time::timeout(LAST_WORDS, rest).await.is_err() {
            tracing::warn!("the latest uses go unrecorded: the store is slow");
        }
    }

    /// Records one, beside a few others.
    async fn begin(&self, notice: Noticed, under_way: &mut JoinSet<()>) {
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await;
        }
        let rotation = self.rotation.clone();
        under_way.spawn(async move { notice.record(&rotation).await });
    }
}

impl Noticed {
    async fn record(self, rotation: &Rotation) {
        let Self { handle, notice } = self;
        let recorded = match notice {
            Notice::Use(touch) => rotation.lookup.store.touch(&handle, touch).await.map(drop),
            Notice::Settled(key) => rotation.settle(&handle, &key).await,
        };
        if let Err(error) = recorded {
            tracing::debug!(%handle, %error, "a use goes unrecorded");
        }
    }
}
