//! What every store keeps. A store joins by one line at the end.

use std::sync::Arc;
use std::time::Duration;

use foregate::base::clock::Clock;
use foregate::base::handle::Handle;
use foregate::config::{RedisAddress, StoreUrl};
use foregate::store::{Store, Trouble};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::redis_tls::SecureRedis;
use super::{AMPLE, Sample, open, open_file, open_redis, record, redis_at, redis_by, touch};
use crate::support::redis::RedisServer;

/// A store, and what has to live as long as it.
struct Shelf<Keep> {
    store: Arc<dyn Store>,
    _keep: Keep,
}

fn memory() -> Shelf<()> {
    Shelf { store: open(StoreUrl::Memory, AMPLE, AMPLE), _keep: () }
}

fn file() -> Shelf<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    Shelf { store: open_file(&folder.path().join("sessions.redb")), _keep: folder }
}

fn redis() -> Shelf<RedisServer> {
    let server = RedisServer::start();
    Shelf { store: open_redis(redis_at(server.port())), _keep: server }
}

/// TLS under a private authority, with certificates on both sides and a user who may do what the documents name.
fn redis_tls() -> Shelf<SecureRedis> {
    let server = SecureRedis::start();
    Shelf { store: open_redis(server.url()), _keep: server }
}

fn redis_unix() -> Shelf<RedisServer> {
    let server = RedisServer::start();
    Shelf { store: open_redis(redis_by(RedisAddress::Unix(server.socket()))), _keep: server }
}

async fn what_is_created_is_loaded_byte_for_byte(store: Arc<dyn Store>) {
    let sample = Sample { record: (0..=255).collect(), ..Sample::new(1) };
    store.create(&sample.session()).await.unwrap();
    assert_eq!(store.load(&sample.handle).await.unwrap(), Some(sample.record));
}

async fn nothing_is_found_where_nothing_was_put(store: Arc<dyn Store>) {
    store.create(&Sample::new(1).session()).await.unwrap();
    assert_eq!(store.load(&Handle::new([2; 16])).await.unwrap(), None);
}

async fn a_taken_handle_is_refused_and_keeps_its_record(store: Arc<dyn Store>) {
    let (first, second) = (Sample::new(1), Sample { record: b"another".to_vec(), ..Sample::new(1) });
    store.create(&first.session()).await.unwrap();
    let refusal = store.create(&second.session()).await.unwrap_err();
    assert_eq!(refusal.kind, Trouble::Protocol);
    assert_eq!(store.load(&first.handle).await.unwrap(), Some(first.record));
}

async fn of_logins_that_draw_the_same_handle_one_wins(store: Arc<dyn Store>) {
    let mut logins = JoinSet::new();
    for n in 0..20 {
        let store = Arc::clone(&store);
        logins.spawn(async move {
            let sample = Sample { record: record(1_700_000_000, n), ..Sample::new(7) };
            store.create(&sample.session()).await.ok().map(|()| sample.record)
        });
    }
    let won: Vec<_> = logins.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    assert_eq!(store.load(&Handle::new([7; 16])).await.unwrap().as_ref(), won.first());
}

async fn many_sessions_at_once_keep_apart(store: Arc<dyn Store>) {
    let mut visits = JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        visits.spawn(async move {
            let sample = Sample::new(n);
            store.create(&sample.session()).await.unwrap();
            assert_eq!(store.load(&sample.handle).await.unwrap(), Some(sample.record));
        });
    }
    visits.join_all().await;
}

async fn a_use_is_recorded_in_place(store: Arc<dyn Store>) {
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    assert!(store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap());
    assert_eq!(store.load(&sample.handle).await.unwrap(), Some(record(1_700_000_060, 1)));
}

async fn a_late_touch_does_not_turn_time_back(store: Arc<dyn Store>) {
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    let past = Clock::system().now().minus(Duration::from_secs(1));
    for late in [1_700_000_000, 1_699_999_999] {
        assert!(store.touch(&sample.handle, touch(late, past)).await.unwrap());
        assert_eq!(store.load(&sample.handle).await.unwrap(), Some(record(1_700_000_000, 1)), "{late}");
    }
}

async fn of_touches_at_once_the_latest_stays(store: Arc<dyn Store>) {
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    let mut uses = JoinSet::new();
    for second in 1..=50 {
        let (store, handle, ends_at) = (Arc::clone(&store), sample.handle, sample.ends_at);
        uses.spawn(
            async move { store.touch(&handle, touch(1_700_000_000 + second, ends_at)).await.unwrap() },
        );
    }
    assert!(uses.join_all().await.into_iter().all(|exists| exists));
    assert_eq!(store.load(&sample.handle).await.unwrap(), Some(record(1_700_000_050, 1)));
}

async fn a_touch_brings_nobody_back(store: Arc<dyn Store>) {
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    store.remove(&sample.handle, &sample.account).await.unwrap();
    assert!(!store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap());
    assert_eq!(store.load(&sample.handle).await.unwrap(), None);
}

async fn a_touch_never_lengthens_a_record(store: Arc<dyn Store>) {
    let sample = Sample { record: br#"{"seen":17"#.to_vec(), ..Sample::new(1) };
    store.create(&sample.session()).await.unwrap();
    assert!(store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap());
    assert_eq!(store.load(&sample.handle).await.unwrap(), Some(sample.record));
}

async fn a_record_is_gone_when_its_time_is_over(store: Arc<dyn Store>) {
    let past = Clock::system().now().minus(Duration::from_secs(1));
    let (born_late, used_up) = (Sample { expires_at: past, ..Sample::new(1) }, Sample::new(2));
    store.create(&born_late.session()).await.unwrap();
    assert_eq!(store.load(&born_late.handle).await.unwrap(), None);
    store.create(&used_up.session()).await.unwrap();
    store.touch(&used_up.handle, touch(1_700_000_060, past)).await.unwrap();
    assert_eq!(store.load(&used_up.handle).await.unwrap(), None);
    assert!(!store.remove(&used_up.handle, &used_up.account).await.unwrap());
}

async fn an_expired_handle_is_free_again(store: Arc<dyn Store>) {
    let past = Clock::system().now().minus(Duration::from_secs(1));
    store.create(&Sample { expires_at: past, ..Sample::new(1) }.session()).await.unwrap();
    store.create(&Sample::new(1).session()).await.unwrap();
    assert!(store.load(&Handle::new([1; 16])).await.unwrap().is_some());
}

async fn a_removed_session_is_gone_and_no_other(store: Arc<dyn Store>) {
    let (one, other) = (Sample::new(1), Sample::new(2));
    store.create(&one.session()).await.unwrap();
    store.create(&other.session()).await.unwrap();
    assert!(store.remove(&one.handle, &one.account).await.unwrap());
    assert_eq!(store.load(&one.handle).await.unwrap(), None);
    assert_eq!(store.load(&other.handle).await.unwrap(), Some(other.record));
    assert!(!store.remove(&one.handle, &one.account).await.unwrap());
}

async fn it_gives_a_sign_of_life(store: Arc<dyn Store>) {
    store.ping().await.unwrap();
}

/// Runs the contract against each of the stores named last.
macro_rules! contract {
    ($terms:tt; $($store:ident),+) => { $( contract!(@ $store $terms); )+ };
    (@ $store:ident [$($term:ident),+ $(,)?]) => {
        mod $store {
            $(
                #[tokio::test]
                async fn $term() {
                    let shelf = super::$store();
                    super::$term(shelf.store.clone()).await;
                }
            )+
        }
    };
}

contract! {
    [
        what_is_created_is_loaded_byte_for_byte,
        nothing_is_found_where_nothing_was_put,
        a_taken_handle_is_refused_and_keeps_its_record,
        of_logins_that_draw_the_same_handle_one_wins,
        many_sessions_at_once_keep_apart,
        a_use_is_recorded_in_place,
        a_late_touch_does_not_turn_time_back,
        of_touches_at_once_the_latest_stays,
        a_touch_brings_nobody_back,
        a_touch_never_lengthens_a_record,
        a_record_is_gone_when_its_time_is_over,
        an_expired_handle_is_free_again,
        a_removed_session_is_gone_and_no_other,
        it_gives_a_sign_of_life,
    ];
    memory, file, redis, redis_tls, redis_unix
}
