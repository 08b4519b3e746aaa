//! What systemd is told, and the unit that it starts the program by. `tests/systemd/boot` has a real one.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::command::{Running, foregate, run};

/// A folder with a configuration that starts at once, and the socket that a service manager listens on.
fn stage() -> (TempDir, UnixDatagram) {
    let folder = tempfile::tempdir().unwrap();
    let text = "mode = \"development\"\n[server]\nhttps = [\"127.0.0.1:0\"]\nhttp = []\nadmin = \"off\"\n\
        [tls]\nself_signed = [\"localhost\"]\n[session.store]\nurl = \"memory:\"\n\
        [upstream.app]\nservers = [\"http://127.0.0.1:9\"]\n[[route]]\nupstream = \"app\"\n";
    fs::write(folder.path().join("proxy.toml"), text).unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    (folder, socket)
}

fn start(folder: &Path, variables: &[(&str, &str)]) -> Running {
    let mut command = foregate(folder, &["run"]);
    command.env("NOTIFY_SOCKET", folder.join("notify")).envs(variables.iter().copied());
    Running::start(command)
}

fn told(socket: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = socket.recv(&mut message).unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

#[test]
fn the_service_manager_hears_when_it_serves_and_when_it_stops() {
    let (folder, socket) = stage();
    let mut running = start(folder.path(), &[]);
    let ready = told(&socket);
    let address = ready.trim_end().strip_prefix("READY=1\nSTATUS=serving https on ").expect(&ready);
    std::net::TcpStream::connect(address).expect("what is ready is bound");
    running.signal("TERM");
    assert_eq!(told(&socket), "STOPPING=1\nSTATUS=finishing what is under way\n");
    assert_eq!(running.ended(), Some(0));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 64]).is_err(), "nobody asked for a watchdog");
}

#[test]
fn the_service_manager_hears_of_a_reload_and_of_one_that_is_refused() {
    let (folder, socket) = stage();
    let mut running = start(folder.path(), &[]);
    let ready = told(&socket);
    running.signal("HUP");
    let reloading = told(&socket);
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told(&socket), ready);

    let path = folder.path().join("proxy.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "\n[server.limits]\nconnections = \"many\"\n").unwrap();
    running.signal("HUP");
    assert!(told(&socket).starts_with("RELOADING=1\n"));
    let refused = told(&socket);
    assert!(refused.starts_with(ready.trim_end()), "it serves as before: {refused}");
    assert!(refused.contains("the latest reload was refused: proxy.toml:"), "{refused}");
    assert!(refused.contains("server.limits.connections"), "{refused}");
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0));
}

#[test]
fn the_watchdog_is_fed_where_the_service_manager_asks_for_it() {
    let (folder, socket) = stage();
    let mut running = start(folder.path(), &[("WATCHDOG_USEC", "20000")]);
    assert!(told(&socket).starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(told(&socket), "WATCHDOG=1\n");
    }
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0));
}

#[test]
fn a_service_manager_that_cannot_be_told_is_no_reason_not_to_serve() {
    let (folder, socket) = stage();
    drop(socket);
    fs::remove_file(folder.path().join("notify")).unwrap();
    let mut running = start(folder.path(), &[]);
    running.logged("the service manager cannot be told");
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0));
}

#[test]
fn a_secret_is_the_credential_of_its_path_and_the_file_where_there_is_none() {
    let (folder, _socket) = stage();
    let path = folder.path().join("proxy.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace(
        "[session.store]",
        "[session]\nsecret = { file = \"secrets/session.secret\" }\n[session.store]",
    );
    fs::write(&path, text).unwrap();
    let missing = run(folder.path(), &["check"], "");
    assert!(
        missing.code == 2 && missing.stderr.contains("secrets/session.secret cannot be read"),
        "{missing:?}"
    );

    fs::create_dir(folder.path().join("credentials")).unwrap();
    let secret = run(folder.path(), &["secret"], "").stdout;
    fs::write(folder.path().join("credentials/secrets_session.secret"), secret).unwrap();
    let mut command = foregate(folder.path(), &["check"]);
    let outcome = command.env("CREDENTIALS_DIRECTORY", folder.path().join("credentials")).output().unwrap();
    assert!(outcome.status.success(), "{outcome:?}");
}

/// The unit, which starts the program that was built.
fn unit(folder: &Path) -> std::path::PathBuf {
    let house = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(house.join("deploy/systemd/foregate.service")).unwrap();
    let path = folder.join("foregate.service");
    fs::write(&path, text.replace("/usr/local/bin/foregate", env!("CARGO_BIN_EXE_foregate"))).unwrap();
    path
}

#[test]
fn the_unit_is_clean_and_exposes_less_than_2() {
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path());
    let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output().unwrap();
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=yes", "--threshold=20"]).arg(&unit);
    let security = security.output().unwrap();
    assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
}
