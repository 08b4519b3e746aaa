//! `foregate run`

use std::io;
use std::net::SocketAddr;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::{complain, warn};
use super::{ConfigFlag, Exit, systemd};
use crate::app::{App, World};
use crate::base::clock::Clock;
use crate::base::random::Random;
use crate::config::{Config, Environment};
use crate::telemetry::Logs;

pub(super) fn run(flag: &ConfigFlag, environment: &Environment) -> Exit {
    let loaded = match flag.load(environment) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    loaded.warnings.iter().for_each(warn);
    let logs = match Logs::open(&loaded.config.log) {
        Ok(logs) => logs,
        Err(error) => return complain(format_args!("cannot open the file of log.audit: {error}")),
    };
    logs.install(loaded.config.log.level);
    let served = serve(&loaded.config, &world(logs.clone()));
    logs.flush();
    match served {
        Ok(()) => Exit::Done,
        Err(error) => complain(format_args!("{error:#}")),
    }
}

fn serve(config: &Config, world: &World) -> anyhow::Result<()> {
    runtime(config)?.block_on(async {
        let signals = Signals::new()?;
        let app = App::build(config, world)?;
        for address in app.https_addresses()? {
            tracing::info!(%address, "serving https");
        }
        for address in app.http_addresses()? {
            tracing::info!(%address, "redirecting http to https");
        }
        systemd::ready(whereabouts(&app)?);
        let _heart = systemd::heart();
        signals.run(app).await;
        Ok(())
    })
}

/// Where the program is met, in a sentence.
fn whereabouts(app: &App) -> io::Result<String> {
    let list =
        |addresses: Vec<SocketAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (https, http) = (list(app.https_addresses()?), list(app.http_addresses()?));
    Ok(match (https.as_str(), http.as_str()) {
        (_, "") => format!("serving https on {https}"),
        ("", _) => format!("redirecting http to https on {http}"),
        _ => format!("serving https on {https}; redirecting http on {http}"),
    })
}

/// The real world, with these logs.
pub(super) fn world(logs: Logs) -> World {
    World { clock: Clock::system(), random: Random::system(), logs }
}

/// The threads that serve.
fn runtime(config: &Config) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = config.server.worker_threads {
        builder.worker_threads(threads.get());
    }
    Ok(builder.enable_all().build()?)
}

/// The signals that ask for an end.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they do not kill the process.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Runs the program until a signal asks for its end; a second one ends it at once.
    pub(super) async fn run(mut self, app: App) {
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        let told = async {
            self.next().await;
            tracing::info!("stopping: finishing what is under way");
            systemd::stopping("finishing what is under way");
            stop.cancel();
            self.next().await;
            hurry.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = app.run(stop.clone(), hurry.clone()) => {}
            () = told => {}
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
