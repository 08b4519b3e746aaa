//! Whether word of changes still comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ties what was loaded to the store: as long as it holds, every change is told to [`Changes`](super::Changes).
#[derive(Clone, Debug)]
pub struct Tether(Arc<AtomicBool>);

/// The store's end. Dropped, it cuts the tether: once and for all, so that what was missed is not believed later.
#[derive(Debug)]
pub(crate) struct Mooring(Tether);

impl Tether {
    /// Whether the store tells of every change.
    pub fn holds(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Mooring {
    pub(crate) fn new() -> Self {
        Self(Tether(Arc::new(AtomicBool::new(true))))
    }

    pub(crate) fn tether(&self) -> Tether {
        self.0.clone()
    }

    pub(crate) fn cut(&self) {
        self.0.0.store(false, Ordering::Release);
    }
}

impl Drop for Mooring {
    fn drop(&mut self) {
        self.cut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tether_holds_until_it_is_cut_and_never_again() {
        let mooring = Mooring::new();
        let tether = mooring.tether();
        assert!(tether.holds());
        mooring.cut();
        assert!(!tether.holds() && !mooring.tether().holds());
        let mooring = Mooring::new();
        let tether = mooring.tether();
        drop(mooring);
        assert!(!tether.holds());
    }
}
