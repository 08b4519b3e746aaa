//! What holds of every text that is read as a configuration. See [`crate::fuzzing`].

use std::path::Path;

use super::reader::{Fault, Origin};
use super::{Environment, load};

/// Each fault has its place in the text and a way out, on one line; what has none is read again as the same, and what
/// it names is there.
pub fn configuration(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let environment = Environment::from_pairs([("SECRET", "0123456789abcdef0123456789abcdef")]);
    let read = || load::read(Path::new("proxy.toml"), text, &environment);
    let loaded = match read() {
        Ok(loaded) => loaded,
        Err(faults) => return faults.as_slice().iter().for_each(|fault| is_well_told(fault, text)),
    };
    loaded.warnings.iter().for_each(|warning| is_well_told(warning, text));
    assert_eq!(format!("{:?}", loaded.config), format!("{:?}", read().expect("it was read before").config));
    let config = loaded.config;
    for route in &config.routes {
        assert!(config.upstreams.iter().any(|upstream| upstream.name == route.upstream), "{route:?}");
    }
    assert!(config.upstreams.iter().all(|upstream| !upstream.servers.is_empty()));
    assert!(config.session.idle_timeout <= config.session.absolute_timeout);
}

fn is_well_told(fault: &Fault, text: &str) {
    let told = fault.to_string();
    assert!(!told.contains(char::is_control) && !fault.complaint.remedy.is_empty(), "{told:?}");
    let Origin::File { line, column, .. } = fault.origin else { panic!("{told} is of no file") };
    let there = text.split('\n').nth(line - 1).unwrap_or_else(|| panic!("{told}: there is no such line"));
    assert!((1..=there.chars().count() + 1).contains(&column), "{told}: there is no such column");
}
