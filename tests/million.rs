//! One million sessions in a Redis: what looks through them never holds it up, and a look-up costs what it did.

use std::io::{BufWriter, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foregate::app::directory;
use foregate::base::clock::{Clock, Stopwatch, Timestamp};
use foregate::base::handle::Handle;
use foregate::base::identity::{Account, Identity};
use foregate::base::random::Random;
use foregate::base::request_id::RequestId;
use foregate::base::secret::Secret;
use foregate::base::signed::Secrets;
use foregate::config::{self, Config, Environment};
use foregate::http::{Authority, Intent, RequestContext, RequestKind, Scheme, Target};
use foregate::session::{Directory, Remember, SessionMemory, Sessions, Surroundings};
use foregate::store::{
    Answer, Bucket, Cursor, Fetch, Loaded, Member, NewSession, Parcel, Part, Place, Removed, Replaced, Store,
    Taken, Touch, Transition,
};
use foregate::telemetry::{Audit, Lines, Metrics};
use http::{HeaderMap, HeaderValue, Method};
use tokio_util::task::TaskTracker;

use crate::support::command::run;
use crate::support::proxy::{FIREFOX, SECRET, proxy};
use crate::support::redis::RedisServer;
use crate::support::report;
use crate::support::silent_world;
use crate::support::upstream::upstream;

const MILLION: usize = 1_000_000;
const ACCOUNTS: usize = 50_000;
const LOOKED_UP: usize = 2_000;

/// No command may take this long, in microseconds.
const TOO_LONG: u64 = 10_000;

/// A store that writes what is to lie in Redis to `redis-cli --pipe`, and nothing else.
#[derive(Debug)]
struct Piped(Mutex<BufWriter<ChildStdin>>);

impl Piped {
    fn to(redis: &RedisServer) -> (Self, Child) {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &redis.port().to_string(), "--pipe"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        (Self(Mutex::new(BufWriter::new(stdin))), child)
    }

    fn write(&self, command: &[&[u8]]) {
        let mut pipe = self.0.lock().unwrap();
        write!(pipe, "*{}\r\n", command.len()).unwrap();
        for word in command {
            write!(pipe, "${}\r\n", word.len()).unwrap();
            pipe.write_all(word).unwrap();
            pipe.write_all(b"\r\n").unwrap();
        }
    }
}

impl Store for Piped {
    fn create<'a>(&'a self, session: &'a NewSession<'a>) -> Answer<'a, ()> {
        let NewSession { handle, account, record, .. } = session;
        let (key, index) = (format!("session:{handle}"), format!("session-user:{account}"));
        let at = session.logged_in_at.millis().to_string();
        self.write(&[b"ZADD", index.as_bytes(), at.as_bytes(), handle.to_string().as_bytes()]);
        let until = session.expires_at.millis().to_string();
        self.write(&[b"SET", key.as_bytes(), record, b"PXAT", until.as_bytes()]);
        Box::pin(async { Ok(()) })
    }

    fn load<'a>(&'a self, _: &'a Handle) -> Answer<'a, Loaded> {
        unreachable!()
    }

    fn touch<'a>(&'a self, _: &'a Handle, _: Touch) -> Answer<'a, bool> {
        unreachable!()
    }

    fn replace<'a>(&'a self, _: &'a Handle, _: Transition<'a>) -> Answer<'a, Replaced> {
        unreachable!()
    }

    fn remove<'a>(&'a self, _: &'a Handle, _: &'a str) -> Answer<'a, Removed> {
        unreachable!()
    }

    fn members<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<Member>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn take<'a>(&'a self, _: &'a Bucket, _: Timestamp) -> Answer<'a, Taken> {
        unreachable!()
    }

    fn give_back<'a>(&'a self, _: &'a Bucket, _: Place, _: Timestamp) -> Answer<'a, ()> {
        unreachable!()
    }

    fn deposit<'a>(&'a self, _: &'a Parcel<'a>) -> Answer<'a, ()> {
        unreachable!()
    }

    fn fetch<'a>(&'a self, _: &'a Handle, _: Fetch) -> Answer<'a, Option<Vec<u8>>> {
        unreachable!()
    }

    fn survey(&self, _: Cursor) -> Answer<'_, Part> {
        unreachable!()
    }

    fn ping(&self) -> Answer<'_, ()> {
        unreachable!()
    }
}

fn surroundings(config: &Config, store: Arc<dyn Store>, tasks: &TaskTracker) -> Surroundings {
    let clock = Clock::system();
    Surroundings {
        store,
        memory: SessionMemory::new(&config.session.cache, clock.clone()),
        tasks: tasks.clone(),
        clock: clock.clone(),
        random: Random::system(),
        audit: Audit::new(Lines::nowhere().unwrap(), clock),
        metrics: Arc::new(Metrics::new()),
    }
}

/// A login as the gateway sees it.
fn login() -> (RequestContext, HeaderMap) {
    let context = RequestContext {
        id: RequestId::new(Random::system()),
        client: [192, 0, 2, 7].into(),
        hops: vec![[192, 0, 2, 7].into()],
        scheme: Scheme::Https,
        authority: Authority::parse("app.test").unwrap(),
        method: Method::POST,
        intent: Intent::Change,
        target: Target::parse("/_foregate/login", None).unwrap(),
        kind: RequestKind::Navigation,
        cross_site: false,
    };
    let agent = HeaderValue::from_static(FIREFOX);
    (context, HeaderMap::from_iter([(http::header::USER_AGENT, agent)]))
}

/// Logs users in, as often as `sessions` says.
async fn fill(redis: &RedisServer, config: &Config, count: usize) {
    let (pipe, child) = Piped::to(redis);
    let secrets = Secrets { current: Secret::new(SECRET.as_bytes().to_vec()), previous: Vec::new() };
    let tasks = TaskTracker::new();
    let around = surroundings(config, Arc::new(pipe), &tasks);
    let (sessions, toucher) = Sessions::new(&config.session, &secrets, around);
    let (context, headers) = login();
    for number in 0..count {
        let user = format!("user{}", number % ACCOUNTS);
        let identity = Identity {
            account: Account::local(&user),
            email: Some(format!("{user}@example.com")),
            user,
            name: None,
            groups: vec!["staff".to_owned()],
        };
        sessions.begin(&context, &headers, &identity, Remember::No).await.unwrap();
    }
    drop((sessions, toucher));
    tasks.close();
    tasks.wait().await;
    let piped = child.wait_with_output().unwrap();
    let said = String::from_utf8(piped.stdout).unwrap();
    assert!(said.contains(&format!("errors: 0, replies: {}", 2 * count)), "{said}");
}

/// How long a look-up takes, in the middle and at the worst of a hundred.
async fn look_up(directory: &Directory) -> (Duration, Duration) {
    let handles: Vec<Handle> =
        directory.list(None, LOOKED_UP).await.unwrap().iter().map(|session| session.handle).collect();
    let mut times = Vec::new();
    for handle in handles.iter().cycle().take(LOOKED_UP) {
        let watch = Stopwatch::start();
        assert!(directory.find(handle).await.unwrap().is_some());
        times.push(watch.elapsed());
    }
    times.sort();
    (times[LOOKED_UP / 2], times[LOOKED_UP * 99 / 100])
}

/// Microseconds that Redis itself spends on a `GET`.
fn cost_of_get(redis: &RedisServer) -> f64 {
    let stats = redis.cli(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_get:")).unwrap();
    line.split(',').find_map(|fact| fact.strip_prefix("usec_per_call=")).unwrap().parse().unwrap()
}

/// The longest of the commands that the slow log has, in microseconds, and how many took a millisecond.
fn slowest(redis: &RedisServer) -> (u64, u64) {
    let script = "local log = redis.call('SLOWLOG', 'GET', -1) local most = 0 \
                  for _, entry in ipairs(log) do most = math.max(most, entry[3]) end return {most, #log}";
    let told = redis.cli(&["EVAL", script, "0"]);
    let mut numbers = told.lines().map(|line| line.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a million sessions take minutes and a gigabyte"]
async fn a_million_sessions_hold_nobody_up() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let setup = proxy(&upstream).store(&format!("url = \"{}\"", redis.url()));
    let path = setup.write();
    let folder = path.parent().unwrap().to_owned();
    let environment = Environment::from_pairs::<String, String>([]);
    let config = config::load(&path, &environment).unwrap_or_else(|faults| panic!("{faults}")).config;
    let directory = directory(&config, &silent_world()).unwrap();

    fill(&redis, &config, 10).await;
    look_up(&directory).await;
    redis.cli(&["CONFIG", "RESETSTAT"]);
    let few = look_up(&directory).await;
    let cost_of_few = cost_of_get(&redis);

    let watch = Stopwatch::start();
    fill(&redis, &config, MILLION - 10).await;
    report(&format!("a million sessions: made in {:?}", watch.elapsed()));
    redis.cli(&["CONFIG", "SET", "slowlog-max-len", "100000"]);
    redis.cli(&["CONFIG", "SET", "slowlog-log-slower-than", "1000"]);
    redis.cli(&["SLOWLOG", "RESET"]);
    redis.cli(&["CONFIG", "RESETSTAT"]);

    let many = look_up(&directory).await;
    let cost_of_many = cost_of_get(&redis);
    report(&format!(
        "a look-up (median, p99; within Redis): {few:?}, {cost_of_few} µs with ten; \
         {many:?}, {cost_of_many} µs with a million"
    ));
    for (args, says) in [
        (&["sessions", "count"][..], "1000000\n"),
        (&["sessions", "list", "--limit", "50"], "user"),
        (&["sessions", "list", "--user", "user7"], "user7"),
    ] {
        let watch = Stopwatch::start();
        let outcome = run(&folder, args, "");
        report(&format!("foregate {}: {:?}", args.join(" "), watch.elapsed()));
        assert!(outcome.code == 0 && outcome.stdout.contains(says), "{args:?}: {outcome:?}");
    }
    let (most, long) = slowest(&redis);
    report(&format!("the longest command: {most} µs; {long} took 1 ms or more"));
    assert!(most < TOO_LONG, "{most} µs");
    // A busy machine blurs microseconds; what grew with the number of sessions would take a thousand times as long.
    assert!(many.0 < few.0 + Duration::from_millis(1), "{few:?} {many:?}");
}
