//! What the themes share.

use std::sync::LazyLock;

use foregate::app::World;
use foregate::base::clock::Clock;
use foregate::base::random::Random;
use foregate::listener::PassedSockets;
use foregate::telemetry::{Captured, Format, Lines, Logs};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
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
mod tickets;
pub(crate) mod tls_front;
pub(crate) mod upstream;
pub(crate) mod websocket;

/// Listens to nothing. As long as there is one subscriber only, tracing decides by the thread that comes first to a
/// line whether anybody listens to that: where it is one without a log, the line is lost to all.
static DEAF: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(tracing_subscriber::fmt().with_max_level(LevelFilter::OFF).finish()));

/// The program's own log of what this thread does while the guard lives: of a whole proxy in a test whose runtime has
/// no other thread.
pub(crate) fn captured_log() -> (Captured, DefaultGuard) {
    LazyLock::force(&DEAF);
    let captured = Captured::default();
    let writer = captured.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (captured, set_default(log))
}

/// The real one, but that nothing is written down.
pub(crate) fn silent_world() -> World {
    let nowhere = Lines::nowhere().unwrap();
    let logs = Logs { main: nowhere.clone(), audit: nowhere, format: Format::Json };
    World { clock: Clock::system(), random: Random::system(), logs, passed: PassedSockets::default() }
}

/// Tells whoever runs the tests with `--nocapture` what was measured.
#[expect(clippy::print_stdout, reason = "a figure is for people")]
pub(crate) fn report(figure: &str) {
    println!("{figure}");
}

#[test]
fn a_log_is_captured_of_what_others_have_said_before() {
    let say = || tracing::warn!("it is said");
    let (log, _logging) = captured_log();
    std::thread::spawn(say).join().unwrap();
    say();
    assert_eq!(log.text().matches("it is said").count(), 1, "{}", log.text());
}
