//! Five servers of others. Two tell what they saw, a line a request; the other three pass it on to an application of
//! ours, with the request line as they read it in `X-Seen-Line`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Request;
use super::wire::latin1;
use crate::support::redis::free_port;
use crate::support::settle::eventually;
use crate::support::upstream::Upstream;

/// Where a server that passes requests on says how it read the request line.
const SEEN_LINE: &str = "x-seen-line";

/// Whose server it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Nginx,
    Apache,
    HaProxy,
    Node,
    Python,
}

/// A server that runs; killed when dropped.
pub(super) struct Origin {
    kind: Kind,
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Origin {
    /// Starts it; the first three pass what they get on to the port `next`.
    pub(super) async fn start(kind: Kind, next: u16) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = kind.command(folder.path(), [port, next]);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let seen = std::fs::File::create(folder.path().join("seen")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(seen).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("{kind:?} does not start: {error}"));
        let origin = Self { kind, child, port, folder };
        eventually(&format!("{kind:?} listens"), async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        origin
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// All that it saw; `next` is the application that it may have passed it on to.
    pub(super) fn seen(&self, next: &Upstream) -> Vec<Request> {
        match self.kind {
            Kind::Nginx | Kind::Apache | Kind::HaProxy => {
                next.received().into_iter().map(passed_on).collect()
            }
            Kind::Node | Kind::Python => {
                let lines = std::fs::read_to_string(self.folder.path().join("seen")).unwrap();
                lines.lines().map(told).collect()
            }
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn passed_on(received: crate::support::upstream::Received) -> Request {
    let headers = received.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), latin1(value)));
    let (seen, headers): (Vec<_>, Vec<_>) = headers.partition(|(name, _)| name == SEEN_LINE);
    let [(_, line)] = &seen[..] else { panic!("the server does not say what it saw: {headers:?}") };
    Request::new(line.clone(), headers, received.body)
}

/// From `{"line": "GET / HTTP/1.1", "headers": [["Host", "a"]], "body": [104, 105]}`.
fn told(line: &str) -> Request {
    #[derive(serde::Deserialize)]
    struct Told {
        line: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    }
    let Told { line, headers, body } = serde_json::from_str(line).unwrap();
    let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    Request::new(line, headers.collect(), body)
}

/// Debian has its servers where only root looks for programs.
fn daemon(name: &str) -> Command {
    let debians = Path::new("/usr/sbin").join(name);
    if debians.exists() { Command::new(debians) } else { Command::new(name) }
}

impl Kind {
    fn command(self, folder: &Path, ports: [u16; 2]) -> Command {
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential").join(name);
        let configured = |text: &str| {
            let [own, next] = ports.map(|port| port.to_string());
            let text = text.replace("{folder}", folder.to_str().unwrap());
            let path = folder.join("server.conf");
            std::fs::write(&path, text.replace("{port}", &own).replace("{next}", &next)).unwrap();
            path
        };
        match self {
            Self::Nginx => {
                let mut nginx = daemon("nginx");
                nginx.arg("-p").arg(folder).args(["-e", "stderr", "-c"]);
                nginx.arg(configured(include_str!("nginx.conf")));
                nginx
            }
            Self::Apache => {
                let mut apache = daemon("apache2");
                apache.args(["-X", "-f"]).arg(configured(include_str!("apache.conf")));
                apache
            }
            Self::HaProxy => {
                let mut haproxy = daemon("haproxy");
                haproxy.args(["-db", "-q", "-f"]).arg(configured(include_str!("haproxy.conf")));
                haproxy
            }
            Self::Node => {
                let mut node = Command::new("node");
                node.arg(script("origin.mjs")).arg(ports[0].to_string());
                node
            }
            Self::Python => {
                let mut python = Command::new("python3");
                python.arg(script("origin.py")).arg(ports[0].to_string());
                python
            }
        }
    }
}
