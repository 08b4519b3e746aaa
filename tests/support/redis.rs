//! A real `redis-server` for one test, on a port of its own.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use foregate::base::clock::Stopwatch;
use tempfile::TempDir;

use super::authority::{Authority, Pair};

/// Far more than Redis ever needs: reaching it means that something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// How a server is to be started.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    configuration: Option<PathBuf>,
    password: Option<String>,
    directives: Vec<String>,
    tls: bool,
    port: Option<u16>,
    sentinel: Option<String>,
}

impl Builder {
    /// The file that it is configured by; what else is said goes before it.
    pub(crate) fn configuration(mut self, path: &Path) -> Self {
        self.configuration = Some(path.to_owned());
        self
    }

    /// The default user's password.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.directive("requirepass", password)
    }

    /// Every write is on disk before it is answered.
    pub(crate) fn appendonly(self) -> Self {
        self.directive("appendonly", "yes").directive("appendfsync", "always")
    }

    /// On a port besides, TLS with those who have a certificate of `authority`; the server shows `pair`.
    pub(crate) fn tls(mut self, authority: &Authority, pair: &Pair) -> Self {
        self.tls = true;
        let path = |path: &Path| path.to_str().expect("the path is ours").to_owned();
        self.directive("tls-ca-cert-file", &path(&authority.bundle()))
            .directive("tls-cert-file", &path(&pair.cert))
            .directive("tls-key-file", &path(&pair.key))
    }

    /// A user, as redis.conf describes one.
    pub(crate) fn user(mut self, description: &str) -> Self {
        self.directives.push("--user".to_owned());
        self.directives.extend(description.split(' ').map(str::to_owned));
        self
    }

    /// The same, and there is no other.
    pub(crate) fn only_user(self, description: &str) -> Self {
        self.user("default off").user(description)
    }

    /// On this port and no other: others have been told of it.
    pub(crate) fn on(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// A copy of the one at `port`, which is made at once.
    pub(crate) fn replica_of(mut self, port: u16) -> Self {
        self.directives.extend(["--replicaof", "127.0.0.1", &port.to_string()].map(str::to_owned));
        self.directive("repl-diskless-sync-delay", "0")
    }

    /// A sentinel; `config` is its file.
    pub(crate) fn sentinel(mut self, config: String) -> Self {
        self.sentinel = Some(config);
        self
    }

    /// A directive of redis.conf and its value.
    pub(crate) fn directive(mut self, name: &str, value: &str) -> Self {
        self.directives.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn start(self) -> RedisServer {
        let home = TempDir::new().expect("there is room for a directory");
        let mut server = RedisServer { how: self, home, port: 0, tls_port: 0, child: None };
        for _ in 0..20 {
            server.port = server.how.port.unwrap_or_else(free_port);
            server.tls_port = if server.how.tls { free_port() } else { 0 };
            if server.launch() {
                return server;
            }
        }
        panic!("redis-server starts on no port; it says:\n{}", server.log());
    }
}

/// A server, running or stopped; killed when dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    how: Builder,
    home: TempDir,
    port: u16,
    tls_port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// A server without a password and without persistence.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// A server that is yet to be described.
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks TLS.
    pub(crate) fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Its socket in the file system.
    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("redis.sock")
    }

    /// `redis://default:password@127.0.0.1:port/0`, without the first part where there is no password.
    pub(crate) fn url(&self) -> String {
        let password =
            self.how.password.as_ref().map(|password| format!("default:{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}/0", self.port)
    }

    /// What `redis-cli` prints for a command.
    pub(crate) fn cli(&self, command: &[&str]) -> String {
        let run = self.redis_cli().args(command).output().expect("redis-cli comes with redis-server");
        String::from_utf8(run.stdout).expect("redis-cli writes text").trim_end().to_owned()
    }

    /// What `redis-cli` prints for a command of a user who needs no password.
    pub(crate) fn cli_as(&self, user: &str, command: &[&str]) -> String {
        let url = format!("redis://{user}:none@127.0.0.1:{}", self.port);
        let mut cli = Command::new("redis-cli");
        cli.args(["--no-auth-warning", "-u", &url]).args(command);
        String::from_utf8(cli.output().unwrap().stdout).unwrap().trim_end().to_owned()
    }

    /// Ends it as an administrator does.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        self.reap();
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().expect("the child is ours");
        }
        self.reap();
    }

    /// Starts it again on its port, with what it has on disk.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.launch(), "redis-server does not come back; it says:\n{}", self.log());
    }

    /// Stops its clock: the kernel goes on accepting connections for it, and it answers nobody.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// Watches the commands that arrive from now on.
    pub(crate) fn monitor(&self) -> Monitor<'_> {
        Monitor::new(self)
    }

    fn redis_cli(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["--no-auth-warning", "-u", &self.url()]).stderr(Stdio::null());
        command
    }

    /// Whether it came up; it does not where somebody has taken the port.
    fn launch(&mut self) -> bool {
        let log = File::create(self.home.path().join("log")).expect("the directory is ours");
        let mut command = Command::new("redis-server");
        if let Some(config) = &self.how.sentinel {
            let file = self.home.path().join("sentinel.conf");
            fs::write(&file, config).expect("the directory is ours");
            command.arg(file).arg("--sentinel");
        }
        command.args(&self.how.configuration);
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""]);
        command.arg("--unixsocket").arg(self.socket()).args(["--tls-port", &self.tls_port.to_string()]);
        command.arg("--dir").arg(self.home.path()).args(&self.how.directives);
        let child = command.stdin(Stdio::null()).stdout(log).spawn();
        self.child = Some(child.unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => panic!("redis-server is missing: apt-get install redis-server"),
            _ => panic!("redis-server does not start: {error}"),
        }));
        self.wait_until_it_answers()
    }

    fn wait_until_it_answers(&mut self) -> bool {
        let waited = Stopwatch::start();
        while waited.elapsed() < PATIENCE {
            if self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|exit| exit.is_some())) {
                return false;
            }
            // Its own log says that it is this one, and not a stranger on the same port, who answers.
            let (log, ready) = (self.log(), ["Ready to accept connections", "Sentinel ID is"]);
            if ready.iter().any(|words| log.contains(words)) && self.answers() {
                return true;
            }
            thread::sleep(POLL);
        }
        false
    }

    /// Whether it answers, be it with a refusal; not while it loads.
    fn answers(&self) -> bool {
        let answer = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).map(|()| answer)
        });
        answer.is_ok_and(|answer| [*b"+PONG", *b"-NOAU", *b"-MAST"].contains(&answer))
    }

    fn signal(&self, name: &str) {
        let Some(child) = &self.child else { return };
        let kill = format!("kill -{name} {}", child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
        assert!(sent.success(), "{kill} fails");
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.wait().expect("the child is ours");
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What docs/operating.md would have redis.conf say of a store's user, without the words "user".
pub(crate) fn documented_user(password: &str) -> String {
    let text = manual();
    let line = text.lines().find_map(|line| line.strip_prefix("user foregate on >PASSWORD "));
    format!("foregate on >{password} {}", line.expect("the manual describes the user"))
}

/// The same for URLs of this scheme, with what that user needs besides.
pub(crate) fn documented_user_of(scheme: &str, password: &str) -> String {
    let text = manual();
    let row =
        text.lines().find(|line| line.starts_with(&format!("| `{scheme}:"))).expect("it is in the table");
    let besides = row.split('`').find(|cell| cell.starts_with('+')).expect("it needs something");
    format!("{} {}", documented_user(password), besides.replace('\\', ""))
}

fn manual() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    fs::read_to_string(path).expect("there is a manual")
}

/// The commands that a server gets, as `redis-cli MONITOR` prints them: `… "GET" "session:…"`.
pub(crate) struct Monitor<'a> {
    server: &'a RedisServer,
    watcher: Child,
    seen: Arc<Mutex<Vec<String>>>,
}

impl<'a> Monitor<'a> {
    fn new(server: &'a RedisServer) -> Self {
        let mut watcher = server.redis_cli().arg("MONITOR").stdout(Stdio::piped()).spawn().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, kept) = (BufReader::new(watcher.stdout.take().unwrap()).lines(), Arc::clone(&seen));
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        let monitor = Self { server, watcher, seen };
        monitor.wait_for("OK");
        monitor
    }

    /// All commands that have come so far. A marker of our own is sent and waited for, so none is missed.
    pub(crate) fn commands(&self) -> Vec<String> {
        static MARKERS: AtomicU64 = AtomicU64::new(0);
        let marker = format!("marker-{}", MARKERS.fetch_add(1, Ordering::Relaxed));
        self.server.cli(&["PING", &marker]);
        self.wait_for(&marker);
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|line| line.contains('"') && !line.contains("\"marker-")).cloned().collect()
    }

    /// How many of them are `name`; what a script runs counts, too.
    pub(crate) fn count(&self, name: &str) -> usize {
        let quoted = format!("] \"{name}\"");
        self.commands().iter().filter(|line| line.contains(&quoted)).count()
    }

    fn wait_for(&self, text: &str) {
        let waited = Stopwatch::start();
        while !self.seen.lock().unwrap().iter().any(|line| line.contains(text)) {
            assert!(waited.elapsed() < PATIENCE, "MONITOR does not show {text:?}");
            thread::sleep(POLL);
        }
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

/// A port that nobody listens on. They lie below those that the kernel hands out, and this process gives none
/// out twice, so that a server that is down for a while finds its port free.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = u16::try_from(process::id() % 200).expect("a small number") * 64;
        let port = 12_000 + offset + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
