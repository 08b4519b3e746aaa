//! Tunnels: what a connection is once both ends have agreed that it is a WebSocket.

use std::io;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Lease;
use super::progress::Progress;
use super::pump::Pump;
use super::riding::Rider;
use crate::session::Ride;

/// How long the client may take to receive the head of the 101.
const OPENING: Duration = Duration::from_secs(10);

/// How long a tunnel that is to close may take to do it in good form.
const CLOSING: Duration = Duration::from_secs(1);

/// Owns all tunnels.
#[derive(Clone, Debug)]
pub struct Tunnels {
    tasks: TaskTracker,
    open: TaskTracker,
    stop: CancellationToken,
}

/// The two ends of a tunnel to be.
pub(super) struct Ends {
    pub(super) client: OnUpgrade,
    pub(super) server: OnUpgrade,
    /// How long both may be silent.
    pub(super) silence: Duration,
}

/// Why a tunnel is closed that neither end has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The process ends.
    Stop,
    /// Both ends are silent.
    Idle,
    /// The session that it rides on is over.
    SessionOver,
}

impl Reason {
    /// The status code of the close frame (RFC 6455 §7.4.1): an end that goes away, or a word of our own.
    const fn code(self) -> u16 {
        match self {
            Self::Stop | Self::Idle => 1001,
            Self::SessionOver => 4401,
        }
    }
}

impl Tunnels {
    /// `tasks` waits for them.
    pub fn new(tasks: TaskTracker) -> Self {
        Self { tasks, open: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Closes all of them, and waits until they are.
    pub async fn close(&self) {
        self.stop.cancel();
        self.open.close();
        self.open.wait().await;
    }

    /// Opens a tunnel as soon as both ends have let go of HTTP; until then no byte passes.
    pub(super) fn open(&self, ends: Ends, lease: Lease, rider: Option<Rider>) {
        let (stop, open) = (self.stop.clone(), self.open.token());
        self.tasks.spawn(async move {
            let opened = tokio::time::timeout(OPENING, async { tokio::try_join!(ends.client, ends.server) });
            match stop.run_until_cancelled(opened).await {
                Some(Ok(Ok((client, server)))) => {
                    Tunnel::between(client, server, rider, ends.silence).run(&stop).await;
                }
                Some(Ok(Err(error))) => tracing::debug!(%error, "a tunnel did not open"),
                Some(Err(_)) | None => tracing::debug!("a tunnel did not open in time"),
            }
            drop((lease, open));
        });
    }
}

type End = TokioIo<Upgraded>;
type Direction = Pump<ReadHalf<End>, WriteHalf<End>>;

struct Tunnel {
    upward: Direction,
    downward: Direction,
    progress: Progress,
    silence: Duration,
    ride: Option<Ride>,
}

impl Tunnel {
    fn between(client: Upgraded, server: Upgraded, rider: Option<Rider>, silence: Duration) -> Self {
        let progress = Progress::start();
        let (ride, uses) = rider.map(|rider| (Some(rider.ride), rider.uses)).unwrap_or_default();
        let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
        let (from_server, to_server) = tokio::io::split(TokioIo::new(server));
        Self {
            upward: Pump::new(from_client, to_server, progress.clone()).noting(uses),
            downward: Pump::new(from_server, to_client, progress.clone()),
            progress,
            silence,
            ride,
        }
    }

    async fn run(mut self, stop: &CancellationToken) {
        let over = self.ride.as_ref().map(Ride::over).unwrap_or_default();
        let copied = over.run_until_cancelled(stop.run_until_cancelled(self.copy())).await;
        let reason = match copied {
            Some(Some(Ok(Ended::ByItself))) => return,
            Some(Some(Ok(Ended::Idle))) => Reason::Idle,
            Some(Some(Err(error))) => return tracing::debug!(%error, "a tunnel broke off"),
            Some(None) => Reason::Stop,
            None => Reason::SessionOver,
        };
        tracing::debug!(?reason, "a tunnel is closed");
        // Not in good form where an end does not take part; it closes all the same.
        let _ = tokio::time::timeout(CLOSING, self.close(reason)).await;
    }

    async fn copy(&mut self) -> io::Result<Ended> {
        let both = async { tokio::try_join!(self.upward.run(), self.downward.run()) };
        match self.progress.wait(self.silence, both).await {
            Ok(ended) => ended.map(|_| Ended::ByItself),
            Err(_) => Ok(Ended::Idle),
        }
    }

    async fn close(&mut self, reason: Reason) -> io::Result<()> {
        let [high, low] = reason.code().to_be_bytes();
        // A mask hides content that somebody else chose from what stands between; this one is ours. So it is
        // all zeros.
        let (masked, plain) = ([0x88, 0x82, 0, 0, 0, 0, high, low], [0x88, 0x02, high, low]);
        tokio::try_join!(self.upward.close(&masked), self.downward.close(&plain))?;
        // Closing on bytes that lie unread would reset the connection, and the close frame would be lost.
        tokio::try_join!(self.upward.drain(), self.downward.drain())?;
        Ok(())
    }
}

enum Ended {
    ByItself,
    Idle,
}
