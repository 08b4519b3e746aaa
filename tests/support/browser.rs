//! Chromium, driven by chromedriver, in a profile of its own. The protocol is JSON over HTTP (W3C `WebDriver`).

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as BlockingStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foregate::base::clock::Stopwatch;
use http::header::HOST;
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpStream;
use x509_parser::parse_x509_certificate;

use super::command::Running;

/// Far more than any page needs, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// How long a browser that has ended may still write.
const LINGERING: Duration = Duration::from_secs(2);

/// The name under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Nothing but the pages of the test is asked for: not the network, not the vendor, not a proxy.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    "--no-proxy-server",
    "--force-color-profile=srgb",
];

/// Where names lead, but for those of a test.
const ELSEWHERE: &str = "MAP *.test 127.0.0.1, MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";

/// Whether pages may run theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scripts {
    On,
    Off,
}

/// What the person prefers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A browser; ended when dropped.
pub(crate) struct Browser {
    driver: SocketAddr,
    session: String,
    process: Pid,
    _chromedriver: Running,
    /// What the two write, the profile above all.
    folder: TempDir,
}

/// Whether an element was of a page that the browser has left meanwhile. Chromium has two ways to say it.
fn was_left(error: &str) -> bool {
    error.contains("stale element") || error.contains("does not belong to the document")
}

impl Browser {
    /// One that trusts `certificate` as it would any other: an exception made for a bad one changes what is cached.
    pub(crate) async fn start(scripts: Scripts, certificate: &Path) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), &flags_for(certificate), scripts).await
    }

    /// One that has the authority of `bundle` in its own store: what comes from those whom it vouches for is like any
    /// website, HSTS included. `hosts` is where names lead, as Chromium's `--host-resolver-rules` has it.
    pub(crate) async fn trusting(bundle: &Path, hosts: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join(".pki/nssdb");
        fs::create_dir_all(&store).unwrap();
        let store = format!("sql:{}", store.display());
        let certutil = |args: &[&str]| {
            let done = Command::new("certutil").args(["-d", &store]).args(args).output();
            let done = done.expect("certutil is missing: apt-get install libnss3-tools");
            assert!(done.status.success(), "{done:?}");
        };
        certutil(&["-N", "--empty-password"]);
        certutil(&["-A", "-t", "C,,", "-n", "authority", "-i", &bundle.display().to_string()]);
        let mut flags = flags();
        flags.push(format!("--host-resolver-rules={hosts}, {ELSEWHERE}"));
        Self::launch(home, &flags, Scripts::On).await
    }

    async fn launch(folder: TempDir, flags: &[String], scripts: Scripts) -> Self {
        let (chromedriver, said) = driver(&folder);
        let port = said.trim().trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        let driver = SocketAddr::from(([127, 0, 0, 1], port));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "timeouts": { "implicit": PATIENCE.as_millis() },
            "goog:chromeOptions": { "args": flags, "prefs": preferences(scripts) },
        }}});
        let begun = command_to(driver, Method::POST, "/session", &wanted).await.unwrap();
        let (session, process) = (text(&begun["sessionId"]), &begun["capabilities"]["goog:processID"]);
        let process = process.as_i64().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let process = process.expect("the driver says which process is the browser");
        Self { driver, session, process, _chromedriver: chromedriver, folder }
    }

    /// Opens an address, and waits until its page is there.
    pub(crate) async fn open(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// What the address bar shows.
    pub(crate) async fn address(&self) -> String {
        text(&self.read("url").await)
    }

    /// Waits until the address bar shows `url`.
    pub(crate) async fn arrives_at(&self, url: &str) {
        let waited = Stopwatch::start();
        loop {
            let address = self.address().await;
            if address == url {
                return;
            }
            assert!(waited.elapsed() < PATIENCE, "it stands at {address} instead of {url}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Back in the history.
    pub(crate) async fn go_back(&self) {
        self.post("back", json!({})).await;
    }

    /// All that the page says.
    pub(crate) async fn page(&self) -> String {
        self.text_of("body").await
    }

    /// Clicks the one button or link that is called `name`.
    pub(crate) async fn press(&self, name: &str) {
        let path = format!("//*[self::a or self::button][normalize-space()='{name}']");
        let found = self.post("element", json!({ "using": "xpath", "value": path })).await;
        self.post(&format!("element/{}/click", text(&found[ELEMENT])), json!({})).await;
    }

    /// Types into the field of that name.
    pub(crate) async fn fill(&self, field: &str, keys: &str) {
        let element = self.element(&format!("[name={field}]")).await;
        self.post(&format!("element/{element}/value"), json!({ "text": keys })).await;
    }

    /// Types into whatever has the focus.
    pub(crate) async fn type_keys(&self, keys: &str) {
        let presses = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })));
        let presses: Vec<Value> = presses.collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": presses });
        self.post("actions", json!({ "actions": [keyboard] })).await;
    }

    /// The text of the first element that matches, once there is one.
    pub(crate) async fn text_of(&self, selector: &str) -> String {
        loop {
            let element = self.element(selector).await;
            let path = format!("/session/{}/element/{element}/text", self.session);
            match command_to(self.driver, Method::GET, &path, &Value::Null).await {
                Ok(read) => return text(&read),
                Err(error) if was_left(&error) => {}
                Err(error) => panic!("the text of {selector}: {error}"),
            }
        }
    }

    /// Waits until the first element that matches says `words`: on a page at the same address as the one before.
    pub(crate) async fn says(&self, selector: &str, words: &str) {
        let waited = Stopwatch::start();
        loop {
            let said = self.text_of(selector).await;
            if said == words {
                return;
            }
            assert!(waited.elapsed() < PATIENCE, "{selector} says {said:?} instead of {words:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// A property of the first element that matches, as it is now.
    pub(crate) async fn property(&self, selector: &str, name: &str) -> Value {
        let element = self.element(selector).await;
        self.read(&format!("element/{element}/property/{name}")).await
    }

    /// An attribute of the first element that matches; empty where it has none.
    pub(crate) async fn attribute(&self, selector: &str, name: &str) -> String {
        let element = self.element(selector).await;
        let value = self.read(&format!("element/{element}/attribute/{name}")).await;
        value.as_str().unwrap_or_default().to_owned()
    }

    /// What assistive technology calls the first element that matches.
    pub(crate) async fn label(&self, selector: &str) -> String {
        let element = self.element(selector).await;
        text(&self.read(&format!("element/{element}/computedlabel")).await)
    }

    /// The cookies of the page, as the browser keeps them.
    pub(crate) async fn cookies(&self) -> Vec<Value> {
        self.read("cookie").await.as_array().unwrap().clone()
    }

    /// Gives the page's host a cookie of that name, as an application would that is reached by https.
    pub(crate) async fn keep_cookie(&self, name: &str, same_site: &str) {
        let cookie = json!({ "name": name, "value": "1", "secure": true, "sameSite": same_site });
        self.post("cookie", json!({ "cookie": cookie })).await;
    }

    /// All cookies of all sites, as the browser keeps them.
    pub(crate) async fn all_cookies(&self) -> Vec<Value> {
        self.devtools("Network.getAllCookies", json!({})).await["cookies"].as_array().unwrap().clone()
    }

    /// The value of a script of the test's, which neither the page's policy nor [`Scripts::Off`] holds back; a promise
    /// is waited for.
    pub(crate) async fn evaluate(&self, script: &str) -> Value {
        self.post("execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// The tab that is looked at.
    pub(crate) async fn tab(&self) -> String {
        text(&self.read("window").await)
    }

    /// Opens a tab and looks at it.
    pub(crate) async fn new_tab(&self) -> String {
        let opened = self.post("window/new", json!({ "type": "tab" })).await;
        let tab = text(&opened["handle"]);
        self.look_at(&tab).await;
        tab
    }

    /// Looks at a tab.
    pub(crate) async fn look_at(&self, tab: &str) {
        self.post("window", json!({ "handle": tab })).await;
    }

    /// Shows pages in that scheme from now on, those that are open, too.
    pub(crate) async fn prefers(&self, scheme: Scheme) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme.name() });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await;
    }

    /// Gives the window that width and height in CSS pixels.
    pub(crate) async fn resize(&self, width: u32, height: u64) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// The window's content as a PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        STANDARD.decode(text(&self.read("screenshot").await)).unwrap()
    }

    /// Asks the driver to end the browser, and waits until it has.
    fn end(&self) -> io::Result<()> {
        let mut stream = BlockingStream::connect(self.driver)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.session)?;
        stream.read_exact(&mut [0])
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": params })).await
    }

    /// Waits for the element, as [`PATIENCE`] was made the protocol's implicit wait.
    async fn element(&self, selector: &str) -> String {
        let found = self.post("element", json!({ "using": "css selector", "value": selector })).await;
        text(&found[ELEMENT])
    }

    async fn read(&self, what: &str) -> Value {
        self.command(Method::GET, what, Value::Null).await
    }

    async fn post(&self, what: &str, content: Value) -> Value {
        self.command(Method::POST, what, content).await
    }

    async fn command(&self, method: Method, what: &str, content: Value) -> Value {
        let path = format!("/session/{}/{what}", self.session);
        let answer = command_to(self.driver, method, &path, &content).await;
        answer.unwrap_or_else(|error| panic!("{what} {content}: {error}"))
    }
}

impl Drop for Browser {
    /// Left to itself the browser would outlive the driver; its helpers may write for a moment longer.
    fn drop(&mut self) {
        if self.end().is_err() {
            let _ = rustix::process::kill_process(self.process, Signal::KILL);
        }
        let waited = Stopwatch::start();
        while fs::remove_dir_all(&self.folder).is_err() && waited.elapsed() < LINGERING {
            thread::sleep(POLL);
        }
    }
}

/// A driver, and what it said of its port. It looks for one that is free by IPv6 and takes the same by IPv4, where
/// somebody else may have it.
fn driver(folder: &TempDir) -> (Running, String) {
    for _ in 0..10 {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("TMPDIR", folder.path()).env("HOME", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut chromedriver = Running::start(command);
        if let Some(said) = chromedriver.said_before_its_end("started successfully on port ") {
            return (chromedriver, said);
        }
    }
    panic!("chromedriver finds no port")
}

fn flags() -> Vec<String> {
    let mut flags = FLAGS.map(str::to_owned).to_vec();
    if rustix::process::geteuid().is_root() {
        flags.push("--no-sandbox".to_owned());
    }
    flags
}

fn flags_for(certificate: &Path) -> Vec<String> {
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let (_, parsed) = parse_x509_certificate(&certificate).unwrap();
    let key = STANDARD.encode(Sha256::digest(parsed.public_key().raw));
    let mut flags = flags();
    flags.push(format!("--ignore-certificate-errors-spki-list={key}"));
    flags.push(format!("--host-resolver-rules={ELSEWHERE}"));
    flags
}

fn preferences(scripts: Scripts) -> Value {
    // What other browsers do with other sites' cookies is not what stands in the way. Nothing is asked for, and no
    // connection made, because somebody might want it soon.
    let mut preferences = json!({ "profile.cookie_controls_mode": 0, "net.network_prediction_options": 2 });
    if scripts == Scripts::Off {
        preferences["profile.managed_default_content_settings.javascript"] = json!(2);
    }
    preferences
}

/// What the driver answers; the error's message where it refuses.
async fn command_to(
    driver: SocketAddr,
    method: Method,
    path: &str,
    content: &Value,
) -> Result<Value, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(TcpStream::connect(driver).await.unwrap())).await.unwrap();
    let connection = tokio::spawn(connection);
    let content = if content.is_null() { String::new() } else { content.to_string() };
    let request =
        Request::builder().method(method).uri(path).header(HOST, "localhost").body(content).unwrap();
    let answer = async { sender.send_request(request).await.unwrap().into_body().collect().await.unwrap() };
    let answer = tokio::time::timeout(2 * PATIENCE, answer).await.expect("the driver answers in time");
    connection.abort();
    let answer: Value = serde_json::from_slice(&answer.to_bytes()).unwrap();
    match answer["value"]["error"].as_str() {
        Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
        None => Ok(answer["value"].clone()),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
