//! `foregate healthcheck`: asks the running proxy whether it can do its work.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::check::{Check, Outcome, Status};
use super::output::{complain, say, warn};
use super::{ConfigFlag, Exit};
use crate::config::{AdminSocket, Environment, Server};

/// An orchestrator asks every few seconds and wants an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest answer that is read.
const LONGEST: u64 = 64 * 1024;

const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[derive(Debug, Args)]
pub(super) struct HealthcheckArgs {
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// What `/readyz` says.
#[derive(Debug, Deserialize)]
struct Readiness {
    ready: bool,
    checks: Vec<Told>,
}

#[derive(Debug, Deserialize)]
struct Told {
    name: String,
    ok: bool,
    reason: Option<String>,
}

pub(super) fn healthcheck(args: &HealthcheckArgs, flag: &ConfigFlag, environment: &Environment) -> Exit {
    let server = match flag.load(environment) {
        Ok(loaded) => loaded.config.server,
        Err(exit) => return exit,
    };
    let Some(answer) = ask(&server) else {
        return complain(
            "server.admin and server.admin_socket are both off: there is nobody to ask (set one of them)",
        );
    };
    let exit = if answer.is_ok() { Exit::DoesNotHold } else { Exit::Unreachable };
    let outcome = Outcome::of(match &answer {
        Ok(answer) => judge(answer),
        Err(error) => unreachable(error),
    });
    let told = if args.json { outcome.print_json() } else { print(&outcome) };
    if outcome.ok { told } else { exit }
}

fn unreachable(error: &io::Error) -> Vec<Check> {
    vec![Check {
        id: "admin".to_owned(),
        status: Status::Fail,
        seen: format!("the proxy cannot be asked: {error}"),
        fix: "is it running, with this configuration?".to_owned(),
    }]
}

fn judge(answer: &str) -> Vec<Check> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    match serde_json::from_str::<Readiness>(body) {
        Ok(Readiness { ready, checks }) if ready == checks.iter().all(|check| check.ok) => {
            checks.into_iter().map(Check::from).collect()
        }
        _ => vec![Check {
            id: "admin".to_owned(),
            status: Status::Fail,
            seen: format!("the answer is not foregate's: {:?}", head.lines().next().unwrap_or_default()),
            fix: "does another program listen where server.admin says?".to_owned(),
        }],
    }
}

impl From<Told> for Check {
    fn from(told: Told) -> Self {
        if told.ok {
            return Self {
                id: told.name,
                status: Status::Pass,
                seen: "ready".to_owned(),
                fix: String::new(),
            };
        }
        let seen = told.reason.unwrap_or_else(|| "not ready".to_owned());
        Self { id: told.name, status: Status::Fail, seen, fix: "the proxy's log says more".to_owned() }
    }
}

fn print(outcome: &Outcome) -> Exit {
    if outcome.ok {
        return say("ready");
    }
    let failed = outcome.checks.iter().filter(|check| check.status == Status::Fail);
    failed.for_each(|check| warn(format_args!("{}: {} ({})", check.id, check.seen, check.fix)));
    Exit::Done
}

/// Over the socket in the file system where there is one, else over the network; `None` where both are off.
fn ask(server: &Server) -> Option<io::Result<String>> {
    let over_network = || server.admin.map(over_network);
    match &server.admin_socket {
        AdminSocket::Off => over_network(),
        AdminSocket::At(path) => Some(over_socket(path)),
        // The proxy may have failed to make it.
        AdminSocket::Chosen(path) => match over_socket(path) {
            Ok(answer) => Some(Ok(answer)),
            Err(error) => over_network().or(Some(Err(error))),
        },
    }
}

fn over_socket(path: &Path) -> io::Result<String> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    converse(stream)
}

fn over_network(address: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&reachable(address), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    converse(stream)
}

/// Who listens everywhere can be reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        address => address,
    }
}

fn converse(stream: impl Read + Write) -> io::Result<String> {
    exchange(stream, REQUEST, LONGEST)
}

/// Sends `request`; the answer, up to its end or `longest`.
pub(super) fn exchange(mut stream: impl Read + Write, request: &[u8], longest: u64) -> io::Result<String> {
    stream.write_all(request)?;
    let mut answer = String::new();
    stream.take(longest).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_foregate_says_is_readiness() {
        let ready =
            "HTTP/1.1 200 OK\r\n\r\n{\"ready\": true, \"checks\": [{\"name\": \"store\", \"ok\": true}]}";
        assert!(Outcome::of(judge(ready)).ok);
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\n\r\n{\"checks\": []}",
            "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\": false, \"checks\": []}",
        ] {
            let outcome = Outcome::of(judge(answer));
            assert!(!outcome.ok && outcome.checks[0].fix.contains("another program"), "{answer}");
        }
    }
}
