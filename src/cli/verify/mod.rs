//! `foregate verify`: tests a live site from outside, as a browser and as an attacker would meet it.

mod abuse;
mod client;
mod cookies;
mod findings;
mod form;
mod headers;
mod hello;
mod ids;
mod jar;
mod session;
mod transport;
mod visit;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::runtime;
use url::Url;

use super::Exit;
use super::check::{Check, Outcome};
use super::output::{complain, print, warn};
use super::password;
use crate::base::duration;
use crate::base::secret::Secret;
use crate::config::ClientTls;
use crate::outgoing::TlsFiles;
use client::{Client, Trouble};
use visit::{Account, Visit};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A page that only signed-in users may see
    url: Url,
    /// Sign in as this user, with the password on standard input; without it only what everybody sees is tested
    #[arg(long)]
    user: Option<String>,
    /// Where the login form is, if the page does not lead there
    #[arg(long, value_name = "PATH", requires = "user")]
    login_path: Option<String>,
    /// Where one logs out, if no page says it
    #[arg(long, value_name = "PATH", requires = "user")]
    logout_path: Option<String>,
    /// The form's field for the user's name
    #[arg(long, value_name = "NAME", requires = "user")]
    user_field: Option<String>,
    /// The form's field for the password
    #[arg(long, value_name = "NAME", requires = "user")]
    password_field: Option<String>,
    /// Try wrong passwords until the site refuses to look at them: this may lock the user out for a while
    #[arg(long, requires = "user")]
    intrusive: bool,
    /// Leave a session alone for so long (31m), and see whether it is over
    #[arg(long, value_name = "DURATION", requires = "user", value_parser = duration::parse)]
    idle: Option<Duration>,
    /// Where the site answers by http, if not on port 80
    #[arg(long, value_name = "URL")]
    http: Option<Url>,
    /// Connect to this address, whatever the name's is
    #[arg(long, value_name = "ADDRESS")]
    connect: Option<IpAddr>,
    /// A PEM bundle of the authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing can be tested.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}: give the site's https address (http is tried by itself; a password never goes over it)")]
    NoHttps(Url),
    #[error("--http {0}: an http address of the same host is expected")]
    OtherHost(Url),
    #[error(transparent)]
    Tls(#[from] crate::outgoing::TlsError),
    #[error("{0:#}")]
    Password(anyhow::Error),
    #[error("cannot start: {0}")]
    Runtime(#[from] io::Error),
}

pub(super) fn verify(args: &VerifyArgs) -> Exit {
    let checks = match prepare(args).and_then(|account| run(args, account)) {
        Ok(Ok(checks)) => checks,
        Ok(Err(trouble)) => {
            complain(trouble);
            return Exit::Unreachable;
        }
        Err(refused) => return complain(refused),
    };
    let outcome = Outcome::of(checks);
    let told = if args.json { outcome.print_json() } else { print(outcome.list().as_bytes()) };
    if outcome.ok { told } else { Exit::DoesNotHold }
}

/// Looks at the arguments, and reads the password.
fn prepare(args: &VerifyArgs) -> Result<Option<Account>, Refused> {
    if args.url.scheme() != "https" {
        return Err(Refused::NoHttps(args.url.clone()));
    }
    if let Some(http) = &args.http
        && (http.scheme() != "http" || http.host() != args.url.host())
    {
        return Err(Refused::OtherHost(http.clone()));
    }
    let Some(user) = &args.user else { return Ok(None) };
    let password: Secret<String> = password::known().map_err(Refused::Password)?;
    Ok(Some(Account { user: user.clone(), password }))
}

fn run(args: &VerifyArgs, account: Option<Account>) -> Result<Result<Vec<Check>, Trouble>, Refused> {
    let files = TlsFiles::new(&ClientTls { ca: args.ca.clone(), certificate: None })?;
    let tls = files.client(&["http/1.1"])?;
    announce(args);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        let client = Client::new(&args.url, args.connect, tls);
        Visit::new(client, args, account).go().await
    }))
}

/// What is about to be done, on standard error.
fn announce(args: &VerifyArgs) {
    let host = args.url.origin().ascii_serialization();
    let VerifyArgs { user: Some(user), .. } = args else {
        return warn(format_args!(
            "{host}: about 10 requests without signing in; with --user NAME the session is tested, too"
        ));
    };
    warn(format_args!(
        "{host}: about 45 requests, at most 10 a second; signs in as {user} four times, and out"
    ));
    if args.intrusive {
        warn(format_args!("then up to {} wrong passwords for {user}, who may be locked out", abuse::TRIES));
    }
}
