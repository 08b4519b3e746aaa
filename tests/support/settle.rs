//! Waiting for what happens off a request's path.

use std::time::Duration;

use foregate::base::clock::Stopwatch;

/// Far more than anything here ever needs: reaching it means that something is wrong.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until `is_so`; `what` is said where that never comes.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = Stopwatch::start();
    while !is_so().await {
        assert!(waited.elapsed() < PATIENCE, "it does not come to this: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
