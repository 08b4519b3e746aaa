//! `[server]`: where it listens.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::Context;
use super::limits::{self, Limits};
use super::path;
use super::reader::{Complaint, Section, Value, kind};

/// More than any machine has cores; keeps a slip from starting a million threads.
const MAX_THREADS: usize = 1024;

/// Listeners and the life of the process.
#[derive(Clone, Debug)]
pub struct Server {
    /// TLS listeners. An unspecified IPv6 address falls back to IPv4 where the machine has no IPv6.
    pub https: Vec<SocketAddr>,
    /// Plain listeners, which answer 308 to https.
    pub http: Vec<SocketAddr>,
    /// The port in that redirect; `None`: that of the first https listener.
    pub public_port: Option<u16>,
    /// Health and metrics; `None`: off.
    pub admin: Option<SocketAddr>,
    /// The same in the file system.
    pub admin_socket: AdminSocket,
    /// Where the proxy's own pages live on every host: starts with a slash, ends without one.
    pub prefix: String,
    /// Threads that serve; `None`: one per core.
    pub worker_threads: Option<NonZeroUsize>,
    /// How long requests under way may take to finish after SIGTERM.
    pub shutdown_grace: Duration,
    /// `[server.limits]`
    pub limits: Limits,
}

/// The admin listener's socket in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminSocket {
    /// None.
    Off,
    /// At a place that the program chose: where it cannot be made, the start warns.
    Chosen(PathBuf),
    /// At a place that the operator chose: it has to be there.
    At(PathBuf),
}

pub(super) fn read(section: &mut Section<'_>, context: Context<'_>) -> Server {
    let server = Server {
        https: section.list("https", address, vec![everywhere(8443)]),
        http: section.list("http", address, vec![everywhere(8080)]),
        public_port: NonZeroU16::new(section.value("public_port", kind::number(0..=u16::MAX), 0))
            .map(Into::into),
        admin: section.value("admin", admin, Some((Ipv4Addr::LOCALHOST, 8444).into())),
        admin_socket: section.value("admin_socket", admin_socket(context), chosen_socket(context)),
        prefix: section.value("prefix", kind::text_as(path::own), "/_foregate".to_owned()),
        worker_threads: NonZeroUsize::new(section.value("worker_threads", kind::number(0..=MAX_THREADS), 0)),
        shutdown_grace: section.value("shutdown_grace", kind::duration, Duration::from_secs(30)),
        limits: section.table("limits", limits::read),
    };
    if server.https.is_empty() && server.http.is_empty() {
        section.error("https", "is empty, and so is http: nobody could reach the proxy", "name an address");
    }
    if let Some(both) = server.http.iter().find(|http| http.port() != 0 && server.https.contains(http)) {
        section.error("http", format!("{both} is in server.https too"), "give each an address of its own");
    }
    server
}

fn admin(value: &Value<'_>) -> Result<Option<SocketAddr>, Complaint> {
    if value.as_str() == Some("off") {
        return Ok(None);
    }
    let told =
        |complaint: Complaint| Complaint::new(complaint.what, format!("{}, or \"off\"", complaint.remedy));
    address(value).map(Some).map_err(told)
}

fn admin_socket(context: Context<'_>) -> impl Fn(&Value<'_>) -> Result<AdminSocket, Complaint> {
    kind::text_as(move |text| {
        Ok(match text {
            "off" => AdminSocket::Off,
            "auto" => chosen_socket(context),
            path => AdminSocket::At(context.folder.join(path)),
        })
    })
}

/// In the folder that systemd made for the running service, else beside the configuration.
fn chosen_socket(context: Context<'_>) -> AdminSocket {
    let folder = context.environment.get("RUNTIME_DIRECTORY").map_or(context.folder, Path::new);
    AdminSocket::Chosen(folder.join("foregate.sock"))
}

fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
}

fn address(value: &Value<'_>) -> Result<SocketAddr, Complaint> {
    kind::text_as(|text| {
        text.parse().map_err(|_| {
            let remedy = "write IP:PORT, such as \"127.0.0.1:8443\" or \"[::]:8443\"";
            Complaint::new(format!("{text:?} is not an address"), remedy)
        })
    })(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{outcome, production};
    use super::*;

    fn read(section: &mut Section<'_>) -> Server {
        super::read(section, production(&[]))
    }

    #[test]
    fn the_default_listens_everywhere() {
        let (server, _) = outcome("", read).unwrap();
        assert_eq!(server.https, ["[::]:8443".parse().unwrap()]);
        assert_eq!(server.http, ["[::]:8080".parse().unwrap()]);
        assert_eq!((server.public_port, server.worker_threads), (None, None));
        assert_eq!(server.prefix, "/_foregate");
        assert_eq!(server.shutdown_grace, Duration::from_secs(30));
    }

    #[test]
    fn the_admin_listener_is_for_this_machine_unless_said_otherwise() {
        let (server, _) = outcome("", read).unwrap();
        assert_eq!(server.admin, Some("127.0.0.1:8444".parse().unwrap()));
        assert_eq!(server.admin_socket, AdminSocket::Chosen("/etc/foregate/foregate.sock".into()));
        let (server, _) = outcome("admin = \"off\"\nadmin_socket = \"off\"", read).unwrap();
        assert_eq!((server.admin, server.admin_socket), (None, AdminSocket::Off));
        let (server, _) = outcome("admin_socket = \"my.sock\"", read).unwrap();
        assert_eq!(server.admin_socket, AdminSocket::At("/etc/foregate/my.sock".into()));
    }

    #[test]
    fn zero_leaves_the_choice_to_the_program() {
        let (server, _) = outcome("public_port = 0\nworker_threads = 0", read).unwrap();
        assert_eq!((server.public_port, server.worker_threads), (None, None));
        let (server, _) = outcome("public_port = 443\nworker_threads = 2", read).unwrap();
        assert_eq!((server.public_port, server.worker_threads), (Some(443), NonZeroUsize::new(2)));
    }

    #[test]
    fn port_zero_may_be_asked_for_twice() {
        let text = "https = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]";
        assert!(outcome(text, read).is_ok());
    }

    #[test]
    fn what_cannot_be_listened_on_is_refused() {
        for text in [
            "https = \"127.0.0.1:1\"",
            "https = [\"localhost:8443\"]",
            "https = [\"8443\"]",
            "http = [\"127.0.0.1:70000\"]",
            "https = []\nhttp = []",
            "https = [\"[::]:1\"]\nhttp = [\"[::]:1\"]",
            "prefix = \"/\"",
            "prefix = \"/a/\"",
            "public_port = 65536",
            "worker_threads = -1",
        ] {
            assert_eq!(outcome(text, read).map(|_| ()).unwrap_err().len(), 1, "{text}");
        }
    }
}
