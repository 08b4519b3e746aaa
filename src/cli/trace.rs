//! `foregate explain --trace` and `--request`: what the running proxy tells of requests that it answered.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::Exit;
use super::explain::text;
use super::output::{complain, print, say, warn};
use super::socket::{Socket, SocketError, Told};
use crate::config::{AdminSocket, Config};
use crate::gateway::Traced;
use crate::telemetry::{plain, pretty};

/// What the proxy says of a client that it traces.
#[derive(Deserialize)]
struct Tracing {
    client: String,
    until: String,
}

/// Has the requests of `client` traced.
pub(super) fn begin(client: &str, minutes: u64, config: &Config) -> Exit {
    let network = client.parse::<IpAddr>().map(IpNet::from).ok().or_else(|| client.parse().ok());
    let Some(network) = network else {
        return complain(format_args!(
            "{client:?} is no address and no network (write one such as 192.0.2.7 or 2001:db8::/32)"
        ));
    };
    if !(1..=60).contains(&minutes) {
        return complain("a client is traced for 1 to 60 minutes (change --minutes)");
    }
    let Some(socket) = socket(config) else { return no_socket() };
    let path = format!("/traces?client={network}&minutes={minutes}");
    let told: Result<Option<Tracing>, SocketError> =
        socket.ask("POST", &path).and_then(|told| read(&socket, told));
    match told {
        Ok(Some(Tracing { client, until })) => print(
            format!(
                "requests of {client} are traced until {until}\n\
                 each answer has its name in X-Request-Id: foregate explain --request ID\n"
            )
            .as_bytes(),
        ),
        Ok(None) => complain("as many clients are traced as may be: wait until one of them is done"),
        Err(error) => away(error),
    }
}

/// Tells of one of them.
pub(super) fn show(id: &str, json: bool, config: &Config) -> Exit {
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return complain(format_args!("{id:?} is no X-Request-Id (it has 32 hexadecimal digits)"));
    }
    let Some(socket) = socket(config) else { return no_socket() };
    let path = format!("/traces/{}", id.to_ascii_lowercase());
    let told: Result<Option<Traced>, SocketError> =
        socket.ask("GET", &path).and_then(|told| read(&socket, told));
    match told {
        Ok(Some(traced)) if json => say(pretty(&traced)),
        Ok(Some(traced)) => print(lines(&traced).as_bytes()),
        Ok(None) => {
            warn(
                "there is no trace of it (its client has to be traced before it sends the request: foregate explain \
                 --trace CLIENT; the latest hundred are kept)",
            );
            Exit::DoesNotHold
        }
        Err(error) => away(error),
    }
}

fn lines(traced: &Traced) -> String {
    let Traced { time, client, milliseconds, told, .. } = traced;
    let whence = plain(&format!("{time}, {client}, answered after {milliseconds} ms"));
    format!("{:8}  {whence}\n{}", "traced", text(told))
}

fn read<T: serde::de::DeserializeOwned>(socket: &Socket, told: Told) -> Result<Option<T>, SocketError> {
    match told {
        Told::Json(json) => socket.read(json).map(Some),
        Told::NotThere | Told::StoreAway => Ok(None),
    }
}

fn socket(config: &Config) -> Option<Socket> {
    match &config.server.admin_socket {
        AdminSocket::At(path) | AdminSocket::Chosen(path) => Some(Socket::at(path.clone())),
        AdminSocket::Off => None,
    }
}

fn no_socket() -> Exit {
    complain("server.admin_socket is off, and only the running proxy knows (set it)")
}

fn away(error: SocketError) -> Exit {
    warn(error);
    Exit::Unreachable
}
