//! What the themes share.

pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod upstream;

/// Tells whoever runs the tests with `--nocapture` what was measured.
#[expect(clippy::print_stdout, reason = "a figure is for people")]
pub(crate) fn report(figure: &str) {
    println!("{figure}");
}
