//! The stores: one contract for all of them, and what the faults of each come to.

mod contract;
mod file;
mod file_crash;
mod redis_cluster;
mod redis_faults;
mod redis_keys;
mod redis_sentinel;
mod redis_tls;
mod under_load;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use foregate::base::clock::{Clock, Timestamp};
use foregate::base::handle::Handle;
use foregate::base::random::Random;
use foregate::base::secret::Secret;
use foregate::config::{self, OnOutage, RedisAddress, RedisUrl, StoreUrl};
use foregate::store::{self, NewSession, Store, Touch};

/// What a test may take for granted that Redis answers in, on a busy machine.
const AMPLE: Duration = Duration::from_secs(10);

fn redis_at(port: u16) -> RedisUrl {
    redis_by(RedisAddress::Tcp { host: "127.0.0.1".to_owned(), port })
}

fn redis_by(address: RedisAddress) -> RedisUrl {
    RedisUrl { address, database: 0, user: None, password: None }
}

fn with_password(url: RedisUrl, password: &str) -> RedisUrl {
    RedisUrl { password: Some(Secret::new(password.to_owned())), ..url }
}

/// A store that waits for commands, and for connections, as long as is said.
fn open(url: StoreUrl, command_timeout: Duration, connect_timeout: Duration) -> Arc<dyn Store> {
    let config = config(url, command_timeout, connect_timeout);
    store::open(&config, Clock::system(), Random::system(), None).unwrap()
}

fn config(url: StoreUrl, command_timeout: Duration, connect_timeout: Duration) -> config::Store {
    let key_prefix = "session:".to_owned();
    let (on_outage, outage_grace) = (OnOutage::Refuse, AMPLE);
    config::Store { url, key_prefix, pool_size: 4, connect_timeout, command_timeout, on_outage, outage_grace }
}

/// Beside others who use the same servers.
fn open_apart(url: RedisUrl) -> Arc<dyn Store> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let key_prefix = format!("session:{}:", NEXT.fetch_add(1, Ordering::Relaxed));
    let config = config::Store { key_prefix, ..config(StoreUrl::Redis(url), AMPLE, AMPLE) };
    store::open(&config, Clock::system(), Random::system(), None).unwrap()
}

/// The one value that all tests share who need it at the same time; it ends with the last of them.
fn shared<T>(place: &Mutex<Weak<T>>, start: impl Fn() -> T) -> Arc<T> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    place.upgrade().unwrap_or_else(|| {
        let value = Arc::new(start());
        *place = Arc::downgrade(&value);
        value
    })
}

fn open_file(path: &Path) -> Arc<dyn Store> {
    open(StoreUrl::File(path.to_owned()), AMPLE, AMPLE)
}

fn open_redis(url: RedisUrl) -> Arc<dyn Store> {
    open(StoreUrl::Redis(url), AMPLE, AMPLE)
}

/// A session whose record begins as the session room writes it.
struct Sample {
    handle: Handle,
    account: String,
    record: Vec<u8>,
    logged_in_at: Timestamp,
    expires_at: Timestamp,
    ends_at: Timestamp,
}

impl Sample {
    /// Alive for an hour, seen at second 1700000000; distinct for each `n`.
    fn new(n: u8) -> Self {
        let logged_in_at = Clock::system().now();
        Self {
            handle: Handle::new([n; 16]),
            account: "account".to_owned(),
            record: record(1_700_000_000, n),
            logged_in_at,
            expires_at: logged_in_at.plus(Duration::from_secs(3600)),
            ends_at: logged_in_at.plus(Duration::from_secs(7200)),
        }
    }

    fn of(self, account: &str) -> Self {
        Self { account: account.to_owned(), ..self }
    }

    fn session(&self) -> NewSession<'_> {
        let Self { handle, account, record, logged_in_at, expires_at, ends_at } = self;
        let (logged_in_at, expires_at, ends_at) = (*logged_in_at, *expires_at, *ends_at);
        NewSession { handle, account, record, logged_in_at, expires_at, ends_at }
    }
}

fn record(seen: u64, n: u8) -> Vec<u8> {
    format!(r#"{{"seen":{seen:010},"n":{n}}}"#).into_bytes()
}

fn touch(seen: u64, expires_at: Timestamp) -> Touch {
    let digits = format!("{seen:010}").into_bytes().try_into().unwrap();
    let due = format!("{:010}", seen - 1).into_bytes().try_into().unwrap();
    Touch { offset: r#"{"seen":"#.len(), digits, due, expires_at }
}
