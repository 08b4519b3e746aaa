//! Whether a server is in: by what its checks say, and by what becomes of requests.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::base::clock::Stopwatch;
use crate::base::lock::lock;
use crate::config;
use crate::telemetry::ServerGauge;

/// The health of one server. Where all is well, asking and telling cost no lock.
#[derive(Debug)]
pub(super) struct Health {
    settings: config::Health,
    names: Names,
    gauge: ServerGauge,
    is_in: AtomicBool,
    /// Requests that failed in a row.
    failures: AtomicU32,
    state: Mutex<State>,
}

/// What the log calls a server.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) upstream: String,
    pub(super) server: String,
}

#[derive(Debug)]
struct State {
    checks: Checks,
    /// Checks in a row that say the opposite.
    against: u32,
    /// Since when nothing but a trial now and then is sent to it.
    ejected: Option<Stopwatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checks {
    Good,
    Bad,
}

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    Good,
    Bad,
}

impl Health {
    /// In, until something else is known.
    pub(super) fn new(settings: &config::Health, names: Names, gauge: ServerGauge) -> Self {
        gauge.is_in();
        Self {
            settings: settings.clone(),
            names,
            gauge,
            is_in: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            state: Mutex::new(State { checks: Checks::Good, against: 0, ejected: None }),
        }
    }

    /// Whether a request may be sent to it. One that was ejected long enough ago gets a single one as a trial,
    /// and the next when that has told nothing for as long again.
    pub(super) fn admits(&self) -> bool {
        if self.is_in.load(Ordering::Acquire) {
            return true;
        }
        let mut state = self.locked();
        match state.ejected {
            _ if state.checks == Checks::Bad => false,
            Some(since) if since.elapsed() < self.settings.eject_for => false,
            Some(_) => {
                state.ejected = Some(Stopwatch::start());
                true
            }
            None => true,
        }
    }

    /// Whether its checks have nothing against it. Where all of an upstream's servers are out, those of them may
    /// be tried all the same: failed requests are a guess, and whoever can make some must not end all.
    pub(super) fn may_be_tried(&self) -> bool {
        self.is_in.load(Ordering::Acquire) || self.locked().checks == Checks::Good
    }

    /// Whether it is in.
    pub(super) fn is_in(&self) -> bool {
        self.is_in.load(Ordering::Acquire)
    }

    /// A request was answered.
    pub(super) fn succeeded(&self) {
        // Out with no failures is one that failed a moment after another request had succeeded.
        if self.failures.load(Ordering::Relaxed) == 0 && self.is_in() {
            return;
        }
        self.failures.store(0, Ordering::Relaxed);
        if !self.is_in() {
            let mut state = self.locked();
            state.ejected = None;
            self.settle(&state);
        }
    }

    /// A request found no answer, and the server is to blame.
    pub(super) fn failed(&self) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= self.settings.eject_after {
            let mut state = self.locked();
            state.ejected = Some(Stopwatch::start());
            self.settle(&state);
        }
    }

    /// A check came to this.
    pub(super) fn checked(&self, result: Checked) {
        let mut state = self.locked();
        let (turned, enough) = match (state.checks, result) {
            (Checks::Good, Checked::Good) | (Checks::Bad, Checked::Bad) => {
                state.against = 0;
                return;
            }
            (Checks::Good, Checked::Bad) => (Checks::Bad, self.settings.unhealthy_after),
            (Checks::Bad, Checked::Good) => (Checks::Good, self.settings.healthy_after),
        };
        state.against += 1;
        if state.against < enough {
            return;
        }
        (state.checks, state.against) = (turned, 0);
        if turned == Checks::Good {
            state.ejected = None;
            self.failures.store(0, Ordering::Relaxed);
        }
        self.settle(&state);
    }

    /// Says so where the server goes out or comes back.
    fn settle(&self, state: &State) {
        let is_in = state.checks == Checks::Good && state.ejected.is_none();
        if self.is_in.swap(is_in, Ordering::AcqRel) == is_in {
            return;
        }
        let Names { upstream, server } = &self.names;
        if is_in {
            self.gauge.is_in();
            tracing::info!(upstream, server, "a server is back");
        } else {
            self.gauge.is_out();
            let why = if state.checks == Checks::Bad { "its checks fail" } else { "requests to it fail" };
            tracing::warn!(upstream, server, why, "a server is left out");
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::Metrics;

    fn health(eject_for: Duration) -> Health {
        let settings = config::Health {
            path: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy_after: 2,
            healthy_after: 2,
            eject_after: 3,
            eject_for,
        };
        let names = Names { upstream: "app".to_owned(), server: "http://app".to_owned() };
        Health::new(&settings, names, Metrics::new().upstream_server("app", "http://app"))
    }

    #[test]
    fn failures_in_a_row_count_and_one_answer_forgives_them() {
        let health = health(Duration::from_secs(60));
        for _ in 0..10 {
            health.failed();
            health.failed();
            health.succeeded();
        }
        assert!(health.admits());
        (0..3).for_each(|_| health.failed());
        assert!(!health.admits() && health.may_be_tried());
    }

    #[test]
    fn after_a_while_one_request_is_the_trial_and_its_answer_takes_the_server_in() {
        let health = health(Duration::from_millis(20));
        (0..3).for_each(|_| health.failed());
        std::thread::sleep(Duration::from_millis(21));
        assert!(health.admits(), "the trial");
        assert!(!health.admits(), "and nothing beside it");
        health.failed();
        assert!(!health.admits(), "it failed");
        std::thread::sleep(Duration::from_millis(21));
        assert!(health.admits());
        health.succeeded();
        assert!(health.is_in() && health.admits() && health.admits());
    }

    #[test]
    fn checks_in_a_row_turn_a_server_out_and_in() {
        let health = health(Duration::from_secs(60));
        for result in [Checked::Bad, Checked::Good, Checked::Bad] {
            health.checked(result);
            assert!(health.is_in(), "one is not enough");
        }
        health.checked(Checked::Bad);
        assert!(!health.admits() && !health.may_be_tried());
        health.succeeded();
        assert!(!health.admits(), "what was under way before says nothing");
        health.checked(Checked::Good);
        assert!(!health.admits());
        health.checked(Checked::Good);
        assert!(health.admits());
    }
}
