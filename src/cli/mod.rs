//! The command line. Exit codes: 0 done, 1 what was asked does not hold, 2 usage or configuration, 3 somebody who
//! was to be asked is unreachable.

mod check;
mod demo;
mod examples;
mod explain;
mod findings;
mod healthcheck;
mod output;
mod packaging;
mod password;
mod production;
mod run;
mod sessions;
mod socket;
mod systemd;
mod table;
mod trace;
mod users;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::base::random::Random;
use crate::config::{self, Environment, Faults, Loaded};
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
#[command(name = "foregate", version, about, after_help = examples::FOREGATE)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: ConfigFlag,
}

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
    ///
    /// Binds what [server] names, serves, and logs on standard error. Under systemd (Type=notify) it tells when it
    /// serves and when it ends.
    #[command(after_help = examples::RUN)]
    Run,
    /// Everything on this machine: a certificate, two users, an application that shows what it receives
    ///
    /// Needs no configuration: it makes what it needs, prints how to try it, and removes it at the end.
    #[command(after_help = examples::DEMO)]
    Demo(demo::DemoArgs),
    /// Read the configuration as `run` would and say everything that is wrong with it
    ///
    /// Looks at the files that it names as well: certificates, keys, users, the store's. Starts nothing and changes
    /// nothing. With --production it goes through what a security reviewer asks, a line for each key: pass, warn or
    /// fail, what is seen, what to change. With --live it asks the store, too.
    #[command(after_help = examples::CHECK)]
    Check(check::CheckArgs),
    /// Say what would become of a request, without sending it
    ///
    /// Which route it takes, what its cookie comes to, what the upstream would get, and what the browser. The code that
    /// serves decides; nothing is sent, and no session is changed. Whether a session is alive is asked of Redis; of
    /// sessions in a file or in memory only the running proxy knows.
    #[command(after_help = examples::EXPLAIN)]
    Explain(explain::ExplainArgs),
    /// Test a live site from outside: TLS, cookies, the session's life, what other sites can do
    ///
    /// Any site, not only this proxy's. Signs in and out with --user, sends the password to the site's own https
    /// address alone, and keeps to ten requests a second.
    #[command(after_help = examples::VERIFY)]
    Verify(Box<verify::VerifyArgs>),
    /// Ask the running proxy whether it is ready, for a container
    ///
    /// Asks the admin listener that the configuration names for /readyz.
    #[command(after_help = examples::HEALTHCHECK)]
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Print a new secret for session.secret
    ///
    /// 256 random bits in 64 hexadecimal digits. Whoever has it can forge cookies: keep it in a file that the proxy
    /// alone may read.
    #[command(after_help = examples::SECRET)]
    Secret,
    /// Ask for a password and print its argon2id hash
    ///
    /// For the password of a user in users.toml. `foregate users` writes it there by itself.
    #[command(after_help = examples::PASSWORD)]
    Password,
    /// The users in the file of [auth.local]
    ///
    /// Shows and changes them. Comments and order in the file stay; the file is replaced as a whole.
    #[command(after_help = examples::USERS)]
    Users(users::UsersArgs),
    /// The sessions: who is signed in, where and since when
    ///
    /// Lists, counts and ends them. Those in Redis are reached directly, with or without a proxy that runs; those in a
    /// file or in memory through the admin socket of the running proxy.
    #[command(after_help = examples::SESSIONS)]
    Sessions(sessions::SessionsArgs),
    /// What the policies found: which cookies of applications, which requests from other sites
    ///
    /// What is changed or refused, and with mode = "report" what would be: by application, with how often it was seen
    /// since the running proxy started, which is asked over its admin socket.
    #[command(after_help = examples::FINDINGS)]
    Findings(findings::FindingsArgs),
    /// Print what completes commands and flags in a shell
    ///
    /// For packagers: the script goes where the shell looks for completions.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(packaging::CompletionsArgs),
    /// Print the manual page
    ///
    /// For packagers: without --dir the page of foregate itself, with it a page for each command.
    #[command(after_help = examples::MAN)]
    Man(packaging::ManArgs),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::process();
    let exit = match cli.command.unwrap_or(Command::Run) {
        Command::Run => run::run(&cli.config, &environment),
        Command::Demo(args) => demo::demo(&args),
        Command::Check(args) => check::check(&args, &cli.config, &environment),
        Command::Explain(args) => explain::explain(&args, &cli.config, &environment),
        Command::Healthcheck(args) => healthcheck::healthcheck(&args, &cli.config, &environment),
        Command::Verify(args) => verify::verify(&args),
        Command::Secret => say(new_secret(Random::system()).expose()),
        Command::Password => password::password(),
        Command::Users(args) => users::users(&args, &cli.config, &environment),
        Command::Sessions(args) => sessions::sessions(&args, &cli.config, &environment),
        Command::Findings(args) => findings::findings(&args, &cli.config, &environment),
        Command::Completions(args) => packaging::completions(&args, Cli::command()),
        Command::Man(args) => packaging::man(&args, Cli::command()),
    };
    exit.into()
}

/// Where the configuration comes from.
#[derive(Clone, Debug)]
struct ConfigSource {
    path: PathBuf,
    environment: Environment,
}

impl ConfigFlag {
    /// Where the configuration is; `None` where there is none.
    fn source(&self, environment: &Environment) -> Option<ConfigSource> {
        let path = config::find(self.file.as_deref(), environment)?;
        Some(ConfigSource { path, environment: environment.clone() })
    }

    /// The configuration; where it cannot be used, says why on standard error.
    fn load(&self, environment: &Environment) -> Result<Loaded, Exit> {
        let source = self.source(environment).ok_or_else(|| complain(NO_CONFIGURATION))?;
        source.read().map_err(complain)
    }
}

impl ConfigSource {
    /// What it says now.
    fn read(&self) -> Result<Loaded, Faults> {
        config::load(&self.path, &self.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command with its own help, and the lines of its examples.
    fn examples_of(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_help().unwrap_or_else(|| panic!("{command} has examples")).to_string();
        let mut lines: Vec<String> = help
            .lines()
            .filter(|line| line.starts_with("  "))
            .map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned())
            .collect();
        lines.extend(command.get_subcommands().flat_map(examples_of));
        lines
    }

    #[test]
    fn every_example_is_a_command_line_as_it_is_read() {
        let examples = examples_of(&Cli::command());
        assert!(examples.len() > 25, "{examples:?}");
        for example in examples {
            let (_, command) = example.split_once("foregate").unwrap_or_else(|| panic!("{example}"));
            let command = command.split(['>', '<', '|', ')']).next().unwrap();
            // Words in quotes are the odd pieces.
            let words = command.split('"').enumerate().flat_map(|(at, piece)| match at % 2 {
                0 => piece.split_whitespace().collect(),
                _ => vec![piece],
            });
            let parsed = Cli::try_parse_from(["foregate"].into_iter().chain(words));
            assert!(parsed.is_ok(), "{example}: {parsed:?}");
        }
    }

    #[test]
    fn every_command_and_flag_says_what_it_is_for() {
        fn look(command: &clap::Command) {
            let about = command.get_long_about().or(command.get_about());
            assert!(about.is_some(), "{command}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{command} {argument}");
            }
            command.get_subcommands().for_each(look);
        }
        look(&Cli::command());
        Cli::command().debug_assert();
    }
}
