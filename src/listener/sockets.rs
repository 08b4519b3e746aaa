//! Listening sockets: bound while the program is put together, served later.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that the kernel keeps for us before it turns newcomers away.
const BACKLOG: i32 = 1024;

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", way_out(source))]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another program listens there: stop it, or choose another port)",
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one and redirect to it)"
        }
        io::ErrorKind::AddrNotAvailable => " (this machine does not have that address)",
        _ => "",
    }
}

/// Whether another process may listen at the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// Its being there is a mistake.
    Refused,
    /// It is this program as well, with the same sessions: connections go to one of the two (`SO_REUSEPORT`), and one
    /// can take the place of the other without a connection refused.
    Welcome,
}

/// A listening socket. `[::]` takes IPv4 as well, and is `0.0.0.0` where the machine has no IPv6.
///
/// # Errors
/// Where the operating system refuses; the error says what to do.
pub fn bind(address: SocketAddr, neighbours: Neighbours) -> Result<TcpListener, BindError> {
    listen(address, neighbours)
        .or_else(|error| match (address, error.raw_os_error()) {
            (SocketAddr::V6(v6), Some(EAFNOSUPPORT)) if v6.ip().is_unspecified() => {
                listen((Ipv4Addr::UNSPECIFIED, v6.port()).into(), neighbours)
            }
            _ => Err(error),
        })
        .map_err(|source| BindError { address, source })
}

/// "Address family not supported by protocol" on Linux.
const EAFNOSUPPORT: i32 = 97;

fn listen(address: SocketAddr, neighbours: Neighbours) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(neighbours == Neighbours::Welcome)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
