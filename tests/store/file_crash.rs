//! A process that is killed, or whose disk is full, loses nothing that it has acknowledged.
//!
//! The process is this test program once more, told by a variable which file to use.

use std::collections::HashSet;
use std::io::{Read, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use foregate::base::handle::Handle;
use foregate::base::random::Random;
use foregate::config::Environment;
use foregate::store::{Store, Trouble};

use super::{Sample, open_file, record, touch};

const FILE: &str = "FOREGATE_TEST_FILE";

fn file_of_child() -> Option<PathBuf> {
    Environment::process().get(FILE).map(PathBuf::from)
}

/// This program, running the test `name` alone.
fn child(name: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("store::file_crash::{name}"), "--ignored", "--nocapture"]);
    command.env(FILE, file).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Logs in and out for ever, and says so: `+HANDLE` once a session is acknowledged, `?HANDLE` before it is
/// removed, `-HANDLE` once that is acknowledged.
#[test]
#[ignore = "the process that another test kills"]
fn a_child_that_is_killed() {
    let Some(file) = file_of_child() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open_file(&file);
        let mut visitors = tokio::task::JoinSet::new();
        for _ in 0..16 {
            visitors.spawn(come_and_go(Arc::clone(&store)));
        }
        visitors.join_all().await;
    });
}

async fn come_and_go(store: Arc<dyn Store>) {
    for n in (0..=u8::MAX).cycle() {
        let sample = Sample { handle: Handle::new(Random::system().bytes()), ..Sample::new(n) };
        store.create(&sample.session()).await.unwrap();
        say('+', &sample.handle);
        assert!(store.touch(&sample.handle, touch(1_700_000_060, sample.ends_at)).await.unwrap());
        if n % 3 == 0 {
            say('?', &sample.handle);
            assert!(store.remove(&sample.handle, &sample.account).await.unwrap().existed);
            say('-', &sample.handle);
        }
    }
}

fn say(what: char, handle: &Handle) {
    stdout().write_all(format!("{what}{handle}\n").as_bytes()).unwrap();
}

/// What a file must hold, and what it must not.
#[derive(Default)]
struct Promises {
    alive: HashSet<Handle>,
    gone: HashSet<Handle>,
}

impl Promises {
    /// A line without its end was not said.
    fn hear(&mut self, said: &str) {
        for line in said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let Some((what, Ok(handle))) = line.split_at_checked(1).map(|(what, rest)| (what, rest.parse()))
            else {
                continue;
            };
            match what {
                "+" => self.alive.insert(handle),
                "?" => self.alive.remove(&handle),
                "-" => self.gone.insert(handle),
                _ => false,
            };
        }
    }

    async fn are_kept_by(&self, store: &dyn Store) {
        for handle in &self.alive {
            assert!(
                store.load(handle).await.unwrap().record.is_some(),
                "{handle} was acknowledged and is lost"
            );
        }
        for handle in &self.gone {
            assert!(store.load(handle).await.unwrap().record.is_none(), "{handle} was removed and is back");
        }
    }
}

/// Kills a process so often, at any moment of its life; a new file each ten times.
async fn killed(times: u32) {
    let mut folder = tempfile::tempdir().unwrap();
    let (mut promises, mut acknowledged) = (Promises::default(), 0);
    for round in 0..times {
        if round % 10 == 0 {
            acknowledged += promises.alive.len();
            (folder, promises) = (tempfile::tempdir().unwrap(), Promises::default());
        }
        let file = folder.path().join("sessions.redb");
        let mut victim = child("a_child_that_is_killed", &file).spawn().unwrap();
        let mut output = victim.stdout.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut said = Vec::new();
            output.read_to_end(&mut said).map(|_| String::from_utf8_lossy(&said).into_owned())
        });
        sleep(Duration::from_millis(u64::from(u16::from_ne_bytes(Random::system().bytes()) % 300)));
        victim.kill().unwrap();
        victim.wait().unwrap();
        promises.hear(&said.join().unwrap().unwrap());
        promises.are_kept_by(&*open_file(&file)).await;
    }
    acknowledged += promises.alive.len();
    assert!(acknowledged > 0, "nobody logged in");
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    killed(5).await;
}

#[tokio::test]
#[ignore = "long: 100 kills"]
async fn what_was_acknowledged_outlives_a_hundred_kills() {
    killed(100).await;
}

/// Fills the file up to the limit that this process was started with, then lifts the limit.
#[tokio::test]
#[ignore = "the process that another test gives little room"]
async fn a_child_without_room() {
    let Some(file) = file_of_child() else { return };
    let store = open_file(&file);
    let mut kept = Vec::new();
    let refusal = loop {
        let sample = large_sample();
        match store.create(&sample.session()).await {
            Ok(()) => kept.push(sample),
            Err(refusal) => break refusal,
        }
        assert!(kept.len() < 1000, "the limit does not hold");
    };
    assert_eq!(refusal.kind, Trouble::Full, "{refusal:?}");
    assert!(kept.len() > 10, "{} sessions fit", kept.len());
    let again = store.create(&large_sample().session()).await.unwrap_err();
    assert_eq!(again.kind, Trouble::Full, "{again:?}");
    for sample in &kept {
        assert_eq!(store.load(&sample.handle).await.unwrap().record.as_ref(), Some(&sample.record));
    }
    assert!(store.touch(&kept[0].handle, touch(1_700_000_060, kept[0].ends_at)).await.unwrap());

    let limit = ["--fsize=unlimited", "--pid", &std::process::id().to_string()];
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());
    let room = Stopwatch::start();
    while store.create(&large_sample().session()).await.is_err() {
        assert!(room.elapsed() < Duration::from_secs(5), "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(store);
    let store = open_file(&file);
    for sample in &kept {
        assert!(store.load(&sample.handle).await.unwrap().record.is_some());
    }
}

fn large_sample() -> Sample {
    let record = [record(1_700_000_000, 0), vec![b' '; 8 * 1024]].concat();
    Sample { handle: Handle::new(Random::system().bytes()), record, ..Sample::new(0) }
}

#[test]
fn a_full_disk_refuses_logins_and_knows_its_sessions_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let poor = child("a_child_without_room", &folder.path().join("sessions.redb"));
    // A process that ignores SIGXFSZ is told of its limit as of a full disk.
    let script = "trap '' XFSZ; ulimit -S -f 1024; exec \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(poor.get_program()).args(poor.get_args());
    shell.env(FILE, folder.path().join("sessions.redb"));
    let outcome = shell.output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success() && said.contains("1 passed"), "{said} {outcome:?}");
}
