//! `foregate users`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::output::{complain, say};
use super::password::ask;
use super::{ConfigFlag, Exit, examples};
use crate::auth::{Details, EditError, Listed, UsersEditor, hash_password};
use crate::config::Environment;

#[derive(Debug, Args)]
pub(super) struct UsersArgs {
    #[command(subcommand)]
    action: Action,
    /// The users' file [default: that of auth.local in the configuration]
    #[arg(id = "users_file", long = "file", value_name = "FILE", global = true)]
    file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user; the password is asked for, or read from standard input
    #[command(after_help = examples::USERS_ADD)]
    Add {
        /// The name to log in with
        name: String,
        /// The e-mail address
        #[arg(long)]
        email: Option<String>,
        /// The full name
        #[arg(long = "name", value_name = "NAME", id = "full_name")]
        full_name: Option<String>,
        /// A group; may be given several times
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Show who there is
    #[command(after_help = examples::USERS_LIST)]
    List {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a user another password
    #[command(after_help = examples::USERS_PASSWD)]
    Passwd {
        /// Whom
        name: String,
    },
    /// Let a user log in no more
    #[command(after_help = examples::USERS_DISABLE)]
    Disable {
        /// Whom
        name: String,
    },
    /// Let a disabled user log in again
    #[command(after_help = examples::USERS_ENABLE)]
    Enable {
        /// Whom
        name: String,
    },
    /// Take a user out of the file
    #[command(after_help = examples::USERS_REMOVE)]
    Remove {
        /// Whom
        name: String,
    },
}

pub(super) fn users(args: &UsersArgs, flag: &ConfigFlag, environment: &Environment) -> Exit {
    let path = match args.file.clone().map_or_else(|| configured(flag, environment), Ok) {
        Ok(path) => path,
        Err(exit) => return exit,
    };
    match perform(&args.action, &path) {
        Ok(exit) => exit,
        Err(error) => complain(format_args!("{error:#}")),
    }
}

/// The file that the configuration names.
fn configured(flag: &ConfigFlag, environment: &Environment) -> Result<PathBuf, Exit> {
    let local = flag.load(environment)?.config.auth.local;
    let none = || complain("login.providers does not name \"local\": pass --file FILE");
    local.map(|local| local.users).ok_or_else(none)
}

fn perform(action: &Action, path: &Path) -> anyhow::Result<Exit> {
    let done = match action {
        Action::List { json } => return list(&UsersEditor::open(path)?.list()?, *json),
        Action::Add { name, email, full_name, groups } => {
            // The password is asked for before the file is locked: somebody may take their time.
            let hash = hash_password(&ask()?)?;
            let details = Details { email: email.clone(), name: full_name.clone(), groups: groups.clone() };
            edit(path, |users| users.add(name, &hash, &details))?;
            format!("{name} can log in now")
        }
        Action::Passwd { name } => {
            let hash = hash_password(&ask()?)?;
            edit(path, |users| users.set_password(name, &hash))?;
            format!("{name} has another password now")
        }
        Action::Disable { name } => {
            edit(path, |users| users.disable(name))?;
            format!("{name} cannot log in any more; {}", open_sessions(name))
        }
        Action::Enable { name } => {
            edit(path, |users| users.enable(name))?;
            format!("{name} can log in again")
        }
        Action::Remove { name } => {
            edit(path, |users| users.remove(name))?;
            format!("{name} is removed; {}", open_sessions(name))
        }
    };
    Ok(say(format_args!("{done} ({})", path.display())))
}

/// What becomes of what a user has begun.
fn open_sessions(name: &str) -> String {
    format!("sessions that are open go on: `foregate sessions revoke --user {name}` ends them")
}

fn edit(
    path: &Path,
    change: impl FnOnce(&mut UsersEditor) -> Result<(), EditError>,
) -> Result<(), EditError> {
    let mut users = UsersEditor::open(path)?;
    change(&mut users)?;
    users.save()
}

fn list(users: &[Listed], json: bool) -> anyhow::Result<Exit> {
    if json {
        return Ok(say(serde_json::to_string_pretty(users).context("cannot write JSON")?));
    }
    let width = users.iter().map(|user| user.user.chars().count()).max().unwrap_or(0);
    let lines = users.iter().map(|user| {
        let groups = user.groups.join(", ");
        let state = if user.disabled { "  disabled" } else { "" };
        format!("{:width$}  {groups}{state}", user.user)
    });
    // One line each, and none where there is nobody.
    Ok(lines.map(say).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done))
}
