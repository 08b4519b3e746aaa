//! What is worth telling now and then, however often it happens.

use std::sync::Mutex;
use std::time::Duration;

use super::clock::Stopwatch;
use super::lock::lock;

/// Says of something that happens whether it is time to tell of it again.
#[derive(Debug)]
pub struct Seldom {
    interval: Duration,
    told: Mutex<Option<Stopwatch>>,
}

impl Seldom {
    /// The first time, and then once an interval at most.
    pub const fn every(interval: Duration) -> Self {
        Self { interval, told: Mutex::new(None) }
    }

    /// Whether it is time; whoever asks then tells.
    pub fn is_due(&self) -> bool {
        let mut told = lock(&self.told);
        let is_due = told.is_none_or(|told| told.elapsed() >= self.interval);
        if is_due {
            *told = Some(Stopwatch::start());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_the_next_after_the_interval() {
        let hourly = Seldom::every(Duration::from_secs(3_600));
        assert!(hourly.is_due());
        assert!(!hourly.is_due() && !hourly.is_due());
        let always = Seldom::every(Duration::ZERO);
        assert!(always.is_due() && always.is_due());
    }
}
