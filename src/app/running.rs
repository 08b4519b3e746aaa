//! The program while it serves: takes another configuration, renews certificates, comes to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::StartError;
use super::control::Orders;
use super::lasting::Lasting;
use super::listeners::{Bound, Served, Sockets, Way, public_port, terms, ways};
use super::reload::{CertificateWatch, ReloadError, fixed};
use super::site::{Site, Working};
use crate::admin::{AdminParts, CurrentAdmin};
use crate::config::{Config, Faults, Loaded};
use crate::gateway::{CurrentGateway, Purpose};
use crate::listener::{Ending, Shared, Terms};
use crate::telemetry::{Event, Facts, ReloadResult};

/// How often the certificates' files are looked at; a change takes effect within ten seconds.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(3);

/// The program while it serves.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) lasting: Lasting,
    pub(super) config: Config,
    pub(super) ways: Vec<Served>,
    pub(super) shared: Shared,
    pub(super) site: Working,
    pub(super) current: Arc<CurrentGateway>,
    pub(super) admin: Arc<CurrentAdmin>,
    pub(super) certificates: CertificateWatch,
    pub(super) ending: Ending,
    /// Cancelled when nothing is served any more.
    pub(super) quiet: CancellationToken,
    pub(super) background: TaskTracker,
}

/// Where a way of the new configuration comes from.
enum Source {
    /// It is served already, at this place of the list.
    Kept(usize),
    /// It has just been bound.
    New(Bound),
}

/// All that another configuration needs, read and put together.
struct Prepared {
    terms: Terms,
    certificates: CertificateWatch,
    site: Site,
    config: Config,
}

impl Source {
    fn https(&self, served: &[Served]) -> Option<SocketAddr> {
        let (way, address) = match self {
            Self::Kept(at) => (&served[*at].way, served[*at].address),
            Self::New(bound) => (&bound.way, bound.address),
        };
        (way.purpose == Purpose::Tls).then_some(address)
    }
}

impl Running {
    /// Does what it is told, until it is told to stop.
    pub(super) async fn obey(&mut self, orders: &mut Orders) {
        let mut look = interval(CERTIFICATES_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = orders.stop.cancelled() => return,
                Some(reload) = orders.reloads.recv() => {
                    let outcome = Box::pin(self.reload(reload.read)).await;
                    // Who asked may have gone away.
                    let _ = reload.done.send(outcome);
                }
                _ = look.tick() => self.certificates.renew(&self.shared).await,
            }
        }
    }

    /// Goes on with what was read, or as before.
    async fn reload(&mut self, read: Result<Loaded, Faults>) -> Result<(), ReloadError> {
        self.lasting.world.logs.reopen();
        let outcome = match read {
            Ok(loaded) => self.take(loaded).await,
            Err(faults) => Err(ReloadError::Configuration(faults)),
        };
        let (result, reason) = match &outcome {
            Ok(()) => (ReloadResult::Applied, None),
            Err(error) => (ReloadResult::Refused, Some(error.to_string())),
        };
        self.lasting.metrics.reload(result);
        let word = Facts { reason: reason.as_ref().map(|_| "refused"), ..Facts::default() };
        self.lasting.audit.record(Event::Reloaded, &word);
        match reason {
            None => tracing::info!("the configuration was read again and is in force"),
            Some(reason) => {
                for line in reason.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the configuration was read again and is refused: the one before goes on");
                self.admin.rcu(|parts| AdminParts {
                    reload_refused: Some(format!("the latest reload was refused: {reason}")),
                    ..(**parts).clone()
                });
            }
        }
        outcome
    }

    /// Puts everything together that the new configuration asks for, and then all of it in the place of the old.
    async fn take(&mut self, loaded: Loaded) -> Result<(), ReloadError> {
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let config = loaded.config;
        let fixed = fixed(&self.config, &config);
        if !fixed.is_empty() {
            return Err(ReloadError::NeedsRestart(fixed));
        }
        let sources = self.sources(&config)?;
        let https = sources.iter().find_map(|source| source.https(&self.ways));
        let port = public_port(&config.server, https);
        let Prepared { terms, certificates, site, config } = self.prepare(config, port).await?;

        self.certificates = certificates;
        self.certificates.tell(&self.lasting.metrics);
        self.shared.terms.store(Arc::new(terms));
        self.current.store(Arc::clone(&site.gateway));
        let stopping = self.admin.load().stopping.clone();
        self.admin.store(Arc::new(site.admin_parts(&self.lasting, stopping)));
        let site = site.start(&self.background, &self.quiet, &self.lasting.audit);
        let before = std::mem::replace(&mut self.site, site);
        before.retire(&self.site.upstreams);
        self.switch(sources);
        self.config = config;
        Ok(())
    }

    /// What takes reading files, off the threads that serve.
    async fn prepare(&self, config: Config, port: u16) -> Result<Prepared, ReloadError> {
        let (lasting, upstreams) = (self.lasting.clone(), Arc::clone(&self.site.upstreams));
        let threads = self.shared.terms.load().tls.as_ref().map(|handshakes| Arc::clone(&handshakes.threads));
        let work = move || {
            let (terms, certificates) = terms(&config, &lasting.world, threads)?;
            let site = Site::build(&config, port, &lasting, Some(&upstreams))?;
            Ok::<_, StartError>(Prepared { terms, certificates, site, config })
        };
        let prepared = tokio::task::spawn_blocking(work).await;
        Ok(prepared.map_err(ReloadError::Failed)??)
    }

    /// Where each way of the new configuration comes from; what is new is bound before anything old is closed.
    fn sources(&self, config: &Config) -> Result<Vec<Source>, ReloadError> {
        let sockets = Sockets::new(config, &self.lasting.world);
        let mut free: Vec<usize> = (0..self.ways.len()).collect();
        let source = |way: Way| {
            let kept = free.iter().position(|&at| self.ways[at].way == way);
            match kept {
                Some(place) => Ok(Source::Kept(free.swap_remove(place))),
                None => sockets.bind(way, &self.shared).map(Source::New),
            }
        };
        let ways = ways(&config.server, &sockets.passed).map_err(StartError::from)?;
        Ok(ways.into_iter().map(source).collect::<Result<_, StartError>>()?)
    }

    /// Serves what is new and closes what is left over.
    fn switch(&mut self, sources: Vec<Source>) {
        let mut old: Vec<Option<Served>> = self.ways.drain(..).map(Some).collect();
        let served = sources.into_iter().filter_map(|source| match source {
            Source::Kept(at) => old[at].take(),
            Source::New(bound) => Some(bound.serve(&self.current, &self.shared, &self.ending)),
        });
        self.ways = served.collect();
        old.into_iter().flatten().for_each(Served::close);
    }

    /// Accepts a while longer, so that load balancers notice; finishes what is under way; ends.
    pub(super) async fn finish(self, orders: &Orders) {
        let delay = tokio::time::sleep(self.config.server.shutdown_delay);
        orders.hurry.run_until_cancelled(delay).await;
        self.ending.finish.cancel();
        let tasks = &self.shared.tasks;
        tasks.close();
        let waiting = orders.hurry.run_until_cancelled(tasks.wait());
        let finished = tokio::time::timeout(self.config.server.shutdown_grace, waiting).await;
        if !matches!(finished, Ok(Some(()))) {
            tracing::warn!(connections = tasks.len(), "closing what is still under way");
            // Before the connections, since over HTTP/2 they say good-bye on those.
            self.lasting.tunnels.close().await;
            self.ending.abort.cancel();
            tasks.wait().await;
        }
        self.quiet.cancel();
        self.background.close();
        self.background.wait().await;
        self.lasting.drivers.close().await;
    }
}
