//! What the themes share.

use foregate::telemetry::Captured;
use tracing::subscriber::{DefaultGuard, set_default};

pub(crate) mod authority;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod command;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod sentinels;
pub(crate) mod settle;
pub(crate) mod tls_front;
pub(crate) mod upstream;
pub(crate) mod websocket;

/// The program's own log of what this thread does while the guard lives: of a whole proxy in a test whose runtime has
/// no other thread.
pub(crate) fn captured_log() -> (Captured, DefaultGuard) {
    let captured = Captured::default();
    let writer = captured.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (captured, set_default(log))
}

/// Tells whoever runs the tests with `--nocapture` what was measured.
#[expect(clippy::print_stdout, reason = "a figure is for people")]
pub(crate) fn report(figure: &str) {
    println!("{figure}");
}
