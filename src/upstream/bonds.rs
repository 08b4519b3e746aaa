//! Connections to servers that take whoever sends on one for the one who authenticated on it: each belongs to one
//! client's connection alone, and ends with that.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::connection::{Connection, Own};
use super::pool::{Idle, Place, Pool, Slot};
use crate::base::handle::Handle;
use crate::base::lock::lock;

/// What one client's connection has to itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Bonds(Arc<Mutex<Vec<Bond>>>);

/// A server that has asked this client to authenticate a connection. The connection is there from then on, but for times
/// at which it was lost.
#[derive(Debug)]
struct Bond {
    server: Arc<Pool>,
    /// Who had logged in here when it was made: the next user of the same browser is somebody else.
    session: Option<Handle>,
    connection: Arc<Slot>,
}

/// The use of a bond's connection for one exchange: the client's others wait.
#[derive(Debug)]
pub(super) struct Turn(OwnedMutexGuard<Option<Idle>>);

/// The exchange before takes too long.
#[derive(Debug)]
pub(super) struct NoTurn;

impl Bonds {
    /// Whether the client has a connection to `server` to itself.
    pub(super) fn hold(&self, server: &Arc<Pool>) -> bool {
        lock(&self.0).iter().any(|bond| bond.is_with(server))
    }

    /// The client's turn, where it has a connection to `server` to itself. That of another session is closed.
    pub(super) async fn turn(
        &self,
        server: &Arc<Pool>,
        session: Option<Handle>,
        patience: Duration,
    ) -> Result<Option<Turn>, NoTurn> {
        let Some(connection) = self.of(server, session) else { return Ok(None) };
        let turn = tokio::time::timeout(patience, connection.lock_owned()).await;
        turn.map(|turn| Some(Turn(turn))).map_err(|_| NoTurn)
    }

    /// From now on the client has its connection to `server` to itself: the one that this turn keeps. `None` where
    /// another exchange has come to the same meanwhile.
    pub(super) fn tie(&self, server: &Arc<Pool>, session: Option<Handle>) -> Option<Turn> {
        if self.of(server, session).is_some() {
            return None;
        }
        let connection = server.slot();
        let turn = Arc::clone(&connection).try_lock_owned().expect("nobody else has it yet");
        lock(&self.0).push(Bond { server: Arc::clone(server), session, connection });
        Some(Turn(turn))
    }

    fn of(&self, server: &Arc<Pool>, session: Option<Handle>) -> Option<Arc<Slot>> {
        let mut bonds = lock(&self.0);
        // Nobody's requests are those of a public part: whoever is signed in beside them stays so.
        if session.is_some() {
            bonds.retain(|bond| !bond.is_with(server) || bond.session == session);
        }
        bonds
            .iter()
            .find(|bond| bond.is_with(server) && bond.session == session)
            .map(|bond| Arc::clone(&bond.connection))
    }
}

impl Bond {
    fn is_with(&self, server: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.server, server)
    }
}

impl Turn {
    /// The connection, where it is still good.
    pub(super) async fn take(&mut self, server: &Pool) -> Option<Connection> {
        server.waken(self.0.take()?).await
    }

    /// Keeps the connection for the client's next exchange.
    pub(super) fn keep(self, connection: Own, place: Place) {
        place.keep(self.0, connection);
    }
}
