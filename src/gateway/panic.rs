//! A last resort: a fault of ours costs one request, not the connection that others' requests share.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The future panicked; the panic itself was told to the process's hook.
#[derive(Debug)]
pub(super) struct Panicked;

/// The future's output, unless it panics. What it left half-done is dropped with it: requests share nothing
/// that is changed in several steps.
pub(super) async fn without_panic<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_one_future() {
        assert_eq!(without_panic(async { 7 }).await.unwrap(), 7);
        let panicking = async {
            tokio::task::yield_now().await;
            panic!("a fault of ours");
        };
        let outcome: Result<(), Panicked> = without_panic(panicking).await;
        assert!(outcome.is_err());
    }
}
