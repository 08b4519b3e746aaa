//! A server's word of changes (`CLIENT TRACKING`, by RESP3): it remembers which keys were read over a connection, and
//! tells on that very connection when one is written, expires or leaves.

use std::fmt;
use std::sync::{Arc, Mutex};

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisResult, Value, cmd};

use super::keys::Keys;
use crate::base::lock::lock;
use crate::store::Changes;
use crate::store::tether::Mooring;

/// Who hears of changes.
#[derive(Clone, Debug)]
pub(super) struct Tracking {
    keys: Arc<Keys>,
    changes: Arc<dyn Changes>,
    refusal: Arc<Mutex<Option<String>>>,
}

impl Tracking {
    pub(super) fn new(keys: Arc<Keys>, changes: Arc<dyn Changes>) -> Self {
        Self { keys, changes, refusal: Arc::default() }
    }

    /// Why a server last refused to tell; `None` where none has.
    pub(super) fn refusal(&self) -> Option<String> {
        lock(&self.refusal).clone()
    }

    /// Settings of a connection that is moored to what is read over it.
    pub(super) fn settings(
        &self,
        settings: AsyncConnectionConfig,
        mooring: &Arc<Mooring>,
    ) -> AsyncConnectionConfig {
        let (tracking, mooring) = (self.clone(), Arc::clone(mooring));
        settings.set_push_sender(move |news: PushInfo| {
            tracking.hear(&news, &mooring);
            Ok::<_, fmt::Error>(())
        })
    }

    /// Asks for word of changes to what is read over `wire`. Says whether it will come: a server may refuse it, or
    /// know nothing of it, and serve all the same.
    pub(super) async fn begin(&self, wire: &mut MultiplexedConnection) -> RedisResult<bool> {
        match cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(wire).await {
            Ok(()) => {
                lock(&self.refusal).take();
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
                let known = lock(&self.refusal).replace(error.to_string());
                if known.is_none() {
                    tracing::warn!(%error, "sessions are not remembered: Redis refuses CLIENT TRACKING");
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Keys that changed; none: all of them.
    fn hear(&self, news: &PushInfo, mooring: &Mooring) {
        match (&news.kind, news.data.as_slice()) {
            (PushKind::Invalidate, [Value::Array(keys)]) => keys.iter().for_each(|key| self.changed(key)),
            (PushKind::Invalidate | PushKind::Disconnection, _) => mooring.cut(),
            _ => {}
        }
    }

    fn changed(&self, key: &Value) {
        let handle = match key {
            Value::BulkString(key) => self.keys.handle(key),
            Value::SimpleString(key) => self.keys.handle(key.as_bytes()),
            _ => None,
        };
        if let Some(handle) = handle {
            self.changes.changed(&handle);
        }
    }
}
