//! `foregate check`

use clap::Args;
use serde::Serialize;

use super::output::{complain, print, say, warn};
use super::{ConfigFlag, Exit, production};
use crate::auth::{LocalUsers, PasswordQueue};
use crate::base::clock::Clock;
use crate::config::{self, Config, Environment, Fault, Loaded, Setting, Severity};
use crate::listener::{Certificates, Tls};
use crate::pages::Pages;
use crate::store;
use crate::telemetry::plain;
use crate::upstream;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Go through the production checklist, a line for each key that can be wrong
    #[arg(long)]
    production: bool,
    /// Ask the store how it is set up, too
    #[arg(long)]
    live: bool,
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
    /// It could not be looked at.
    Skip,
}

#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) ok: bool,
    pub(super) checks: Vec<Check>,
    /// What is not a default; empty where the configuration is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<SetValue>,
}

/// One key that was set, and where.
#[derive(Debug, Serialize)]
pub(super) struct SetValue {
    key: String,
    value: String,
    origin: String,
}

pub(super) fn check(args: &CheckArgs, flag: &ConfigFlag, environment: &Environment) -> Exit {
    let Some(path) = config::find(flag.file.as_deref(), environment) else {
        return complain(super::NO_CONFIGURATION);
    };
    let outcome = match config::load(&path, environment) {
        Ok(loaded) if (args.production || args.live) && usable(&loaded.config) => {
            return listed(args, &loaded);
        }
        Ok(loaded) => {
            let file = Check::new("configuration", Status::Pass, &path.display());
            let warnings = loaded.warnings.iter().map(Check::of_fault);
            let checks = [file].into_iter().chain(warnings).chain(surroundings(&loaded.config)).collect();
            let values = loaded.settings.into_iter().map(SetValue::of).collect();
            Outcome { values, ..Outcome::of(checks) }
        }
        Err(faults) => Outcome::of(faults.as_slice().iter().map(Check::of_fault).collect()),
    };
    let told = if args.json { outcome.print_json() } else { outcome.print() };
    if outcome.ok { told } else { Exit::Usage }
}

/// What is asked beyond whether the configuration can be used, where it can.
fn listed(args: &CheckArgs, loaded: &Loaded) -> Exit {
    let mut checks =
        if args.production { production::checklist(loaded, Clock::system().now()) } else { Vec::new() };
    let mut reached = true;
    if args.live {
        let told = production::live::checks(&loaded.config.session.store);
        reached = told.is_ok();
        checks.extend(told.unwrap_or_else(|unreachable| vec![unreachable]));
    }
    let outcome = Outcome::of(checks);
    let told = if args.json { outcome.print_json() } else { print(outcome.list().as_bytes()) };
    match outcome.ok {
        true => told,
        false if reached => Exit::DoesNotHold,
        false => Exit::Unreachable,
    }
}

/// Whether all that it names can be used.
fn usable(config: &Config) -> bool {
    surroundings(config).iter().all(|check| check.status != Status::Fail)
}

/// What the configuration names: certificates, the store's files, upstreams' authorities, pages, users. Nothing is made that is not there.
fn surroundings(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    match Certificates::load(&config.tls.certificates) {
        Ok(certificates) => {
            if let Err(error) = Tls::new(certificates, &config.tls) {
                checks.push(Check::new("tls.client_auth", Status::Fail, &error));
            }
        }
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

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
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

impl SetValue {
    fn of(setting: Setting) -> Self {
        Self { key: setting.key, value: setting.text, origin: setting.origin.to_string() }
    }
}

impl Outcome {
    pub(super) fn of(checks: Vec<Check>) -> Self {
        Self { ok: checks.iter().all(|check| check.status != Status::Fail), checks, values: Vec::new() }
    }

    pub(super) fn print_json(&self) -> Exit {
        say(serde_json::to_string_pretty(self).expect("words and truth values are always JSON"))
    }

    /// Faults on standard error, as they stand in the log of a failed start; the good news on standard output.
    fn print(&self) -> Exit {
        for check in &self.checks {
            match check.status {
                Status::Pass | Status::Skip => {}
                Status::Warn | Status::Fail => warn(&check.seen),
            }
        }
        if !self.ok {
            return Exit::Done;
        }
        let verdict = self.checks.first().map_or("configuration", |check| &check.seen);
        say(format!("{verdict}: ok{}", self.told_values()))
    }

    /// A line for each, what to do beneath those that do not pass, and how many they are.
    pub(super) fn list(&self) -> String {
        let width = self.checks.iter().map(|check| check.id.chars().count()).max().unwrap_or_default();
        let mut text = String::new();
        for check in &self.checks {
            let Check { id, status, seen, fix } = check;
            text += &format!("{}  {id:width$}  {}\n", status.as_str(), plain(seen));
            if !fix.is_empty() {
                text += &format!("      {:width$}  → {}\n", "", plain(fix));
            }
        }
        let count = |status| self.checks.iter().filter(|check| check.status == status).count();
        let [pass, warn, fail, skip] = [Status::Pass, Status::Warn, Status::Fail, Status::Skip].map(count);
        text + &format!("{pass} pass, {warn} warn, {fail} fail, {skip} could not be looked at\n")
    }

    /// What is not a default and where it comes from, in columns.
    fn told_values(&self) -> String {
        if self.values.is_empty() {
            return String::new();
        }
        let line = |value: &SetValue| format!("{} = {}", value.key, value.value);
        let width = self.values.iter().map(|value| line(value).chars().count()).max().unwrap_or_default();
        let lines = self.values.iter().map(|value| format!("\n  {:width$}  {}", line(value), value.origin));
        format!("\nvalues that are not defaults:{}", lines.collect::<String>())
    }
}
