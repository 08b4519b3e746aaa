//! Traces of requests, for an operator who asks why one was treated so: kept of the clients that they name, for as long
//! as they say, and in this process alone.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

use crate::base::clock::{Clock, Timestamp};
use crate::base::lock::lock;
use crate::base::request_id::RequestId;

/// So many clients are traced at a time.
const MOST_CLIENTS: usize = 16;

/// So many traces are kept, the latest.
const MOST_TRACES: usize = 100;

/// The traces of a process, and whose there are to be.
#[derive(Clone, Debug)]
pub struct Traces(Arc<Book>);

#[derive(Debug)]
struct Book {
    /// False where nobody is traced: all that a request has to look at then.
    is_open: AtomicBool,
    clients: Mutex<Vec<TracedClient>>,
    traces: Mutex<VecDeque<(RequestId, Value)>>,
    clock: Clock,
}

/// A client whose requests are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedClient {
    /// Its address, or those of many.
    pub client: IpNet,
    /// For how long.
    pub until: Timestamp,
}

/// As many clients are traced as may be.
#[derive(Debug, thiserror::Error)]
#[error("{MOST_CLIENTS} clients are traced already")]
pub struct TooManyTraced;

impl Traces {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        let (clients, traces) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Book { is_open: AtomicBool::new(false), clients, traces, clock }))
    }

    /// Traces requests of `client` from now on, and for so long.
    ///
    /// # Errors
    /// Where too many are traced.
    pub fn begin(&self, client: IpNet, span: Duration) -> Result<TracedClient, TooManyTraced> {
        let now = self.0.clock.now();
        let mut clients = lock(&self.0.clients);
        clients.retain(|traced| traced.until > now && traced.client != client);
        if clients.len() == MOST_CLIENTS {
            return Err(TooManyTraced);
        }
        let traced = TracedClient { client, until: now.plus(span) };
        clients.push(traced);
        self.0.is_open.store(true, Ordering::Relaxed);
        Ok(traced)
    }

    /// Traces `client` no longer; says whether it was.
    pub fn end(&self, client: IpNet) -> bool {
        let mut clients = lock(&self.0.clients);
        let before = clients.len();
        clients.retain(|traced| traced.client != client);
        self.0.is_open.store(!clients.is_empty(), Ordering::Relaxed);
        clients.len() < before
    }

    /// Who is traced.
    pub fn clients(&self) -> Vec<TracedClient> {
        let now = self.0.clock.now();
        lock(&self.0.clients).iter().filter(|traced| traced.until > now).copied().collect()
    }

    /// Whether requests of `client` are traced.
    pub fn wants(&self, client: IpAddr) -> bool {
        if !self.0.is_open.load(Ordering::Relaxed) {
            return false;
        }
        let now = self.0.clock.now();
        let mut clients = lock(&self.0.clients);
        clients.retain(|traced| traced.until > now);
        self.0.is_open.store(!clients.is_empty(), Ordering::Relaxed);
        let client = client.to_canonical();
        clients.iter().any(|traced| traced.client.contains(&client))
    }

    /// Keeps the trace of a request; the oldest goes where there are too many.
    pub fn keep(&self, id: RequestId, trace: Value) {
        let mut traces = lock(&self.0.traces);
        if traces.len() == MOST_TRACES {
            traces.pop_front();
        }
        traces.push_back((id, trace));
    }

    /// The trace of the request of this name.
    pub fn find(&self, id: &str) -> Option<Value> {
        let traces = lock(&self.0.traces);
        traces.iter().find(|(other, _)| other.to_string() == id).map(|(_, trace)| trace.clone())
    }

    /// The requests that there are traces of, the latest first.
    pub fn requests(&self) -> Vec<RequestId> {
        lock(&self.0.traces).iter().rev().map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ClockHand;
    use crate::base::random::Random;

    const MINUTE: Duration = Duration::from_secs(60);

    fn traces() -> (Traces, ClockHand) {
        let hand = ClockHand::at(Timestamp::from_seconds(1_763_800_000));
        (Traces::new(hand.clock()), hand)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_traced_for_as_long_as_was_said() {
        let (traces, hand) = traces();
        assert!(!traces.wants(address("192.0.2.7")));
        traces.begin("192.0.2.0/24".parse().unwrap(), MINUTE).unwrap();
        assert!(traces.wants(address("192.0.2.7")) && traces.wants(address("::ffff:192.0.2.7")));
        assert!(!traces.wants(address("192.0.3.7")));
        hand.advance(MINUTE);
        assert!(!traces.wants(address("192.0.2.7")));
        assert_eq!(traces.clients(), []);
        traces.begin("192.0.2.0/24".parse().unwrap(), MINUTE).unwrap();
        assert!(traces.end("192.0.2.0/24".parse().unwrap()) && !traces.end("192.0.2.0/24".parse().unwrap()));
        assert!(!traces.wants(address("192.0.2.7")));
    }

    #[test]
    fn neither_clients_nor_traces_grow_without_bound() {
        let (traces, hand) = traces();
        let client = |number: u8| IpNet::from(IpAddr::from([192, 0, 2, number]));
        for number in 0..16 {
            traces.begin(client(number), MINUTE).unwrap();
            traces.begin(client(number), MINUTE).unwrap();
        }
        traces.begin(client(16), MINUTE).unwrap_err();
        hand.advance(MINUTE);
        traces.begin(client(16), MINUTE).unwrap();
        let ids: Vec<RequestId> = (0..=MOST_TRACES).map(|_| RequestId::new(Random::system())).collect();
        for id in &ids {
            traces.keep(*id, Value::Null);
        }
        assert_eq!(traces.find(&ids[0].to_string()), None);
        assert_eq!(traces.find(&ids[1].to_string()), Some(Value::Null));
        assert_eq!(traces.requests().len(), MOST_TRACES);
        assert_eq!(traces.requests()[0], ids[MOST_TRACES]);
    }
}
