//! Sockets that the process that started this one has bound and passed on (`sd_listen_fds(3)`).

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// What was passed, by its names. They stay open, so that a restart by systemd refuses nobody.
#[derive(Clone, Debug, Default)]
pub struct PassedSockets(Arc<[Passed]>);

#[derive(Debug)]
struct Passed {
    name: String,
    socket: StdListener,
}

/// A socket that was passed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    /// It is none that connections come in by.
    #[error(
        "socket {number} that was passed to the process is no listening TCP socket: {source} (ListenStream=IP:PORT in the .socket unit)"
    )]
    NoListener {
        /// Its place among those that were passed.
        number: usize,
        /// Why not.
        source: io::Error,
    },
    /// There is none of the name.
    #[error("no socket named {name:?} was passed to the process (FileDescriptorName={name} in the .socket unit; {})", known(.others))]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        others: Vec<String>,
    },
    /// It cannot be duplicated.
    #[error("the socket named {name:?} that was passed to the process cannot be used: {source}")]
    Broken {
        /// The name.
        name: String,
        /// Why not.
        source: io::Error,
    },
}

fn known(names: &[String]) -> String {
    if names.is_empty() { "none was".to_owned() } else { format!("passed were {}", names.join(", ")) }
}

impl PassedSockets {
    /// Those of this process; `names` is `$LISTEN_FDNAMES`.
    ///
    /// # Errors
    /// Where one of them is no listening TCP socket.
    pub fn of_process(names: Option<&str>) -> Result<Self, PassedError> {
        let mut sockets = ListenFd::from_env();
        let mut names = names.unwrap_or_default().split(':');
        let mut passed = Vec::new();
        for number in 0..sockets.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let socket = sockets
                .take_tcp_listener(number)
                .map_err(|source| PassedError::NoListener { number: number + 1, source })?;
            passed.extend(socket.map(|socket| Passed { name, socket }));
        }
        Ok(Self(passed.into()))
    }

    /// How many have this name.
    ///
    /// # Errors
    /// Where none has.
    pub fn count(&self, name: &str) -> Result<usize, PassedError> {
        let count = self.0.iter().filter(|passed| passed.name == name).count();
        if count > 0 {
            return Ok(count);
        }
        let others = self.0.iter().map(|passed| passed.name.clone()).collect();
        Err(PassedError::Unknown { name: name.to_owned(), others })
    }

    /// One of those with this name, from 0.
    ///
    /// # Errors
    /// Where there is none, or the operating system refuses.
    pub fn listen(&self, name: &str, nth: usize) -> Result<TcpListener, PassedError> {
        let found = self.0.iter().filter(|passed| passed.name == name).nth(nth);
        let Some(Passed { socket, .. }) = found else {
            return Err(PassedError::Unknown { name: name.to_owned(), others: Vec::new() });
        };
        let listen = || {
            let socket = socket.try_clone()?;
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket)
        };
        listen().map_err(|source| PassedError::Broken { name: name.to_owned(), source })
    }
}
