//! The production checklist: what a security reviewer asks of a configuration, a line for each key that can be wrong.
//! docs/production.md tells what each line is for.

mod applications;
mod front;
pub(super) mod live;
mod sessions;
#[cfg(test)]
mod tests;

use super::check::{Check, Status};
use crate::base::clock::Timestamp;
use crate::config::{Config, Fault, Loaded, Mode, Place};

/// What is to be done about a line that does not pass.
struct Remedy {
    status: Status,
    text: String,
}

/// It has to be done.
fn must(text: impl Into<String>) -> Remedy {
    Remedy { status: Status::Fail, text: text.into() }
}

/// There may be a reason not to.
fn should(text: impl Into<String>) -> Remedy {
    Remedy { status: Status::Warn, text: text.into() }
}

/// The line of `key`; it passes where there is nothing to be done.
fn line(key: &str, seen: impl Into<String>, remedy: Option<Remedy>) -> Check {
    let (status, fix) = remedy.map_or((Status::Pass, String::new()), |remedy| (remedy.status, remedy.text));
    Check { id: key.to_owned(), status, seen: seen.into(), fix }
}

/// All lines, in the order of the configuration, and what its reading warned of beside them.
pub(super) fn checklist(loaded: &Loaded, now: Timestamp) -> Vec<Check> {
    let config = &loaded.config;
    let mut lines = vec![mode(config)];
    lines.extend(front::lines(config, now));
    lines.extend(sessions::lines(config));
    lines.extend(applications::lines(config));
    for warning in &loaded.warnings {
        add_warning(&mut lines, warning);
    }
    lines
}

/// A warning takes the place of its key's line, unless that says worse.
fn add_warning(lines: &mut Vec<Check>, warning: &Fault) {
    let seen = format!("{} ({})", warning.complaint.what, warning.origin);
    let told = line(&warning.key, seen, Some(should(&warning.complaint.remedy)));
    match lines.iter_mut().find(|line| line.id == told.id) {
        Some(line) if line.status == Status::Pass => *line = told,
        Some(_) => {}
        None => lines.push(told),
    }
}

fn mode(config: &Config) -> Check {
    let (seen, remedy) = match config.mode {
        Mode::Production => ("production", None),
        Mode::Development => ("development", Some(must("set mode = \"production\", or leave it out"))),
    };
    line("mode", seen, remedy)
}

/// Whether what goes to this host stays on this machine.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The same for a place.
fn is_here(place: &Place) -> bool {
    match place {
        Place::Network { host, .. } => is_this_machine(host),
        Place::Unix(_) => true,
    }
}

/// Words with commas between them; `otherwise` where there is none.
fn listed<T: ToString>(words: impl IntoIterator<Item = T>, otherwise: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string()).collect();
    if words.is_empty() { otherwise.to_owned() } else { words.join(", ") }
}
