//! `foregate check`

use clap::Args;
use serde::Serialize;

use super::output::{complain, say, warn};
use super::{ConfigFlag, Exit};
use crate::auth::{LocalUsers, PasswordQueue};
use crate::config::{self, Config, Environment, Fault, Severity};
use crate::listener::Certificates;
use crate::pages::Pages;
use crate::store;
use crate::upstream;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) seen: String,
    pub(super) fix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Pass,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) ok: bool,
    pub(super) checks: Vec<Check>,
}

pub(super) fn check(args: &CheckArgs, flag: &ConfigFlag, environment: &Environment) -> Exit {
    let Some(path) = config::find(flag.file.as_deref(), environment) else {
        return complain(super::NO_CONFIGURATION);
    };
    let checks: Vec<Check> = match config::load(&path, environment) {
        Ok(loaded) => {
            let file = Check::new("configuration", Status::Pass, &path.display());
            let warnings = loaded.warnings.iter().map(Check::of_fault);
            [file].into_iter().chain(warnings).chain(surroundings(&loaded.config)).collect()
        }
        Err(faults) => faults.as_slice().iter().map(Check::of_fault).collect(),
    };
    let outcome = Outcome::of(checks);
    let told = if args.json { outcome.print_json() } else { outcome.print() };
    if outcome.ok { told } else { Exit::Usage }
}

/// What the configuration names: certificates, the store's files, upstreams' authorities, pages, users. Nothing is made that is not there.
fn surroundings(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    match Certificates::load(&config.tls.certificates) {
        Ok(_) => {}
        Err(errors) => {
            checks.extend(errors.iter().map(|error| Check::new("tls.certificate", Status::Fail, error)));
        }
    }
    if let Err(error) = store::check(&config.session.store) {
        checks.push(Check::new("session.store", Status::Fail, &error));
    }
    if let Err(errors) = Pages::new(&config.server.prefix, &config.login) {
        checks.extend(errors.iter().map(|error| Check::new("login", Status::Fail, error)));
    }
    for config in &config.upstreams {
        if let Err(error) = upstream::check(config) {
            checks.push(Check::new(&format!("upstream.{}.ca", config.name), Status::Fail, &error));
        }
    }
    if let Some(local) = &config.auth.local {
        checks.push(match LocalUsers::open(local, PasswordQueue::new(config.login.hash_concurrency)) {
            Ok(users) if users.is_empty() => Check {
                fix: "foregate users add NAME".to_owned(),
                ..Check::new("auth.local.users", Status::Warn, &"no users yet: foregate users add NAME")
            },
            Ok(_) => Check::new("auth.local.users", Status::Pass, &local.users.display()),
            Err(error) => Check::new("auth.local.users", Status::Fail, &error),
        });
    }
    checks
}

impl Check {
    fn new(id: &str, status: Status, seen: &impl ToString) -> Self {
        Self { id: id.to_owned(), status, seen: seen.to_string(), fix: String::new() }
    }

    fn of_fault(fault: &Fault) -> Self {
        let status = match fault.severity {
            Severity::Error => Status::Fail,
            Severity::Warning => Status::Warn,
        };
        Self { id: fault.key.clone(), status, seen: fault.to_string(), fix: fault.complaint.remedy.clone() }
    }
}

impl Outcome {
    pub(super) fn of(checks: Vec<Check>) -> Self {
        Self { ok: checks.iter().all(|check| check.status != Status::Fail), checks }
    }

    pub(super) fn print_json(&self) -> Exit {
        say(serde_json::to_string_pretty(self).expect("words and truth values are always JSON"))
    }

    /// Faults on standard error, as they stand in the log of a failed start; the good news on standard output.
    fn print(&self) -> Exit {
        for check in &self.checks {
            match check.status {
                Status::Pass => {}
                Status::Warn | Status::Fail => warn(&check.seen),
            }
        }
        if !self.ok {
            return Exit::Done;
        }
        say(format_args!("{}: ok", self.checks.first().map_or("configuration", |check| &check.seen)))
    }
}
