//! The command line. Exit codes: 0 done, 1 what was asked does not hold, 2 usage or configuration, 3 somebody who
//! was to be asked is unreachable.

mod check;
mod demo;
mod healthcheck;
mod output;
mod password;
mod run;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::base::random::Random;
use crate::config::{self, Environment, Loaded};
use crate::development::new_secret;
use output::{complain, say};

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done,
    DoesNotHold,
    Usage,
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::DoesNotHold => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::Unreachable => Self::from(3),
        }
    }
}

/// A session-aware reverse proxy: logs users in at the edge of applications that cannot do it safely themselves.
#[derive(Debug, Parser)]
#[command(name = "foregate", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: ConfigFlag,
}

const EXAMPLES: &str = "Examples:
  foregate demo                          try it on this machine: nothing to install, nothing to configure
  foregate check                         read proxy.toml as `run` would, and say all that is wrong with it
  foregate users add alice --group staff
  foregate run --config /etc/foregate/proxy.toml

Without a command it runs. Without --config the file is $FOREGATE_CONFIG, ./proxy.toml or
/etc/foregate/proxy.toml, whichever is there first.";

const NO_CONFIGURATION: &str = "no proxy.toml: try 'foregate demo', or pass --config FILE";

#[derive(Clone, Debug, Args)]
struct ConfigFlag {
    /// The configuration file
    #[arg(id = "config", long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy (also what a bare `foregate` does)
    Run,
    /// Everything on this machine: a certificate, two users, an application that shows what it receives
    Demo(demo::DemoArgs),
    /// Read the configuration as `run` would and say everything that is wrong with it
    Check(check::CheckArgs),
    /// Ask the running proxy whether it is ready, for a container: exit 0 where it is, 1 where not, 3 where it
    /// cannot be asked
    Healthcheck,
    /// Print a new secret for session.secret
    Secret,
    /// Ask for a password and print its argon2id hash
    Password,
    /// The users in the file of [auth.local]
    Users(users::UsersArgs),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::process();
    let exit = match cli.command.unwrap_or(Command::Run) {
        Command::Run => run::run(&cli.config, &environment),
        Command::Demo(args) => demo::demo(&args),
        Command::Check(args) => check::check(&args, &cli.config, &environment),
        Command::Healthcheck => healthcheck::healthcheck(&cli.config, &environment),
        Command::Secret => say(new_secret(Random::system()).expose()),
        Command::Password => password::password(),
        Command::Users(args) => users::users(&args, &cli.config, &environment),
    };
    exit.into()
}

impl ConfigFlag {
    /// The configuration; where it cannot be used, says why on standard error.
    fn load(&self, environment: &Environment) -> Result<Loaded, Exit> {
        let Some(path) = config::find(self.file.as_deref(), environment) else {
            return Err(complain(NO_CONFIGURATION));
        };
        config::load(&path, environment).map_err(complain)
    }
}
