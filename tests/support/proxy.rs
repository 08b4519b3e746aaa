//! A whole proxy within the test: ports of its own, a clock that moves by hand, logs that can be read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use foregate::app::{App, Control, ReloadError, StartError, World};
use foregate::base::clock::{Clock, ClockHand};
use foregate::base::random::Random;
use foregate::config::{self, Environment};
use foregate::listener::PassedSockets;
use foregate::telemetry::{Captured, Format, Lines, Logs, Metrics};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::authority::{Authority, Pair};
use super::client::{Client, Jar};
use super::upstream::Upstream;

/// The host that the proxy's certificate is for.
pub(crate) const HOST: &str = "app.test";

/// The secret that test sessions are signed with.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Alice's and Bob's passwords.
pub(crate) const ALICE: (&str, &str) = ("alice", "correct horse");
/// See [`ALICE`].
pub(crate) const BOB: (&str, &str) = ("bob", "battery staple");

/// What a browser calls itself.
pub(crate) const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// A proxy to be.
pub(crate) struct Setup {
    folder: TempDir,
    routes: Vec<String>,
    sections: Vec<String>,
    store: String,
    secret: String,
    session: String,
    server: String,
    identity: Option<Identity>,
    users: String,
}

/// A certificate, and those who trust it.
struct Identity {
    pair: Pair,
    authority: PathBuf,
}

/// A proxy in front of `upstream`, with the one route `/` for signed-in users.
pub(crate) fn proxy(upstream: &Upstream) -> Setup {
    let address = upstream.address();
    Setup {
        folder: tempfile::tempdir().unwrap(),
        routes: Vec::new(),
        sections: vec![format!("[upstream.app]\nservers = [\"http://{address}\"]")],
        store: "url = \"memory:\"".to_owned(),
        secret: SECRET.to_owned(),
        session: String::new(),
        server: String::new(),
        identity: None,
        users: [user(ALICE, &["staff", "admins"]), user(BOB, &["staff"])].concat(),
    }
}

/// The hash of a password, for so many KiB.
pub(crate) fn hash(password: &str, memory: u32) -> String {
    use argon2::password_hash::PasswordHasher;
    let params = argon2::Params::new(memory, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    hasher.hash_password_with_salt(password.as_bytes(), b"saltsaltsaltsalt").unwrap().to_string()
}

/// A user of the test's; the hash is as cheap as it may be.
fn user((name, password): (&str, &str), groups: &[&str]) -> String {
    let hash = hash(password, 8);
    let groups = groups.join("\", \"");
    format!(
        "[users.{name}]\npassword = \"{hash}\"\nemail = \"{name}@example.com\"\ngroups = [\"{groups}\"]\n"
    )
}

impl Setup {
    /// Adds a route to the upstream; `keys` are further lines.
    pub(crate) fn route(mut self, path: &str, keys: &str) -> Self {
        self.routes.push(format!("[[route]]\npath = \"{path}\"\nupstream = \"app\"\n{keys}"));
        self
    }

    /// Adds a section as it stands in the file.
    pub(crate) fn section(mut self, text: &str) -> Self {
        self.sections.push(text.to_owned());
        self
    }

    /// Lines of `[session.store]`. A use that a busy disk takes longer for than the command timeout goes unrecorded, so
    /// a file is given its time.
    pub(crate) fn store(mut self, keys: &str) -> Self {
        let is_hasty = keys.contains("\"file:") && !keys.contains("command_timeout");
        self.store = if is_hasty { format!("{keys}\ncommand_timeout = \"10s\"") } else { keys.to_owned() };
        self
    }

    /// Another secret than [`SECRET`].
    pub(crate) fn secret(mut self, secret: &str) -> Self {
        self.secret = secret.to_owned();
        self
    }

    /// Another users' file than that of [`ALICE`] and [`BOB`].
    pub(crate) fn users(mut self, text: &str) -> Self {
        self.users = text.to_owned();
        self
    }

    /// Lines of `[session]`.
    pub(crate) fn session(mut self, keys: &str) -> Self {
        self.session = keys.to_owned();
        self
    }

    /// Lines of `[server]`.
    pub(crate) fn server(mut self, keys: &str) -> Self {
        self.server = keys.to_owned();
        self
    }

    /// Production, with a certificate by `authority`.
    pub(crate) fn production(mut self, authority: &Authority) -> Self {
        self.identity = Some(Identity { pair: authority.issue(HOST), authority: authority.bundle() });
        self
    }

    /// The lines that tell production from development: the mode, a certificate, and where the secret is.
    fn mode(&self) -> [String; 3] {
        match &self.identity {
            None => [
                "development".to_owned(),
                format!("[tls]\nself_signed = [\"{HOST}\", \"localhost\", \"127.0.0.1\"]"),
                format!("\"{}\"", self.secret),
            ],
            Some(Identity { pair: Pair { cert, key }, .. }) => [
                "production".to_owned(),
                format!("[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}"),
                "{ file = \"session.secret\" }".to_owned(),
            ],
        }
    }

    fn text(&self) -> String {
        let Self { session, store, server, .. } = self;
        let [mode, tls, secret] = self.mode();
        let routes = if self.routes.is_empty() {
            "[[route]]\nupstream = \"app\"\n".to_owned()
        } else {
            self.routes.join("\n")
        };
        format!(
            "mode = \"{mode}\"\n\
             [server]\nhttps = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nshutdown_grace = \"5s\"\n{server}\n\
             {tls}\n\
             [session]\nsecret = {secret}\n{session}\n\
             [session.store]\n{store}\n\
             {sections}\n{routes}\n",
            sections = self.sections.join("\n"),
        )
    }

    /// Writes the files; returns the configuration's path.
    pub(crate) fn write(&self) -> PathBuf {
        let path = self.folder.path().join("proxy.toml");
        std::fs::write(&path, self.text()).unwrap();
        std::fs::write(self.folder.path().join("users.toml"), &self.users).unwrap();
        std::fs::write(self.folder.path().join("session.secret"), &self.secret).unwrap();
        path
    }

    /// Starts it.
    pub(crate) fn start(self) -> Proxy {
        let clock = ClockHand::at(Clock::system().now());
        self.launch(clock).unwrap_or_else(|error| panic!("the proxy does not start: {error}"))
    }

    fn launch(self, clock: ClockHand) -> Result<Proxy, StartError> {
        let path = self.write();
        let loaded = config::load(&path, &Environment::from_pairs::<String, String>([]));
        let config = loaded.unwrap_or_else(|faults| panic!("{faults}\n{}", self.text())).config;
        let ((main, log), (audit, events)) = (Lines::captured(), Lines::captured());
        let logs = Logs { main, audit, format: Format::Json };
        let (passed, random) = (PassedSockets::default(), Random::system());
        let world = World { clock: clock.clock(), random, logs: logs.clone(), passed };
        let app = App::build(&config, &world)?;
        let (https, http) = (app.https_addresses()[0], app.http_addresses()[0]);
        let admin = app.admin_addresses().unwrap()[0];
        let plain = app.plain_addresses().first().copied();
        let metrics = Arc::clone(app.metrics());
        let control = app.control();
        let running = tokio::spawn(app.run());
        let made = self.folder.path().join(format!("certs/{HOST}.crt"));
        let certificate = self.identity.as_ref().map_or(made, |identity| identity.authority.clone());
        Ok(Proxy {
            https,
            http,
            admin,
            plain,
            clock,
            metrics,
            control,
            certificate,
            logs,
            log,
            events,
            running: Some(running),
            folder: self.folder,
        })
    }
}

/// A proxy that runs.
pub(crate) struct Proxy {
    /// Where it serves.
    pub(crate) https: SocketAddr,
    /// Where it redirects.
    pub(crate) http: SocketAddr,
    /// Where the admin listener answers.
    pub(crate) admin: SocketAddr,
    /// Where it serves in the clear, if it does.
    pub(crate) plain: Option<SocketAddr>,
    /// Its time.
    pub(crate) clock: ClockHand,
    /// What it counts.
    pub(crate) metrics: Arc<Metrics>,
    /// The certificate that clients have to trust.
    pub(crate) certificate: PathBuf,
    control: Control,
    logs: Logs,
    log: Captured,
    events: Captured,
    running: Option<JoinHandle<()>>,
    folder: TempDir,
}

impl Proxy {
    /// A client that trusts its certificate.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.https, &self.certificate)
    }

    /// Where its files lie.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A browser's cookies after logging in as `user`.
    pub(crate) async fn logged_in(&self, user: (&str, &str)) -> Jar {
        let mut jar = Jar::default();
        let response = self.client().log_in(&mut jar, user, "").await;
        assert_eq!(response.status, 303, "{response:#?}");
        jar
    }

    /// A browser's cookies after logging in as `user`, who asked to stay signed in.
    pub(crate) async fn remembered(&self, user: (&str, &str)) -> Jar {
        let mut jar = Jar::default();
        let response = self.client().log_in_to_stay(&mut jar, user).await;
        assert_eq!(response.status, 303, "{response:#?}");
        jar
    }

    /// The cookies of a browser of the name `agent` after logging in as `user`.
    pub(crate) async fn logged_in_from(&self, agent: &str, user: (&str, &str)) -> Jar {
        let mut jar = Jar::default();
        let response = self.client().log_in_from(agent, &mut jar, user).await;
        assert_eq!(response.status, 303, "{response:#?}");
        jar
    }

    /// The audit records so far.
    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        self.logs.flush();
        self.events.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The audit records of one event.
    pub(crate) fn events(&self, event: &str) -> Vec<serde_json::Value> {
        self.audit().into_iter().filter(|record| record["event"] == event).collect()
    }

    /// The access lines so far.
    pub(crate) fn access_log(&self) -> String {
        self.logs.flush();
        self.log.text()
    }

    /// The value of a counter, by the line that stands before it in the metrics.
    pub(crate) fn count(&self, metric: &str) -> u64 {
        let text = self.metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        line.map_or(0, |number| number.parse().unwrap())
    }

    /// Puts `setup` into its folder and has it read again, as SIGHUP does; secrets, users and certificates stay.
    pub(crate) async fn reload(&self, setup: &str) -> Result<(), ReloadError> {
        let path = self.folder.path().join("proxy.toml");
        std::fs::write(&path, setup).unwrap();
        self.control.reload(config::load(&path, &Environment::from_pairs::<String, String>([]))).await
    }

    /// The text of its configuration.
    pub(crate) fn configuration(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("proxy.toml")).unwrap()
    }

    /// Asks it to stop, as SIGTERM does.
    pub(crate) fn stop(&self) {
        self.control.stop();
    }

    /// Ends its patience with what is under way, as a second SIGTERM does.
    pub(crate) fn hurry(&self) {
        self.control.hurry();
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(mut self) {
        self.control.stop();
        let running = self.running.take().unwrap();
        tokio::time::timeout(Duration::from_secs(20), running).await.expect("the proxy stops").unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.control.hurry();
    }
}
