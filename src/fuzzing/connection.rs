//! A whole proxy between a client that sends what it likes and an application that remembers what it saw.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::recorder::{Recorder, SEEN};
use super::wire::{Received, latin1};
use crate::app::{App, World};
use crate::base::clock::{Clock, Stopwatch};
use crate::base::lock::lock;
use crate::base::random::Random;
use crate::config::{self, Environment};
use crate::http::{Authority, Target, folded};
use crate::listener::PassedSockets;
use crate::telemetry::{Captured, Format, Lines, Logs};

/// How an HTTP/2 connection begins (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// RFC 9113 §6.7
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0foregate";

/// What is sent after the input of an HTTP/1 connection. Where it is read as a request, the connection ends after it.
const CANARY: &[u8] = b"GET /canary HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";

/// Everybody is on this machine, and most inputs are no whole requests.
const SILENCE: Duration = Duration::from_millis(5);

/// Nothing that is under way takes longer, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Access lines that may wait for a request that is on its way to the application.
const LINES: usize = 10_000;

/// The application saw exactly what was decided on, or nothing: for each request that it received there is one line of
/// the access log, which tells of this method, host and path, and the other way round. The input is all that a client
/// sends, in the clear, or over TLS where it begins as HTTP/2 does.
pub fn connection(data: &[u8]) {
    static STAGE: LazyLock<Mutex<Stage>> = LazyLock::new(|| Mutex::new(Stage::set(SILENCE)));
    let _requests = lock(&STAGE).play(data);
}

/// The proxy, the application and what they tell.
struct Stage {
    runtime: Runtime,
    recorder: Recorder,
    plain: SocketAddr,
    https: SocketAddr,
    tls: TlsConnector,
    logs: Logs,
    log: Captured,
    /// The access lines without an end in what the application saw, by request.
    lines: HashMap<String, Line>,
    /// Who says nothing for so long waits for more.
    silence: Duration,
    _folder: TempDir,
}

/// A line of the access log: what was decided on.
#[derive(Debug, Deserialize)]
struct Line {
    request_id: String,
    method: String,
    host: Option<String>,
    path: String,
    status: u16,
}

impl Stage {
    fn set(silence: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be had");
        let folder = tempfile::tempdir().expect("a folder can be had");
        let ((main, log), (audit, _)) = (Lines::captured(), Lines::captured());
        let logs = Logs { main, audit, format: Format::Json };
        let guard = runtime.enter();
        let recorder = runtime.block_on(Recorder::start());
        let app = build(folder.path(), recorder.address, &logs);
        let plain = app.plain_addresses()[0];
        let https = app.https_addresses()[0];
        tokio::spawn(app.run());
        drop(guard);
        let tls = TlsConnector::from(Arc::new(client(&folder.path().join("certs/app.test.crt"))));
        Self {
            runtime,
            recorder,
            plain,
            https,
            tls,
            logs,
            log,
            lines: HashMap::new(),
            silence,
            _folder: folder,
        }
    }

    /// How many requests came through.
    fn play(&mut self, data: &[u8]) -> usize {
        let end = if data.starts_with(PREFACE) { PING } else { CANARY };
        let sent = [data, end].concat();
        let Self { runtime, plain, https, tls, silence, .. } = &*self;
        runtime.block_on(async {
            if sent.starts_with(PREFACE) {
                let stream = TcpStream::connect(*https).await.expect("the proxy listens");
                let name = ServerName::try_from("app.test").expect("a name");
                let stream = tls.connect(name, stream).await.expect("the proxy speaks TLS");
                converse(stream, &sent, *silence).await;
            } else {
                let stream = TcpStream::connect(*plain).await.expect("the proxy listens");
                converse(stream, &sent, *silence).await;
            }
        });
        let received: Vec<Received> =
            self.recorder.take().into_iter().map(|seen| seen.unwrap_or_else(|why| panic!("{why}"))).collect();
        self.read_lines();
        for request in &received {
            let line = self.line_of(request);
            is_what_was_decided_on(request, &line);
            came_from(request, &sent);
        }
        let unseen = self.lines.values().find(|line| line.status == SEEN);
        assert!(unseen.is_none(), "answered by nobody: {unseen:?}");
        if self.lines.len() > LINES {
            self.lines.clear();
        }
        received.len()
    }

    fn read_lines(&mut self) {
        self.logs.flush();
        for line in self.log.take().lines() {
            let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
            let again = self.lines.insert(line.request_id.clone(), line);
            assert!(again.is_none(), "two requests have one id: {again:?}");
        }
    }

    /// The line of a request that arrived; where its client is gone, it may take a moment until that is noticed.
    fn line_of(&mut self, request: &Received) -> Line {
        let [id] = request.all("x-request-id")[..] else { panic!("not one id: {request:?}") };
        let waited = Stopwatch::start();
        loop {
            if let Some(line) = self.lines.remove(id) {
                return line;
            }
            assert!(waited.elapsed() < PATIENCE, "nobody decided on it: {request:?}");
            self.runtime.block_on(tokio::time::sleep(Duration::from_millis(1)));
            self.read_lines();
        }
    }
}

fn build(folder: &Path, upstream: SocketAddr, logs: &Logs) -> App {
    let text = format!(
        "mode = \"development\"\n\
         [server]\nhttps = [\"127.0.0.1:0\"]\nhttp = []\nplain = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [tls]\nself_signed = [\"app.test\"]\n\
         [session.store]\nurl = \"memory:\"\n\
         [upstream.app]\nservers = [\"http://{upstream}\"]\n\
         [[route]]\nupstream = \"app\"\naccess = \"public\"\n\
         [[route]]\npath = \"/private\"\nupstream = \"app\"\n"
    );
    let path = folder.join("proxy.toml");
    for (path, text) in [(&path, text.as_str()), (&folder.join("users.toml"), "")] {
        std::fs::write(path, text).expect("the folder is ours");
    }
    let loaded = config::load(&path, &Environment::from_pairs::<String, String>([]));
    let (passed, random) = (PassedSockets::default(), Random::system());
    let world = World { clock: Clock::system(), random, logs: logs.clone(), passed };
    App::build(&loaded.expect("the configuration is good").config, &world).expect("the proxy starts")
}

fn client(certificate: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).expect("the proxy made one");
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config =
        config.expect("the versions of rustls").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Sends it all and reads what comes, until nothing more does; then goes away.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8], silence: Duration) {
    // A proxy that has seen enough may close while we still write.
    let _ = timeout(PATIENCE, stream.write_all(bytes)).await;
    let mut piece = [0; 4096];
    while let Ok(Ok(1..)) = timeout(silence, stream.read(&mut piece)).await {}
    let _ = stream.shutdown().await;
    let to_the_end = async { while let Ok(1..) = stream.read(&mut piece).await {} };
    let _ = timeout(PATIENCE, to_the_end).await;
}

fn is_what_was_decided_on(request: &Received, line: &Line) {
    assert_eq!(request.method, line.method);
    let (path, _) = request.target.split_once('?').unwrap_or((&request.target, ""));
    // A long path is cut in the log.
    if line.path.len() < 1000 {
        let decided = Target::parse(&line.path, None).expect("what is refused goes nowhere");
        assert_eq!(path, latin1(decided.path().as_bytes()));
    }
    let first = path.split(['/', ';']).nth(1).unwrap_or_default();
    assert!(!first.eq_ignore_ascii_case("private"), "nobody is signed in: {request:?}");
    let host = Authority::parse(line.host.as_deref().unwrap_or_default()).expect("a host");
    assert_eq!(request.all("host"), [host.to_string()]);
    let port = host.port_or_default(crate::http::Scheme::Http).to_string();
    assert_eq!(request.all("x-forwarded-for"), ["127.0.0.1"]);
    assert!(request.all("x-forwarded-proto") == ["https"] || request.all("x-forwarded-port") == [port]);
    for name in request.headers.iter().map(|(name, _)| folded(name)) {
        assert!(!["x-remote-user", "remote-user"].contains(&name.as_str()), "{request:?}");
    }
    let switched = [request.all("connection"), request.all("upgrade")].concat();
    assert!(matches!(switched[..], [] | ["TE"] | ["Upgrade", "websocket"]), "{request:?}");
}

/// What is passed on verbatim is what the client sent.
fn came_from(request: &Received, sent: &[u8]) {
    let is_sent = |part: &[u8]| part.is_empty() || sent.windows(part.len()).any(|window| window == part);
    if sent.starts_with(PREFACE) {
        return;
    }
    assert!(request.all("content-length").is_empty() || is_sent(&request.body), "{request:?}");
    let (_, query) = request.target.split_once('?').unwrap_or_default();
    assert!(latin1(sent).contains(query), "{request:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_requests_come_through_and_others_do_not() {
        let mut stage = Stage::set(Duration::from_secs(2));
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n").into_bytes();
        assert_eq!(stage.play(&get("/x?a=b")), 2, "the request and the canary");
        assert_eq!(stage.play(&get("/private")), 1, "the canary");
        assert_eq!(stage.play(b"GET /x HTTP/1.1\r\n\r\n"), 0);
        let fields = b"\x82\x87\x84\0\x0a:authority\x08app.test";
        let length = u8::try_from(fields.len()).unwrap();
        let settings = b"\0\0\0\x04\0\0\0\0\0".as_slice();
        let headers = [&[0, 0, length, 1, 5, 0, 0, 0, 1], fields.as_slice()].concat();
        assert_eq!(stage.play(&[PREFACE, settings, &headers].concat()), 1);
    }
}
