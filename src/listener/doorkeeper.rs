//! How many connections there may be, in all and from one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::client::network_of;
use crate::base::lock::lock;

/// Lets connections in.
#[derive(Clone, Debug)]
pub struct Doorkeeper {
    places: Arc<Semaphore>,
    per_client: Option<NonZeroUsize>,
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    door: Doorkeeper,
    client: Option<IpAddr>,
}

/// A client has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Doorkeeper {
    /// For so many connections, and so many from one client.
    pub fn new(connections: usize, per_client: Option<NonZeroUsize>) -> Self {
        let places = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Self { places, per_client, clients: Arc::default() }
    }

    /// Waits until there is room for one more. Whoever comes until then waits in the kernel's backlog.
    pub(super) async fn room(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// A place for a connection of nobody known so far.
    pub(super) fn admit(&self, permit: OwnedSemaphorePermit) -> Place {
        Place { _permit: permit, door: self.clone(), client: None }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        lock(&self.clients)
    }
}

impl Place {
    /// Counts it as one of `client`'s.
    pub(super) fn is_for(&mut self, client: IpAddr) -> Result<(), TooMany> {
        let Some(most) = self.door.per_client else { return Ok(()) };
        let client = network_of(client);
        let mut clients = self.door.clients();
        let count = clients.entry(client).or_default();
        if *count >= most.get() {
            return Err(TooMany);
        }
        *count += 1;
        drop(clients);
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let mut clients = self.door.clients();
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_client_cannot_take_all_places_and_leaves_nothing_behind() {
        let door = Doorkeeper::new(10, NonZeroUsize::new(2));
        let from = |address: &'static str| {
            let door = door.clone();
            async move {
                let mut place = door.admit(door.room().await);
                place.is_for(address.parse().unwrap()).ok().map(|()| place)
            }
        };
        let (one, two) = (from("2001:db8::1").await, from("2001:db8::2").await);
        assert!(one.is_some() && two.is_some());
        assert!(from("2001:db8::3").await.is_none(), "the same /64");
        assert!(from("2001:db8:0:1::1").await.is_some());
        drop(one);
        assert!(from("2001:db8::3").await.is_some());
        drop(two);
        assert!(door.clients().is_empty());
    }
}
