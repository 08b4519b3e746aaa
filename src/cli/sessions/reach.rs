//! Where sessions are reached: in Redis directly, in what one process keeps for itself through that process.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::super::run::world;
use super::super::socket::SocketError;
use super::progress::Progress;
use super::proxy::Proxy;
use crate::app::{self, StartError};
use crate::base::handle::Handle;
use crate::base::identity::Account;
use crate::config::{AdminSocket, Config, StoreUrl};
use crate::session::{Directory, Report, Session};
use crate::store::Unavailable;
use crate::telemetry::{Facts, Format, Lines, Logs};

/// Operators have more of it than browsers, and a look at everything is not to fail for one slow moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why sessions end here.
const REASON: &str = "admin";

/// Somebody who can tell of sessions.
#[derive(Debug)]
pub(super) enum Reach {
    /// A store that several processes share.
    Store(Box<Direct>),
    /// The process that has the store for itself.
    Proxy(Proxy),
}

/// A store that is asked directly.
#[derive(Debug)]
pub(super) struct Direct {
    runtime: Runtime,
    directory: Directory,
}

/// Nobody could be asked, or nobody answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    /// The configuration leaves no way.
    #[error(
        "server.admin_socket is off, and only the running proxy can tell of sessions in a file or in memory (set it)"
    )]
    SocketOff,
    /// The store cannot be used as it is configured.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The operating system gives no thread.
    #[error("cannot start: {0}")]
    Process(#[from] io::Error),
    /// The store does not answer.
    #[error("the store does not answer: {}", reason(.0))]
    Store(#[from] Unavailable),
    /// The proxy does not.
    #[error(
        "nobody answers at {}: {source} (sessions in a file or in memory are reached through the running proxy: \
         is it running, with this configuration? Under systemd, set RUNTIME_DIRECTORY=/run/foregate)",
        .socket.display()
    )]
    NoProxy {
        /// Where it was looked for.
        socket: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The proxy answers that its store does not.
    #[error(
        "the proxy's store does not answer: what was to end may be alive (foregate healthcheck says why)"
    )]
    ProxysStore,
    /// Somebody else answers.
    #[error(transparent)]
    Stranger(SocketError),
}

impl From<SocketError> for ReachError {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::NoProxy { socket, source } => Self::NoProxy { socket, source },
            stranger @ SocketError::Stranger { .. } => Self::Stranger(stranger),
        }
    }
}

impl ReachError {
    /// Whether the configuration has to change, and asking again would be of no use.
    pub(super) fn is_configuration(&self) -> bool {
        matches!(self, Self::SocketOff | Self::Start(_) | Self::Process(_))
    }
}

fn reason(error: &Unavailable) -> String {
    match &error.source {
        Some(source) => format!("{}: {source}", error.kind),
        None => error.kind.to_string(),
    }
}

impl Reach {
    /// Whoever can tell of the sessions of `config`; nobody is asked yet.
    pub(super) fn open(config: Config) -> Result<Self, ReachError> {
        if matches!(config.session.store.url, StoreUrl::Redis(_)) {
            return Ok(Self::Store(Box::new(Direct::open(config)?)));
        }
        match config.server.admin_socket {
            AdminSocket::At(path) | AdminSocket::Chosen(path) => Ok(Self::Proxy(Proxy::at(path))),
            AdminSocket::Off => Err(ReachError::SocketOff),
        }
    }

    pub(super) fn list(&self, user: Option<&str>, limit: usize) -> Result<Vec<Report>, ReachError> {
        match self {
            Self::Store(store) => store.list(user, limit),
            Self::Proxy(proxy) => proxy.list(user, limit),
        }
    }

    pub(super) fn find(&self, handle: &Handle) -> Result<Option<Report>, ReachError> {
        match self {
            Self::Store(store) => store.find(handle),
            Self::Proxy(proxy) => proxy.find(handle),
        }
    }

    pub(super) fn count(&self, progress: &mut Progress) -> Result<usize, ReachError> {
        match self {
            Self::Store(store) => store.count(progress),
            Self::Proxy(proxy) => proxy.count(),
        }
    }

    /// Whether there was such a session.
    pub(super) fn end(&self, handle: &Handle) -> Result<bool, ReachError> {
        match self {
            Self::Store(store) => store.end(handle),
            Self::Proxy(proxy) => proxy.end(handle),
        }
    }

    pub(super) fn end_user(&self, user: &str) -> Result<usize, ReachError> {
        match self {
            Self::Store(store) => store.end_user(user),
            Self::Proxy(proxy) => proxy.end_user(user),
        }
    }

    pub(super) fn end_all(&self, progress: &mut Progress) -> Result<usize, ReachError> {
        match self {
            Self::Store(store) => store.end_all(progress),
            Self::Proxy(proxy) => proxy.end_all(),
        }
    }
}

impl Direct {
    fn open(mut config: Config) -> Result<Self, ReachError> {
        let command_timeout = &mut config.session.store.command_timeout;
        *command_timeout = (*command_timeout).max(PATIENCE);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // What a proxy would log: the command says what it did by itself.
        let nowhere = Lines::nowhere()?;
        let logs = Logs { main: nowhere.clone(), audit: nowhere, format: Format::Json };
        // Connections belong to the runtime that they are made in.
        let directory = runtime.block_on(async { app::directory(&config, &world(logs)) })?;
        Ok(Self { runtime, directory })
    }

    fn list(&self, user: Option<&str>, limit: usize) -> Result<Vec<Report>, ReachError> {
        let account = user.map(Account::local);
        let listed = self.runtime.block_on(self.directory.list(account.as_ref(), limit))?;
        Ok(listed.iter().map(report).collect())
    }

    fn find(&self, handle: &Handle) -> Result<Option<Report>, ReachError> {
        Ok(self.runtime.block_on(self.directory.find(handle))?.as_ref().map(report))
    }

    fn count(&self, progress: &mut Progress) -> Result<usize, ReachError> {
        Ok(self.runtime.block_on(self.directory.count(|number| progress.reaches(number)))?)
    }

    fn end(&self, handle: &Handle) -> Result<bool, ReachError> {
        Ok(self.runtime.block_on(self.directory.end_by_handle(handle, REASON, Facts::default()))?)
    }

    fn end_user(&self, user: &str) -> Result<usize, ReachError> {
        let account = Account::local(user);
        Ok(self.runtime.block_on(self.directory.end_account(&account, REASON, Facts::default()))?)
    }

    fn end_all(&self, progress: &mut Progress) -> Result<usize, ReachError> {
        let ending = self.directory.end_all(REASON, Facts::default(), |number| progress.reaches(number));
        Ok(self.runtime.block_on(ending)?)
    }
}

fn report(session: &Arc<Session>) -> Report {
    Report::from(&**session)
}
