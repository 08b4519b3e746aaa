//! What every store keeps. A store joins by one line at the end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use foregate::base::clock::{Clock, Stopwatch};
use foregate::base::handle::Handle;
use foregate::base::rate;
use foregate::config::{RedisAddress, StoreUrl};
use foregate::store::{
    Bucket, BucketName, Cursor, Fetch, Member, Parcel, Replaced, Store, Taken, Transition, Trouble,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::redis_cluster::SecureCluster;
use super::redis_tls::SecureRedis;
use super::{
    AMPLE, Sample, open, open_apart, open_file, open_redis, record, redis_at, redis_by, shared, touch,
};
use crate::support::redis::RedisServer;
use crate::support::sentinels::Sentinels;

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

/// By sentinels with a password, to servers with a user who may do what the documents name.
fn redis_sentinel() -> Shelf<Arc<Sentinels>> {
    static SENTINELS: Mutex<Weak<Sentinels>> = Mutex::new(Weak::new());
    let sentinels = shared(&SENTINELS, Sentinels::start);
    Shelf { store: open_apart(sentinels.url()), _keep: sentinels }
}

/// By TLS, with certificates on both sides and a user who may do what the documents name.
fn redis_cluster() -> Shelf<Arc<SecureCluster>> {
    static CLUSTER: Mutex<Weak<SecureCluster>> = Mutex::new(Weak::new());
    let cluster = shared(&CLUSTER, SecureCluster::start);
    Shelf { store: open_apart(cluster.url()), _keep: cluster }
}

async fn what_is_created_is_loaded_byte_for_byte(store: Arc<dyn Store>) {
    let sample = Sample { record: (0..=255).collect(), ..Sample::new(1) };
    store.create(&sample.session()).await.unwrap();
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record));
}

async fn nothing_is_found_where_nothing_was_put(store: Arc<dyn Store>) {
    store.create(&Sample::new(1).session()).await.unwrap();
    assert_eq!(store.load(&Handle::new([2; 16])).await.unwrap().record, None);
}

async fn a_taken_handle_is_refused_and_keeps_its_record(store: Arc<dyn Store>) {
    let (first, second) = (Sample::new(1), Sample { record: b"another".to_vec(), ..Sample::new(1) });
    store.create(&first.session()).await.unwrap();
    let refusal = store.create(&second.session()).await.unwrap_err();
    assert_eq!(refusal.kind, Trouble::Protocol);
    assert_eq!(store.load(&first.handle).await.unwrap().record, Some(first.record));
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
    assert_eq!(store.load(&Handle::new([7; 16])).await.unwrap().record.as_ref(), won.first());
}

async fn many_sessions_at_once_keep_apart(store: Arc<dyn Store>) {
    let mut visits = JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        visits.spawn(async move {
            let sample = Sample::new(n);
            store.create(&sample.session()).await.unwrap();
            assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record));
        });
    }
    visits.join_all().await;
}

async fn a_use_is_recorded_in_place(store: Arc<dyn Store>) {
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    assert!(store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap());
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(record(1_700_000_060, 1)));
}

async fn a_late_touch_does_not_turn_time_back(store: Arc<dyn Store>) {
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    let past = Clock::system().now().minus(Duration::from_secs(1));
    for late in [1_700_000_000, 1_699_999_999] {
        assert!(store.touch(&sample.handle, touch(late, past)).await.unwrap());
        assert_eq!(
            store.load(&sample.handle).await.unwrap().record,
            Some(record(1_700_000_000, 1)),
            "{late}"
        );
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
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(record(1_700_000_050, 1)));
}

async fn a_touch_brings_nobody_back(store: Arc<dyn Store>) {
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    store.remove(&sample.handle, &sample.account).await.unwrap();
    assert!(!store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap());
    assert_eq!(store.load(&sample.handle).await.unwrap().record, None);
}

async fn a_touch_never_lengthens_a_record(store: Arc<dyn Store>) {
    let sample = Sample { record: br#"{"seen":17"#.to_vec(), ..Sample::new(1) };
    store.create(&sample.session()).await.unwrap();
    assert!(store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap());
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record));
}

async fn a_record_is_gone_when_its_time_is_over(store: Arc<dyn Store>) {
    let past = Clock::system().now().minus(Duration::from_secs(1));
    let (born_late, used_up) = (Sample { expires_at: past, ..Sample::new(1) }, Sample::new(2));
    store.create(&born_late.session()).await.unwrap();
    assert_eq!(store.load(&born_late.handle).await.unwrap().record, None);
    store.create(&used_up.session()).await.unwrap();
    store.touch(&used_up.handle, touch(1_700_000_060, past)).await.unwrap();
    assert_eq!(store.load(&used_up.handle).await.unwrap().record, None);
    assert!(!store.remove(&used_up.handle, &used_up.account).await.unwrap().existed);
}

async fn an_expired_handle_is_free_again(store: Arc<dyn Store>) {
    let past = Clock::system().now().minus(Duration::from_secs(1));
    store.create(&Sample { expires_at: past, ..Sample::new(1) }.session()).await.unwrap();
    store.create(&Sample::new(1).session()).await.unwrap();
    assert!(store.load(&Handle::new([1; 16])).await.unwrap().record.is_some());
}

async fn a_removed_session_is_gone_and_no_other(store: Arc<dyn Store>) {
    let (one, other) = (Sample::new(1), Sample::new(2));
    store.create(&one.session()).await.unwrap();
    store.create(&other.session()).await.unwrap();
    assert!(store.remove(&one.handle, &one.account).await.unwrap().existed);
    assert_eq!(store.load(&one.handle).await.unwrap().record, None);
    assert_eq!(store.load(&other.handle).await.unwrap().record, Some(other.record));
    assert!(!store.remove(&one.handle, &one.account).await.unwrap().existed);
}

/// From the record of `Sample::new(1)` to another of another length.
fn transition<'a>(from: &'a [u8], to: &'a [u8]) -> Transition<'a> {
    Transition { from, to, offset: r#"{"seen":"#.len() }
}

async fn a_transition_keeps_the_uses_in_between(store: Arc<dyn Store>) {
    let (sample, to) = (Sample::new(1), br#"{"seen":1700000000,"next":"state"}"#);
    store.create(&sample.session()).await.unwrap();
    store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap();
    let done = store.replace(&sample.handle, transition(&sample.record, to)).await.unwrap();
    assert_eq!(done, Replaced::Done);
    let stands = store.load(&sample.handle).await.unwrap().record;
    assert_eq!(stands.as_deref(), Some(br#"{"seen":1700000060,"next":"state"}"#.as_slice()));
}

async fn a_transition_from_what_is_no_more_changes_nothing(store: Arc<dyn Store>) {
    let (sample, to) = (Sample::new(1), br#"{"seen":1700000000,"next":"state"}"#);
    store.create(&sample.session()).await.unwrap();
    for from in [br#"{"seen":1700000000,"n":2}"#.as_slice(), b"", b"{", br#"{"sEEn":1700000000,"n":1}"#] {
        let refused = store.replace(&sample.handle, transition(from, to)).await.unwrap();
        assert_eq!(refused, Replaced::Changed, "{}", String::from_utf8_lossy(from));
    }
    assert_eq!(store.load(&sample.handle).await.unwrap().record, Some(sample.record.clone()));
}

async fn a_transition_brings_nobody_back(store: Arc<dyn Store>) {
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    store.remove(&sample.handle, &sample.account).await.unwrap();
    let late = transition(&sample.record, br#"{"seen":1700000000,"next":"state"}"#);
    assert_eq!(store.replace(&sample.handle, late).await.unwrap(), Replaced::Gone);
    assert_eq!(store.load(&sample.handle).await.unwrap().record, None);
}

async fn a_transition_keeps_the_expiry(store: Arc<dyn Store>) {
    let soon = Clock::system().now().plus(Duration::from_millis(400));
    let sample = Sample { expires_at: soon, ..Sample::new(1) };
    store.create(&sample.session()).await.unwrap();
    let done = store.replace(&sample.handle, transition(&sample.record, &sample.record)).await.unwrap();
    assert_eq!(done, Replaced::Done);
    let waited = Stopwatch::start();
    while store.load(&sample.handle).await.unwrap().record.is_some() {
        assert!(waited.elapsed() < AMPLE, "it has lost its expiry");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn of_transitions_at_once_one_is_done(store: Arc<dyn Store>) {
    let sample = Sample::new(1);
    store.create(&sample.session()).await.unwrap();
    let mut transitions = JoinSet::new();
    for n in 2..22 {
        let store = Arc::clone(&store);
        transitions.spawn(async move {
            let (sample, to) = (Sample::new(1), record(1_700_000_000, n));
            let done = store.replace(&sample.handle, transition(&sample.record, &to)).await.unwrap();
            (done == Replaced::Done).then_some(to)
        });
    }
    let won: Vec<_> = transitions.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    assert_eq!(store.load(&sample.handle).await.unwrap().record.as_ref(), won.first());
}

async fn an_account_knows_its_sessions_in_the_order_of_their_logins(store: Arc<dyn Store>) {
    let login = Clock::system().now();
    for n in [3, 1, 2] {
        let logged_in_at = login.plus(Duration::from_secs(n.into()));
        store.create(&Sample { logged_in_at, ..Sample::new(n) }.of("one").session()).await.unwrap();
    }
    store.create(&Sample::new(4).of("other").session()).await.unwrap();
    let handles = |all: &[u8]| {
        let member = |n: &u8| {
            let logged_in_at = login.plus(Duration::from_secs((*n).into()));
            Member { handle: Handle::new([*n; 16]), logged_in_at }
        };
        all.iter().map(member).collect::<Vec<_>>()
    };
    assert_eq!(store.members("one").await.unwrap(), handles(&[1, 2, 3]));
    store.remove(&Handle::new([2; 16]), "one").await.unwrap();
    assert_eq!(store.members("one").await.unwrap(), handles(&[1, 3]));
    assert_eq!(store.members("nobody").await.unwrap(), handles(&[]));
}

async fn a_survey_meets_every_session(store: Arc<dyn Store>) {
    let handle = |n: u16| Handle::new(std::array::from_fn(|at| if at < 2 { n.to_be_bytes()[at] } else { 0 }));
    for n in 0..1_500 {
        store.create(&Sample { handle: handle(n), ..Sample::new(1) }.session()).await.unwrap();
    }
    let (mut met, mut from) = (HashSet::new(), Some(Cursor::default()));
    while let Some(cursor) = from {
        let part = store.survey(cursor).await.unwrap();
        met.extend(part.handles);
        from = part.next;
    }
    assert_eq!(met, (0..1_500).map(handle).collect());
}

/// An hour's bucket, so that none drains by itself while a slow machine runs the test.
fn bucket(scope: &'static str, n: u8) -> Bucket {
    Bucket { name: BucketName { scope, digest: [n; 16] }, rate: rate::parse("5/h").unwrap() }
}

async fn of_all_who_ask_at_once_as_many_get_a_place_as_there_are(store: Arc<dyn Store>) {
    let now = Clock::system().now();
    let mut attempts = JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        attempts.spawn(async move { store.take(&bucket("user", n % 2), now).await.unwrap() });
    }
    let taken = attempts.join_all().await;
    assert_eq!(taken.iter().filter(|taken| matches!(taken, Taken::Place(_))).count(), 10);
    let wait = Duration::from_secs(720);
    assert_eq!(taken.iter().filter(|taken| **taken == Taken::Full(wait)).count(), 190);
}

async fn buckets_of_other_names_and_scopes_are_others(store: Arc<dyn Store>) {
    let now = Clock::system().now();
    for bucket in [bucket("user", 1), bucket("user", 2), bucket("client", 1)] {
        for _ in 0..5 {
            assert!(matches!(store.take(&bucket, now).await.unwrap(), Taken::Place(_)), "{bucket:?}");
        }
        assert!(matches!(store.take(&bucket, now).await.unwrap(), Taken::Full(_)), "{bucket:?}");
    }
}

async fn a_bucket_drains_evenly(store: Arc<dyn Store>) {
    let (bucket, now) = (bucket("user", 1), Clock::system().now());
    for _ in 0..5 {
        assert!(matches!(store.take(&bucket, now).await.unwrap(), Taken::Place(_)));
    }
    let (interval, millisecond) = (Duration::from_secs(720), Duration::from_millis(1));
    let later = now.plus(interval);
    assert_eq!(store.take(&bucket, later.minus(millisecond)).await.unwrap(), Taken::Full(millisecond));
    assert!(matches!(store.take(&bucket, later).await.unwrap(), Taken::Place(_)));
    assert_eq!(store.take(&bucket, later).await.unwrap(), Taken::Full(interval));
    assert_eq!(store.take(&bucket, now).await.unwrap(), Taken::Full(interval), "a clock that is behind");
}

async fn a_place_that_is_given_back_is_free_again_and_one_that_has_drained_is_not(store: Arc<dyn Store>) {
    let (bucket, now) = (bucket("user", 1), Clock::system().now());
    let mut places = Vec::new();
    while let Taken::Place(place) = store.take(&bucket, now).await.unwrap() {
        places.push(place);
    }
    assert_eq!(places.len(), 5);
    store.give_back(&bucket, places[4], now).await.unwrap();
    assert!(matches!(store.take(&bucket, now).await.unwrap(), Taken::Place(_)));
    assert!(matches!(store.take(&bucket, now).await.unwrap(), Taken::Full(_)));

    let later = now.plus(Duration::from_secs(720));
    assert!(matches!(store.take(&bucket, later).await.unwrap(), Taken::Place(_)));
    store.give_back(&bucket, places[0], later).await.unwrap();
    assert!(matches!(store.take(&bucket, later).await.unwrap(), Taken::Full(_)));
}

async fn every_store_counts_alike(store: Arc<dyn Store>) {
    let by_memory = open(StoreUrl::Memory, AMPLE, AMPLE);
    let (bucket, mut now) = (bucket("user", 1), Clock::system().now());
    let mut places = Vec::new();
    for step in 0..500_u64 {
        // A walk that is the same each time and meets every corner: by primes.
        now = now.plus(Duration::from_millis(step * 7_919 % 300_007));
        if step % 5 == 3 {
            let Some(place) = places.pop() else { continue };
            store.give_back(&bucket, place, now).await.unwrap();
            by_memory.give_back(&bucket, place, now).await.unwrap();
            continue;
        }
        let taken = store.take(&bucket, now).await.unwrap();
        assert_eq!(taken, by_memory.take(&bucket, now).await.unwrap(), "step {step}");
        if let Taken::Place(place) = taken {
            places.push(place);
        }
    }
    assert!(places.len() > 20, "{}", places.len());
}

async fn a_parcel_is_looked_at_often_and_collected_once(store: Arc<dyn Store>) {
    let (name, content) = (Handle::new([1; 16]), b"\x00any bytes\xff".repeat(10_000));
    let until = Clock::system().now().plus(Duration::from_secs(60));
    store.deposit(&Parcel { name: &name, content: b"before", until }).await.unwrap();
    store.deposit(&Parcel { name: &name, content: &content, until }).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.fetch(&name, Fetch::Look).await.unwrap().as_ref(), Some(&content));
    }
    assert_eq!(store.fetch(&Handle::new([2; 16]), Fetch::Collect).await.unwrap(), None);
    let mut collectors = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        collectors.spawn(async move { store.fetch(&name, Fetch::Collect).await.unwrap() });
    }
    let collected: Vec<Vec<u8>> = collectors.join_all().await.into_iter().flatten().collect();
    assert_eq!(collected, [content]);
    assert_eq!(store.fetch(&name, Fetch::Look).await.unwrap(), None);
}

async fn a_parcel_is_thrown_away_at_its_time_and_is_no_session(store: Arc<dyn Store>) {
    let (name, now) = (Handle::new([1; 16]), Clock::system().now());
    let parcel = Parcel { name: &name, content: b"anything", until: now.plus(AMPLE) };
    store.deposit(&parcel).await.unwrap();
    assert_eq!(store.load(&name).await.unwrap().record, None);
    assert!(store.survey(Cursor::default()).await.unwrap().handles.is_empty());
    store.deposit(&Parcel { until: now.minus(Duration::from_secs(1)), ..parcel }).await.unwrap();
    for how in [Fetch::Look, Fetch::Collect] {
        assert_eq!(store.fetch(&name, how).await.unwrap(), None);
    }
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
        a_transition_keeps_the_uses_in_between,
        a_transition_from_what_is_no_more_changes_nothing,
        a_transition_brings_nobody_back,
        a_transition_keeps_the_expiry,
        of_transitions_at_once_one_is_done,
        an_account_knows_its_sessions_in_the_order_of_their_logins,
        a_survey_meets_every_session,
        of_all_who_ask_at_once_as_many_get_a_place_as_there_are,
        buckets_of_other_names_and_scopes_are_others,
        a_bucket_drains_evenly,
        a_place_that_is_given_back_is_free_again_and_one_that_has_drained_is_not,
        every_store_counts_alike,
        a_parcel_is_looked_at_often_and_collected_once,
        a_parcel_is_thrown_away_at_its_time_and_is_no_session,
        it_gives_a_sign_of_life,
    ];
    memory, file, redis, redis_tls, redis_unix, redis_sentinel, redis_cluster
}
