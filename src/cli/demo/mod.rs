//! `foregate demo`: everything on this machine, nothing to install and nothing to write.

mod application;
mod stage;

use std::net::SocketAddr;

use anyhow::{Context, bail};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::output::{complain, say};
use super::run::{Signals, world};
use crate::app::App;
use crate::base::clock::Clock;
use crate::base::random::Random;
use crate::config::{self, Environment};
use crate::telemetry::Logs;
use application::{Application, Front};
use stage::Stage;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where to listen for https; a loopback address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
}

pub(super) fn demo(args: &DemoArgs) -> Exit {
    match tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(perform(args)))
    {
        Ok(()) => Exit::Done,
        Err(error) => complain(format_args!("{error:#}")),
    }
}

async fn perform(args: &DemoArgs) -> anyhow::Result<()> {
    if !args.listen.ip().is_loopback() {
        bail!("--listen {}: the demo is for this machine only (127.0.0.1:PORT or [::1]:PORT)", args.listen);
    }
    let signals = Signals::new()?;
    let folder = tempfile::Builder::new().prefix("foregate-demo-").tempdir();
    let folder = folder.context("cannot make a temporary folder")?;
    let application = Application::bind().context("cannot start the demo's application")?;
    let here = std::env::current_dir().context("cannot tell which folder this is")?;
    let stage = Stage::set(args.listen, &here, Clock::system().now(), Random::system())?;
    let path = stage.write(folder.path(), application.address()?)?;
    let config = config::load(&path, &Environment::from_pairs::<String, String>([]))?.config;
    let front = Front { prefix: config.server.prefix.clone(), cookie: config.session.cookie.name.clone() };
    let logs = Logs::open(&config.log)?;
    logs.install(config.log.level);
    let app = App::build(&config, &world(logs.clone()))?;
    say(stage.script(&app, folder.path(), &front)?);
    let end = CancellationToken::new();
    let performance = async {
        signals.run(app).await;
        end.cancel();
    };
    tokio::join!(performance, application.run(front, end.clone()));
    logs.flush();
    Ok(())
}
