//! `foregate run`

use std::io;
use std::net::SocketAddr;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use super::output::{complain, warn};
use super::{ConfigFlag, ConfigSource, Exit, NO_CONFIGURATION, systemd};
use crate::app::{App, Control, World};
use crate::base::clock::Clock;
use crate::base::random::Random;
use crate::config::{Config, Environment, Loaded};
use crate::listener::PassedSockets;
use crate::telemetry::Logs;

pub(super) fn run(flag: &ConfigFlag, environment: &Environment) -> Exit {
    let Some(source) = flag.source(environment) else { return complain(NO_CONFIGURATION) };
    let loaded = match source.read() {
        Ok(loaded) => loaded,
        Err(faults) => return complain(faults),
    };
    loaded.warnings.iter().for_each(warn);
    let logs = match Logs::open(&loaded.config.log) {
        Ok(logs) => logs,
        Err(error) => return complain(format_args!("cannot open the file of log.audit: {error}")),
    };
    logs.install(loaded.config.log.level);
    let passed = match PassedSockets::of_process(environment.get("LISTEN_FDNAMES")) {
        Ok(passed) => passed,
        Err(error) => return complain(error),
    };
    let served = serve(&loaded, &World { passed, ..world(logs.clone()) }, source);
    logs.flush();
    match served {
        Ok(()) => Exit::Done,
        Err(error) => complain(format_args!("{error:#}")),
    }
}

fn serve(loaded: &Loaded, world: &World, source: ConfigSource) -> anyhow::Result<()> {
    runtime(&loaded.config)?.block_on(async {
        let (signals, hangup) = (Signals::new()?, signal(SignalKind::hangup())?);
        let app = App::build(&loaded.config, world)?;
        for address in app.https_addresses() {
            tracing::info!(%address, "serving https");
        }
        for address in app.http_addresses() {
            tracing::info!(%address, "redirecting http to https");
        }
        let whereabouts = whereabouts(&app);
        systemd::ready(&whereabouts);
        let _heart = systemd::heart();
        let control = app.control();
        let reloading = AbortOnDropHandle::new(tokio::spawn(reload(hangup, control, source, whereabouts)));
        signals.run(app).await;
        drop(reloading);
        Ok(())
    })
}

/// Reads the configuration again at each SIGHUP.
async fn reload(mut hangup: Signal, control: Control, source: ConfigSource, whereabouts: String) {
    while hangup.recv().await.is_some() {
        systemd::reloading();
        let source = source.clone();
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let Ok(read) = read else { continue };
        match control.reload(read).await {
            Ok(()) => systemd::ready(&whereabouts),
            Err(error) => systemd::ready(format_args!(
                "{whereabouts}; the latest reload was refused: {}",
                error.to_string().replace('\n', "; ")
            )),
        }
    }
}

/// Where the program is met, in a sentence.
fn whereabouts(app: &App) -> String {
    let list =
        |addresses: Vec<SocketAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (https, http) = (list(app.https_addresses()), list(app.http_addresses()));
    match (https.as_str(), http.as_str()) {
        (_, "") => format!("serving https on {https}"),
        ("", _) => format!("redirecting http to https on {http}"),
        _ => format!("serving https on {https}; redirecting http on {http}"),
    }
}

/// The real world, with these logs.
pub(super) fn world(logs: Logs) -> World {
    World { clock: Clock::system(), random: Random::system(), logs, passed: PassedSockets::default() }
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
        let control = app.control();
        let told = async {
            self.next().await;
            tracing::info!("stopping: finishing what is under way");
            systemd::stopping("finishing what is under way");
            control.stop();
            self.next().await;
            control.hurry();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = Box::pin(app.run()) => {}
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
