//! `foregate sessions`

mod progress;
mod proxy;
mod reach;
mod table;

use std::io::{self, BufRead, IsTerminal, Write};

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{complain, print, say, warn};
use super::table::Room;
use super::{ConfigFlag, Exit, examples};
use crate::admin::{LISTED, MOST_LISTED};
use crate::base::handle::Handle;
use crate::config::Environment;
use crate::telemetry::pretty;
use progress::Progress;
use reach::{Reach, ReachError};

#[derive(Debug, Args)]
pub(super) struct SessionsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show who is signed in, the latest use first
    #[command(after_help = examples::SESSIONS_LIST)]
    List {
        /// Of this user alone, by the name that they log in with
        #[arg(long)]
        user: Option<String>,
        /// So many at most; which ones, where there are more, nobody can say
        #[arg(long, value_name = "N", default_value_t = LISTED)]
        #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST_LISTED as u64))]
        limit: usize,
        /// Print all that is known, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of one session
    #[command(after_help = examples::SESSIONS_SHOW)]
    Show {
        /// Its handle, as lists and logs have it
        #[arg(allow_hyphen_values = true)]
        handle: Handle,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say how many sessions there are
    #[command(after_help = examples::SESSIONS_COUNT)]
    Count {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// End sessions: one, a user's, or all
    #[command(after_help = examples::SESSIONS_REVOKE)]
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct RevokeArgs {
    #[command(flatten)]
    which: Which,
    /// Do not ask whether all are meant
    #[arg(long)]
    yes: bool,
    /// Print how many it were as JSON
    #[arg(long)]
    json: bool,
}

/// One of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The session of this handle
    #[arg(allow_hyphen_values = true)]
    handle: Option<Handle>,
    /// All of this user, by the name that they log in with
    #[arg(long)]
    user: Option<String>,
    /// All that there are
    #[arg(long)]
    all: bool,
}

pub(super) fn sessions(args: &SessionsArgs, flag: &ConfigFlag, environment: &Environment) -> Exit {
    if let Action::Revoke(RevokeArgs { which: Which { all: true, .. }, yes: false, .. }) = &args.action
        && let Some(exit) = declined()
    {
        return exit;
    }
    let config = match flag.load(environment) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    let performed = Reach::open(config).and_then(|reach| perform(&args.action, &reach));
    performed.unwrap_or_else(|error| {
        let exit = complain(&error);
        if error.is_configuration() { exit } else { Exit::Unreachable }
    })
}

fn perform(action: &Action, reach: &Reach) -> Result<Exit, ReachError> {
    Ok(match action {
        Action::List { user, limit, json } => {
            let listed = reach.list(user.as_deref(), *limit)?;
            if listed.len() == *limit {
                warn(format_args!("{limit} are shown, there may be more (--limit N)"));
            }
            if *json {
                say(pretty(&listed))
            } else {
                print(table::table(&listed, Room::of_output()).as_bytes())
            }
        }
        Action::Show { handle, json } => match reach.find(handle)? {
            Some(report) if *json => say(pretty(&report)),
            Some(report) => print(table::details(&report).as_bytes()),
            None => unknown(handle),
        },
        Action::Count { json } => {
            let mut progress = if *json { Progress::none() } else { Progress::of("counted") };
            let count = reach.count(&mut progress)?;
            drop(progress);
            if *json { say(json!({ "count": count })) } else { say(count) }
        }
        Action::Revoke(args) => revoke(args, reach)?,
    })
}

fn revoke(args: &RevokeArgs, reach: &Reach) -> Result<Exit, ReachError> {
    let mut progress = if args.json { Progress::none() } else { Progress::of("ended") };
    let revoked = match &args.which {
        Which { handle: Some(handle), .. } => usize::from(reach.end(handle)?),
        Which { user: Some(user), .. } => reach.end_user(user)?,
        Which { .. } => reach.end_all(&mut progress)?,
    };
    drop(progress);
    if revoked > 0 && matches!(reach, Reach::Store(_)) {
        warn("ended in the store directly: no proxy's audit log tells of it");
    }
    let told = if args.json { say(json!({ "revoked": revoked })) } else { say(sentence(revoked)) };
    Ok(match &args.which.handle {
        Some(handle) if revoked == 0 => unknown(handle),
        _ => told,
    })
}

fn sentence(revoked: usize) -> String {
    match revoked {
        0 => "no session was there to end".to_owned(),
        1 => "1 session ended".to_owned(),
        _ => format!("{revoked} sessions ended"),
    }
}

fn unknown(handle: &Handle) -> Exit {
    warn(format_args!("there is no session {handle}"));
    Exit::DoesNotHold
}

/// Asks whether all sessions are to end; how the command ends where they are not.
fn declined() -> Option<Exit> {
    if !io::stdin().is_terminal() {
        return Some(complain("--all ends everybody's sessions: pass --yes where nobody can be asked"));
    }
    // An answer that cannot be read is none.
    let _ = write!(io::stderr(), "End all sessions? Everybody has to log in again. [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return None;
    }
    warn("nothing was ended");
    Some(Exit::DoesNotHold)
}
