//! WebSockets as others speak them: the `websockets` of `PyPI` and npm's `ws`, as clients and as applications.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::support::proxy::{ALICE, proxy};
use crate::support::upstream::upstream;

/// Who speaks.
#[derive(Clone, Copy, Debug)]
enum Implementation {
    Websockets,
    Ws,
}

use Implementation::{Websockets, Ws};

impl Implementation {
    /// Its `client` or `server`.
    fn program(self, role: &str) -> Command {
        let (installed, scripts) = (installed(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign"));
        match self {
            Websockets => {
                let mut python = Command::new("python3");
                python
                    .env("PYTHONPATH", installed.join("python"))
                    .arg(scripts.join(role).with_extension("py"));
                python
            }
            // A module looks for others beside itself.
            Ws => {
                let script = installed.join("node").join(role).with_extension("mjs");
                std::fs::copy(scripts.join(role).with_extension("mjs"), &script).unwrap();
                let mut node = Command::new("node");
                node.arg(script);
                node
            }
        }
    }
}

/// Where they are installed; kept from one run to the next.
fn installed() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/install");
        let installed = Command::new(script).arg(&folder).output().unwrap();
        assert!(installed.status.success(), "websockets and ws cannot be installed: {installed:?}");
        folder
    })
}

/// An application that runs; killed when dropped.
struct Application {
    child: Child,
    port: u16,
}

impl Application {
    fn start(implementation: Implementation) -> Self {
        let mut child = implementation.program("server").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().expect("it says its port") }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn speak(client: Implementation, server: Implementation) {
    let application = Application::start(server);
    let section = format!(
        "[upstream.chat]\nservers = [\"http://127.0.0.1:{}\"]\n[[route]]\npath = \"/chat\"\nupstream = \"chat\"",
        application.port
    );
    let proxy = proxy(&upstream().await).section(&section).start();
    let alice = proxy.logged_in(ALICE).await;
    let mut program = client.program("client");
    program.arg(proxy.https.port().to_string()).arg(&proxy.certificate).arg(alice.header());
    let spoken = tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap();
    assert!(spoken.stdout.ends_with(b"all is well\n"), "{client:?} with {server:?}: {spoken:?}");
    proxy.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_speaks_with_websockets() {
    speak(Websockets, Websockets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_speaks_with_ws() {
    speak(Websockets, Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ws_speaks_with_websockets() {
    speak(Ws, Websockets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ws_speaks_with_ws() {
    speak(Ws, Ws).await;
}
