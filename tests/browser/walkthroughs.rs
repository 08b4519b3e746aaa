//! The walk-throughs of docs/: their applications, with the very files that they show, behind the program.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::sign_in;
use crate::support::browser::{Browser, Scripts};
use crate::support::command::{Running, foregate, run};
use crate::support::proxy::{ALICE, BOB};
use crate::support::redis::free_port;
use crate::support::settle::eventually;

/// A copy of one of `examples/`, on ports of its own.
struct Example {
    folder: TempDir,
}

/// A server of somebody else's; ended when dropped, and its workers with it.
struct Server(Running);

/// The program in front of an application, and where browsers find it.
struct Front {
    _process: Running,
    site: String,
}

impl Example {
    fn copy(name: &str, ports: &[(&str, u16)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        let copied = Command::new("cp").arg("-r").arg(example.join(".")).arg(folder.path()).status().unwrap();
        assert!(copied.success());
        for file in fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let Ok(mut text) = fs::read_to_string(&file) else { continue };
            for (documented, port) in ports {
                text = text.replace(&format!("127.0.0.1:{documented}"), &format!("127.0.0.1:{port}"));
            }
            fs::write(file, text).unwrap();
        }
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn append(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::write(&path, fs::read_to_string(&path).unwrap() + text).unwrap();
    }

    /// As the documents have it: somebody who may log in, and the program.
    fn front(&self) -> Front {
        for (user, password) in [ALICE, BOB] {
            let added = run(self.path(), &["users", "add", user], &format!("{password}\n"));
            assert_eq!(added.code, 0, "{added:?}");
        }
        let mut command = foregate(self.path(), &["run"]);
        // Its usual port may be taken.
        command.env("FOREGATE__SERVER__ADMIN", "off");
        let mut process = Running::start(command);
        let log = process.logged("serving https");
        let line: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        let port = line["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        Front { _process: process, site: format!("https://localhost:{port}") }
    }

    async fn browser(&self) -> Browser {
        Browser::start(Scripts::On, &self.path().join("certs/localhost.crt")).await
    }
}

impl Server {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Running::start(command))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.signal("TERM");
        self.0.ended();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// PHP's servers have their version in their names.
fn php_fpm() -> Command {
    let servers = fs::read_dir("/usr/sbin").unwrap().map(|entry| entry.unwrap().path());
    let is_one = |path: &std::path::PathBuf| path.display().to_string().contains("/php-fpm");
    Command::new(servers.into_iter().find(is_one).expect("php-fpm is missing: apt-get install php-fpm"))
}

/// The guest book, as docs/walkthroughs/php.md starts it.
async fn guest_book(example: &Example, port: u16) -> (Server, Server) {
    fs::create_dir(example.path().join("run")).unwrap();
    let (mut php, mut nginx) = (php_fpm(), Command::new("nginx"));
    if is_root() {
        // The folder of a test is its owner's alone.
        example.append("php-fpm.conf", "user = root\n");
        php.arg("--allow-to-run-as-root");
        nginx.args(["-g", "user root;"]);
    }
    php.current_dir(example.path()).args(["--fpm-config", "php-fpm.conf"]);
    let mut php = Server::start(php);
    php.0.logged("ready to handle connections");
    nginx.current_dir(example.path()).args(["-p", ".", "-c", "nginx.conf", "-e", "stderr"]);
    let nginx = Server::start(nginx);
    eventually("nginx listens", async || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    (php, nginx)
}

/// Of each cookie of the guest book: its host, `Secure`, `HttpOnly`, `SameSite`.
fn seen(cookies: &[Value]) -> Value {
    let foreign = cookies.iter().filter(|cookie| {
        !["__Host-session", "__Host-foregate-"]
            .iter()
            .any(|ours| cookie["name"].as_str().unwrap().starts_with(ours))
    });
    let told = foreign.map(|cookie| {
        let about = json!([cookie["domain"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]]);
        (cookie["name"].as_str().unwrap().to_owned(), about)
    });
    Value::Object(told.collect())
}

/// Somebody logs in, writes, uploads and leaves; what the browser has kept of the application's cookies.
async fn writes_into_the_guest_book(settings: &str, then: impl AsyncFnOnce(&Example, Vec<Value>)) {
    let (web, php) = (free_port(), free_port());
    let example = Example::copy("php", &[("9000", web), ("9001", php), ("8443", 0), ("8080", 0)]);
    example.append("proxy.toml", settings);
    let _application = guest_book(&example, web).await;
    let front = example.front();
    let browser = example.browser().await;
    let page = format!("{}/", front.site);

    browser.open(&page).await;
    sign_in(&browser, ALICE).await;
    browser.says("h1", "Guest book of alice").await;
    assert_eq!(browser.text_of("#from").await, "You come from 127.0.0.1 by https.");
    let file = example.path().join("notes.txt");
    fs::write(&file, "hello").unwrap();
    browser.fill("text", "first").await;
    browser.fill("file", &file.display().to_string()).await;
    browser.press("Write").await;
    let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    browser.says("li", &format!("alice, first, notes.txt, {sum}")).await;
    assert_eq!(browser.address().await, page);
    then(&example, browser.all_cookies().await).await;

    browser.press("Leave").await;
    browser.press("Sign out").await;
    browser.arrives_at(&format!("{page}_foregate/login?signed_out=1")).await;
    browser.open(&page).await;
    assert_eq!(browser.text_of("h1").await, "Sign in");
}

#[tokio::test]
async fn a_php_application_behind_nginx_works_and_its_cookies_are_hardened() {
    writes_into_the_guest_book("", async |_, cookies| {
        let hardened = json!({
            "__Host-PHPSESSID": ["localhost", true, true, "Lax"],
            "theme": ["localhost", true, true, "Lax"],
        });
        assert_eq!(seen(&cookies), hardened);
    })
    .await;
}

#[tokio::test]
async fn what_would_become_of_its_cookies_is_told_before_it_happens() {
    writes_into_the_guest_book("\n[cookies]\nmode = \"report\"\n", async |example, cookies| {
        let as_set = json!({
            "PHPSESSID": ["localhost", false, false, null],
            "theme": ["localhost", false, false, null],
        });
        assert_eq!(seen(&cookies), as_set);
        let told = run(example.path(), &["findings", "--json"], "");
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        let changes: Vec<String> = told
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| format!("{} {}", finding["subject"], finding["change"]).replace('"', ""))
            .collect();
        assert_eq!(
            changes,
            [
                "PHPSESSID HttpOnly added",
                "PHPSESSID SameSite=Lax added",
                "PHPSESSID Secure added",
                "PHPSESSID goes out as __Host-NAME, with Path=/",
                "theme HttpOnly added",
                "theme SameSite=Lax added",
                "theme Secure added",
                "theme age cut to max_age",
            ]
        );
    })
    .await;
}

/// The chat, as docs/walkthroughs/chat.md starts it.
fn chat(example: &Example) -> (Server, u16) {
    let modules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chat");
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/chat-install");
    let installed = Command::new(install).args([example.path(), &modules]).output().unwrap();
    assert!(installed.status.success(), "the chat cannot be installed: {installed:?}");
    std::os::unix::fs::symlink(modules.join("node_modules"), example.path().join("node_modules")).unwrap();
    let mut node = Command::new("node");
    node.arg("server.js").env("PORT", "0").current_dir(example.path());
    let mut server = Server::start(node);
    let said = server.0.said("chat on port ");
    let port = said.trim().rsplit(' ').next().unwrap().parse().unwrap();
    (server, port)
}

async fn comes(example: &Example, front: &Front, user: (&str, &str)) -> Browser {
    let browser = example.browser().await;
    browser.open(&format!("{}/", front.site)).await;
    sign_in(&browser, user).await;
    browser.says("#state", "Connected").await;
    browser
}

#[tokio::test]
async fn a_chat_over_websockets_knows_who_speaks_and_ends_with_the_session() {
    let example = Example::copy("chat", &[("8443", 0), ("8080", 0)]);
    let (_chat, port) = chat(&example);
    let proxy = example.path().join("proxy.toml");
    fs::write(
        &proxy,
        fs::read_to_string(&proxy).unwrap().replace("127.0.0.1:9100", &format!("127.0.0.1:{port}")),
    )
    .unwrap();
    let front = example.front();
    let (alice, bob) = (comes(&example, &front, ALICE).await, comes(&example, &front, BOB).await);
    alice.says("#said li:last-child", "bob has come").await;
    bob.fill("text", "hello").await;
    bob.press("Say").await;
    alice.says("#said li:last-child", "bob: hello").await;

    let room = bob.tab().await;
    bob.new_tab().await;
    bob.open(&format!("{}/_foregate/logout", front.site)).await;
    bob.press("Sign out").await;
    alice.says("#said li:last-child", "bob has gone").await;
    bob.look_at(&room).await;
    bob.says("#state", "Signed out").await;
    assert_eq!(alice.text_of("#state").await, "Connected");
}

#[test]
fn what_the_documents_show_is_what_the_tests_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (document, example) in [("php", "php"), ("chat", "chat")] {
        let text = fs::read_to_string(root.join(format!("docs/walkthroughs/{document}.md"))).unwrap();
        let files: Vec<String> = fs::read_dir(root.join("examples").join(example))
            .unwrap()
            .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
            .collect();
        let mut shown = 0;
        for block in text.split("\n```").skip(1).step_by(2) {
            let (kind, block) = block.split_once('\n').unwrap();
            if kind == "sh" {
                continue;
            }
            shown += 1;
            // An example may be indented more than what is shown of it.
            let flat = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
            assert!(
                files.iter().any(|file| flat(file).contains(flat(block).trim())),
                "{document}.md shows {block}"
            );
        }
        assert!(shown > 0, "{document}.md shows nothing");
    }
}
