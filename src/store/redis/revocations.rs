//! What this process took off the shelf lately. A master that fails over may lose what it acknowledged: a login may be
//! lost, a logout may not. So it stays off for this process, and is taken off again where a new master has it.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use crate::base::handle::Handle;
use crate::base::lock::lock;

/// What a failover loses is seconds old; this is far more.
const REMEMBERED: usize = 100_000;

/// The latest removals.
#[derive(Debug, Default)]
pub(super) struct Revocations(Mutex<Latest>);

#[derive(Debug, Default)]
struct Latest {
    accounts: HashMap<Handle, String>,
    order: VecDeque<Handle>,
}

impl Revocations {
    pub(super) fn add(&self, handle: Handle, account: &str) {
        let mut latest = lock(&self.0);
        if latest.accounts.insert(handle, account.to_owned()).is_none() {
            latest.order.push_back(handle);
        }
        if latest.order.len() > REMEMBERED
            && let Some(oldest) = latest.order.pop_front()
        {
            latest.accounts.remove(&oldest);
        }
    }

    /// A session has begun under the handle, as it may once it is free.
    pub(super) fn forget(&self, handle: &Handle) {
        lock(&self.0).accounts.remove(handle);
    }

    pub(super) fn has(&self, handle: &Handle) -> bool {
        lock(&self.0).accounts.contains_key(handle)
    }

    /// Every removal, and whose session it was; the latest first.
    pub(super) fn all(&self) -> Vec<(Handle, String)> {
        let latest = lock(&self.0);
        let account = |handle: &Handle| Some((*handle, latest.accounts.get(handle)?.clone()));
        latest.order.iter().rev().filter_map(account).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_removals_are_remembered_and_no_more() {
        let revocations = Revocations::default();
        let handle = |n: usize| Handle::new((n as u128).to_be_bytes());
        for n in 0..REMEMBERED + 10 {
            revocations.add(handle(n), "account");
            revocations.add(handle(n), "account");
        }
        assert!(!revocations.has(&handle(9)) && revocations.has(&handle(10)));
        let all = revocations.all();
        assert_eq!(all.len(), REMEMBERED);
        assert_eq!(all[0], (handle(REMEMBERED + 9), "account".to_owned()));
    }
}
