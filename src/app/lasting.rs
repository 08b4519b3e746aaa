//! What lasts as long as the process, whatever becomes of its configuration.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{StartError, World};
use crate::config::Config;
use crate::session::{SessionMemory, Surroundings};
use crate::store::{self, Breaker, Observed, Store};
use crate::telemetry::{Audit, Findings, Metrics, Traces};
use crate::upstream::{Drivers, Tunnels};

/// What lasts as long as the process.
#[derive(Clone, Debug)]
pub(super) struct Lasting {
    pub(super) world: World,
    pub(super) metrics: Arc<Metrics>,
    pub(super) audit: Audit,
    pub(super) findings: Findings,
    pub(super) traces: Traces,
    pub(super) store: Arc<dyn Store>,
    pub(super) memory: SessionMemory,
    pub(super) tasks: TaskTracker,
    pub(super) drivers: Drivers,
    pub(super) tunnels: Tunnels,
}

impl Lasting {
    /// As configured at the start; `tasks` is what the end of the process waits for.
    pub(super) fn open(config: &Config, world: &World, tasks: &TaskTracker) -> Result<Self, StartError> {
        let memory = SessionMemory::new(&config.session.cache, world.clock.clone());
        let store = store::open(&config.session.store, world.clock.clone(), world.random, memory.changes())?;
        Ok(Self::over(store, memory, world, tasks))
    }

    /// For who only looks.
    pub(super) fn reading(config: &Config, world: &World) -> Result<Self, StartError> {
        let memory = SessionMemory::new(&config.session.cache, world.clock.clone());
        let store = store::reading(&config.session.store, world.clock.clone(), world.random)?;
        Ok(Self::over(store, memory, world, &TaskTracker::new()))
    }

    fn over(store: Arc<dyn Store>, memory: SessionMemory, world: &World, tasks: &TaskTracker) -> Self {
        let metrics = Arc::new(Metrics::new());
        let audit = Audit::new(world.logs.audit.clone(), world.clock.clone());
        let store = Arc::new(Observed::new(store, Arc::clone(&metrics), audit.clone()));
        let store: Arc<dyn Store> = Arc::new(Breaker::new(store, world.random));
        let findings = Findings::new(Arc::clone(&metrics), world.clock.clone());
        let traces = Traces::new(world.clock.clone());
        let (world, tasks, drivers) = (world.clone(), tasks.clone(), Drivers::default());
        let tunnels = Tunnels::new(tasks.clone());
        Self { world, metrics, audit, findings, traces, store, memory, tasks, drivers, tunnels }
    }

    /// What sessions need of it.
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings {
            store: Arc::clone(&self.store),
            memory: self.memory.clone(),
            tasks: self.tasks.clone(),
            clock: self.world.clock.clone(),
            random: self.world.random,
            audit: self.audit.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }
}
