//! The servers of one upstream.

use std::sync::Arc;

use super::balance::{Balancer, Sender};
use super::bonds::Bonds;
use super::connect::{Server, Tls};
use super::health::{Health, Names};
use super::pool::Pool;
use crate::config::{self, ServerScheme};
use crate::outgoing::TlsError;
use crate::telemetry::Metrics;

/// The servers of one upstream.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) pools: Vec<Arc<Pool>>,
    balancer: Balancer,
}

/// Whether the files that TLS with an upstream's servers needs can be used.
///
/// # Errors
/// Where they cannot.
pub fn check(config: &config::Upstream) -> Result<(), TlsError> {
    tls(config).map(|_| ())
}

/// TLS with an upstream's servers; `None` where none of them speaks it.
fn tls(config: &config::Upstream) -> Result<Option<Tls>, TlsError> {
    config.speaks_tls().then(|| Tls::new(&config.tls)).transpose()
}

impl Servers {
    pub(super) fn new(config: &config::Upstream, metrics: &Metrics) -> Result<Self, TlsError> {
        let tls = tls(config)?;
        let pool = |url: &config::ServerUrl| {
            let client = || tls.clone().expect("there is one where a server speaks TLS");
            let tls = (url.scheme == ServerScheme::Https).then(client);
            let names = Names { upstream: config.name.clone(), server: url.to_string() };
            let gauge = metrics.upstream_server(&names.upstream, &names.server);
            let health = Health::new(&config.health, names, gauge);
            Arc::new(Pool::new(Server::new(url, tls, config), health, config.bounds))
        };
        let pools = config.servers.iter().map(pool).collect();
        Ok(Self { pools, balancer: Balancer::new(config.balance, &config.weights) })
    }

    /// The servers that may get a request, in the order in which they are to be tried: first of all where its client
    /// has a connection to itself.
    pub(super) fn candidates(&self, sender: Sender, bonds: &Bonds) -> Candidates<'_> {
        let mut order = self.balancer.order(&self.pools, sender);
        order.sort_by_key(|pool| !bonds.hold(pool));
        Candidates { order, next: 0, hope: Hope::All }
    }

    /// Whether one of them at least is in.
    pub(super) fn any_is_in(&self) -> bool {
        self.pools.iter().any(|pool| pool.health.is_in())
    }
}

/// Those that are in; where none is, those whose checks have nothing against them.
pub(super) struct Candidates<'a> {
    order: Vec<&'a Arc<Pool>>,
    next: usize,
    hope: Hope,
}

#[derive(PartialEq, Eq)]
enum Hope {
    /// None was admitted so far.
    All,
    /// One at least was.
    Admitted,
    /// None is.
    Last,
}

impl<'a> Iterator for Candidates<'a> {
    type Item = &'a Arc<Pool>;

    fn next(&mut self) -> Option<&'a Arc<Pool>> {
        loop {
            let Some(pool) = self.order.get(self.next) else {
                if self.hope != Hope::All {
                    return None;
                }
                (self.hope, self.next) = (Hope::Last, 0);
                continue;
            };
            self.next += 1;
            match self.hope {
                Hope::Last if pool.health.may_be_tried() => return Some(pool),
                Hope::All | Hope::Admitted if pool.health.admits() => {
                    self.hope = Hope::Admitted;
                    return Some(pool);
                }
                _ => {}
            }
        }
    }
}
