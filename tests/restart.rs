//! One process takes the place of another, and nobody who connects meanwhile is refused or broken off.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::client::{Client, Jar};
use crate::support::command::{Running, foregate};
use crate::support::proxy::{HOST, proxy};
use crate::support::redis::RedisServer;
use crate::support::report;
use crate::support::settle::eventually;
use crate::support::upstream::{Upstream, answer};

const PUBLIC: &str = "access = \"public\"\n";

/// What runs `foregate run` in `folder` with `socket`, by this name, as systemd does.
fn activated(folder: &Path, socket: &TcpListener, name: &str) -> Command {
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap();
    let program = foregate(folder, &["run"]);
    let mut command = Command::new("bash");
    let number = socket.as_raw_fd();
    let script = format!(
        "exec 3<&{number}; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}; exec \"$0\" \"$@\""
    );
    command.arg("-c").arg(script).arg(program.get_program()).args(program.get_args());
    command.current_dir(folder).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

/// An application whose `/download` comes to its end when the gate is opened.
async fn application(gate: &Arc<Semaphore>) -> Upstream {
    let gate = Arc::clone(gate);
    Upstream::talking(move |request, mut line| {
        let gate = Arc::clone(&gate);
        async move {
            if request.target() != "/download" {
                line.send(answer("200 OK", &[("Connection", "close")], "hello")).await;
                return;
            }
            line.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
            let _open = gate.acquire().await;
            line.send("half").await;
        }
    })
    .await
}

/// Asks on a new connection each time until `done`, and counts; says what went wrong.
async fn load(client: Client, asked: Arc<AtomicUsize>, done: CancellationToken) -> Vec<String> {
    let mut failures = Vec::new();
    while !done.is_cancelled() {
        asked.fetch_add(1, Ordering::Relaxed);
        // A task of its own: a client that is refused panics.
        let client = client.clone();
        let one = tokio::spawn(async move { client.get("/", &Jar::default()).await.status });
        match one.await {
            Ok(200) => {}
            Ok(status) => failures.push(status.to_string()),
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures
}

/// Puts `successor` in the place of `running` while requests come and a download is under way.
async fn replace(
    address: SocketAddr,
    folder: &Path,
    gate: &Semaphore,
    exchange: impl FnOnce() -> (Running, Running) + Send + 'static,
) {
    let client = Client::new(address, &folder.join(format!("certs/{HOST}.crt")));
    let (asked, done) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let asking: JoinSet<_> = (0..8).map(|_| load(client.clone(), Arc::clone(&asked), done.clone())).collect();
    let hundred_more = async || {
        let enough = asked.load(Ordering::Relaxed) + 100;
        eventually("a hundred more have asked", async || asked.load(Ordering::Relaxed) > enough).await;
    };
    hundred_more().await;
    let downloading = client.clone();
    let download = tokio::spawn(async move { downloading.get("/download", &Jar::default()).await.body });
    let exchanged = tokio::task::spawn_blocking(exchange);
    gate.add_permits(1);
    let (mut old, mut new) = exchanged.await.unwrap();
    hundred_more().await;
    done.cancel();
    let failures = asking.join_all().await.concat();
    let asked = asked.load(Ordering::Relaxed);
    report(&format!("a restart beside {asked} requests: {} refused or broken", failures.len()));
    assert_eq!(failures, Vec::<String>::new(), "of {asked}");
    assert_eq!(download.await.unwrap(), "halfhalf");
    assert_eq!(old.ended(), Some(0));
    new.signal("TERM");
    assert_eq!(new.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_is_passed_on_outlasts_the_process() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = application(&gate).await;
    let setup = proxy(&upstream).route("/", PUBLIC);
    let path = setup.write();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("https = [\"127.0.0.1:0\"]", "https = [\"fd:web\"]")).unwrap();
    let folder = path.parent().unwrap().to_owned();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut old = Running::start(activated(&folder, &socket, "web"));
    old.logged("serving https");
    let address = socket.local_addr().unwrap();
    let place = folder.clone();
    replace(address, &folder, &gate, move || {
        old.signal("TERM");
        old.ended();
        let mut new = Running::start(activated(&place, &socket, "web"));
        new.logged("serving https");
        (old, new)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_with_the_same_sessions_listen_side_by_side() {
    let gate = Arc::new(Semaphore::new(0));
    let (upstream, redis) = (application(&gate).await, RedisServer::start());
    let place = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = proxy(&upstream).route("/", PUBLIC).store(&format!("url = \"{}\"", redis.url()));
    let path = setup.write();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("https = [\"127.0.0.1:0\"]", &format!("https = [\"{place}\"]"))).unwrap();
    let folder = path.parent().unwrap().to_owned();
    let mut old = Running::start(foregate(&folder, &["run"]));
    old.logged("serving https");
    let beside = folder.clone();
    replace(place, &folder, &gate, move || {
        let mut new = Running::start(foregate(&beside, &["run"]));
        new.logged("serving https");
        old.signal("TERM");
        old.ended();
        (old, new)
    })
    .await;
}

#[test]
fn a_socket_that_is_not_there_is_named_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let text = "mode = \"development\"\n[server]\nhttps = [\"fd:https\"]\nhttp = []\nadmin = \"off\"\n\
        [tls]\nself_signed = [\"localhost\"]\n[session.store]\nurl = \"memory:\"\n\
        [upstream.app]\nservers = [\"http://127.0.0.1:9\"]\n[[route]]\nupstream = \"app\"\n";
    fs::write(folder.path().join("proxy.toml"), text).unwrap();
    let outcome = crate::support::command::run(folder.path(), &["run"], "");
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("no socket named \"https\" was passed"), "{}", outcome.stderr);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut running = Running::start(activated(folder.path(), &socket, "web"));
    assert!(running.rest().contains("passed were web"));
    assert_eq!(running.ended(), Some(2));
}
