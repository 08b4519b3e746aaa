//! Threads for handshakes alone. A handshake takes a processor for a third of a millisecond; who makes many, and breaks them
//! off again, does not hold up the requests of those who are there already.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

use crate::base::priority::stand_back;

/// How far handshakes stand back behind requests, on the scale of nice(1): where both want all processors, a quarter of
/// them is left to handshakes.
const NICE: i32 = 5;

/// Threads that stand back behind those that serve requests.
#[derive(Debug)]
pub struct HandshakeThreads {
    /// `None` where it is being dropped.
    runtime: Option<Runtime>,
}

impl HandshakeThreads {
    /// So many; `None`: one per core.
    ///
    /// # Errors
    /// Where the operating system gives no more threads.
    pub fn start(count: Option<NonZeroUsize>) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        if let Some(count) = count {
            builder.worker_threads(count.get());
        }
        let runtime =
            builder.thread_name("handshakes").on_thread_start(|| stand_back(NICE, "handshakes")).build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Does `handshake` here, on a socket of the caller's own runtime; not to the end where nobody waits for it any more.
    ///
    /// # Errors
    /// Those of the handshake, and where it panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        handshake: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let runtime = self.runtime.as_ref().expect("it is there until it is dropped");
        AbortOnDropHandle::new(runtime.spawn(handshake)).await?
    }
}

impl Drop for HandshakeThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped where nobody may wait for threads.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use rustix::process::nice;
    use tokio::sync::oneshot;

    use super::*;

    fn one() -> HandshakeThreads {
        HandshakeThreads::start(NonZeroUsize::new(1)).unwrap()
    }

    #[tokio::test]
    async fn a_handshake_is_done_by_a_thread_that_stands_back() {
        let here = nice(0).unwrap();
        let there = one().run(async { Ok(nice(0)?) }).await.unwrap();
        assert_eq!((there, nice(0).unwrap()), ((here + NICE).min(19), here));
    }

    #[tokio::test]
    async fn one_that_nobody_waits_for_is_given_up() {
        let threads = one();
        let (held, gone) = oneshot::channel::<()>();
        let endless = threads.run(async move {
            let _held = held;
            pending::<io::Result<()>>().await
        });
        tokio::select! {
            biased;
            _ = endless => unreachable!("it has no end"),
            () = tokio::task::yield_now() => {}
        }
        assert!(gone.await.is_err(), "what it held is dropped");
    }

    #[tokio::test]
    async fn one_that_panics_has_failed_and_the_next_is_done() {
        let threads = one();
        let panics = threads.run(async { Ok(std::hint::black_box(None::<u8>).unwrap()) });
        assert!(panics.await.is_err());
        assert_eq!(threads.run(async { Ok(3) }).await.unwrap(), 3);
    }
}
