//! `foregate healthcheck`: asks the running proxy whether it can do its work.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::output::{complain, say, warn};
use super::{ConfigFlag, Exit};
use crate::config::{AdminSocket, Environment, Server};

/// An orchestrator asks every few seconds and wants an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest answer that is read.
const LONGEST: u64 = 64 * 1024;

const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

pub(super) fn healthcheck(flag: &ConfigFlag, environment: &Environment) -> Exit {
    let server = match flag.load(environment) {
        Ok(loaded) => loaded.config.server,
        Err(exit) => return exit,
    };
    match ask(&server) {
        None => complain("server.admin and server.admin_socket are both off: there is nobody to ask"),
        Some(Ok(answer)) if answer.starts_with("HTTP/1.1 200") => say("ready"),
        Some(Ok(answer)) => {
            warn(answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, body)| body).trim_end());
            Exit::DoesNotHold
        }
        Some(Err(error)) => {
            warn(format_args!(
                "the proxy cannot be asked: {error} (is it running, with this configuration?)"
            ));
            Exit::Unreachable
        }
    }
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

fn converse(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(REQUEST)?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    Ok(answer)
}
