//! `[server]`: where it listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::Context;
use super::limits::{self, Limits};
use super::network::network;
use super::path;
use super::reader::{Complaint, Section, Value, kind};
use crate::http::TrustedProxies;

/// More than any machine has cores; keeps a slip from starting a million threads.
const MAX_THREADS: usize = 1024;

/// Listeners and the life of the process.
#[derive(Clone, Debug)]
pub struct Server {
    /// TLS listeners. An unspecified IPv6 address falls back to IPv4 where the machine has no IPv6.
    pub https: Vec<ListenAt>,
    /// Plain listeners, which answer 308 to https.
    pub http: Vec<ListenAt>,
    /// Plain listeners that serve: on loopback in development, behind trusted proxies that do TLS in production.
    pub plain: Vec<ListenAt>,
    /// The port in that redirect; `None`: that of the first https listener.
    pub public_port: Option<u16>,
    /// Health and metrics; `None`: off.
    pub admin: Option<SocketAddr>,
    /// The same in the file system.
    pub admin_socket: AdminSocket,
    /// Where the proxy's own pages live on every host: starts with a slash, ends without one.
    pub prefix: String,
    /// Whose word on where a request came from is believed.
    pub trusted_proxies: TrustedProxies,
    /// Whether their connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// Threads that serve; `None`: one per core.
    pub worker_threads: Option<NonZeroUsize>,
    /// How long the process still accepts after SIGTERM, while it says already that it is not ready.
    pub shutdown_delay: Duration,
    /// How long requests under way may take to finish after SIGTERM.
    pub shutdown_grace: Duration,
    /// `[server.limits]`
    pub limits: Limits,
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAt {
    /// At an address of this machine.
    Address(SocketAddr),
    /// Wherever the sockets of this name are, which the process gets from the one that starts it.
    Passed(String),
}

impl ListenAt {
    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Passed(_) => None,
        }
    }

    /// Whether nobody could listen there beside the other.
    fn is_taken_by(&self, other: &Self) -> bool {
        let (Some(own), Some(other)) = (self.address(), other.address()) else { return self == other };
        own.port() == other.port() && own.port() != 0 && overlap(own.ip(), other.ip())
    }
}

/// Whether one of the two is the other or a part of it: `0.0.0.0` is every address of IPv4, and `[::]` every address.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    let contains = |all: IpAddr, part: IpAddr| all.is_unspecified() && (all.is_ipv6() || part.is_ipv4());
    one == other || contains(one, other) || contains(other, one)
}

impl fmt::Display for ListenAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(out),
            Self::Passed(name) => write!(out, "fd:{name}"),
        }
    }
}

/// Whether the connections of trusted proxies begin with a PROXY header, version 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They never do.
    Off,
    /// They are closed where they do not.
    Required,
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
        https: section.list("https", listen_at, vec![everywhere(8443)]),
        http: section.list("http", listen_at, vec![everywhere(8080)]),
        plain: section.list("plain", listen_at, Vec::new()),
        public_port: NonZeroU16::new(section.value("public_port", kind::number(0..=u16::MAX), 0))
            .map(Into::into),
        admin: section.value("admin", admin, Some((Ipv4Addr::LOCALHOST, 8444).into())),
        admin_socket: section.value("admin_socket", admin_socket(context), chosen_socket(context)),
        prefix: section.value("prefix", kind::text_as(path::own), "/_foregate".to_owned()),
        trusted_proxies: TrustedProxies::new(section.list("trusted_proxies", network, Vec::new())),
        proxy_protocol: section.value("proxy_protocol", kind::one_of(&PROXY_PROTOCOL), ProxyProtocol::Off),
        worker_threads: NonZeroUsize::new(section.value("worker_threads", kind::number(0..=MAX_THREADS), 0)),
        shutdown_delay: section.value("shutdown_delay", kind::duration, Duration::ZERO),
        shutdown_grace: section.value("shutdown_grace", kind::duration, Duration::from_secs(30)),
        limits: section.table("limits", limits::read),
    };
    check_addresses(&server, section);
    check_trust(&server, section, context);
    server
}

fn check_addresses(server: &Server, section: &mut Section<'_>) {
    if server.https.is_empty() && server.http.is_empty() && server.plain.is_empty() {
        section.error("https", "is empty, and so is http: nobody could reach the proxy", "name an address");
    }
    let is_in = |taken: &[ListenAt], place: &&ListenAt| taken.iter().any(|other| place.is_taken_by(other));
    if let Some(both) = server.http.iter().find(|place| is_in(&server.https, place)) {
        section.error("http", format!("{both} is taken by server.https"), "give each a port of its own");
    }
    let others = [server.https.as_slice(), &server.http].concat();
    if let Some(both) = server.plain.iter().find(|place| is_in(&others, place)) {
        section.error(
            "plain",
            format!("{both} is taken by server.https or server.http"),
            "give each a port of its own, or write http = []",
        );
    }
}

fn check_trust(server: &Server, section: &mut Section<'_>, context: Context<'_>) {
    let nobody = server.trusted_proxies.is_empty() && section.sound("trusted_proxies");
    if nobody && server.proxy_protocol == ProxyProtocol::Required {
        let what = "is \"required\", but of nobody: trusted_proxies is empty";
        section.error("proxy_protocol", what, "name the proxies' networks in trusted_proxies");
    }
    if context.in_production() && server.proxy_protocol == ProxyProtocol::Required && !server.plain.is_empty()
    {
        let what = "is \"required\", and then nobody says that a request to server.plain came by https";
        section.error("proxy_protocol", what, "serve https behind it, or set it \"off\" and plain alone");
    }
    if server.trusted_proxies.trusts_everybody() {
        let what = "names everybody: whoever reaches the proxy says who they are";
        section.warn("trusted_proxies", what, "name the proxies' own networks");
    }
    let mut addresses = server.plain.iter().filter_map(ListenAt::address);
    let open = addresses.find(|address| !address.ip().is_loopback());
    match (context.in_production(), open) {
        (true, _) if nobody && !server.plain.is_empty() => {
            let what = "serves in the clear, which production does for trusted proxies alone";
            section.error("plain", what, "name them in trusted_proxies, or use https");
        }
        (false, Some(address)) => {
            let what = format!("{address} is not on loopback: others could read along");
            section.error("plain", what, "write 127.0.0.1 or [::1], or use https");
        }
        _ => {}
    }
}

const PROXY_PROTOCOL: [(&str, ProxyProtocol); 2] =
    [("off", ProxyProtocol::Off), ("required", ProxyProtocol::Required)];

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

fn everywhere(port: u16) -> ListenAt {
    ListenAt::Address((Ipv6Addr::UNSPECIFIED, port).into())
}

fn listen_at(value: &Value<'_>) -> Result<ListenAt, Complaint> {
    match value.as_str().and_then(|text| text.strip_prefix("fd:")) {
        Some("") => Err(Complaint::new(
            "\"fd:\" names no socket",
            "write its FileDescriptorName, such as \"fd:https\"",
        )),
        Some(name) => Ok(ListenAt::Passed(name.to_owned())),
        None => address(value).map(ListenAt::Address),
    }
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
        assert_eq!(server.https, [everywhere(8443)]);
        assert_eq!(server.http, [everywhere(8080)]);
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
    fn sockets_that_are_passed_go_by_their_names() {
        let (server, _) = outcome("https = [\"fd:https\"]\nhttp = [\"fd:http\"]", read).unwrap();
        assert_eq!(server.https, [ListenAt::Passed("https".to_owned())]);
        assert_eq!(server.http[0].to_string(), "fd:http");
    }

    #[test]
    fn port_zero_may_be_asked_for_twice() {
        let text = "https = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]";
        assert!(outcome(text, read).is_ok());
    }

    #[test]
    fn an_unspecified_address_takes_all_of_its_family_and_that_of_ipv6_takes_both() {
        for (one, other, clash) in [
            ("[::]:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("[::]:1", "0.0.0.0:1", true),
            ("[::]:1", "[::1]:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::]:1", "127.0.0.1:2", false),
            ("127.0.0.2:1", "127.0.0.1:1", false),
            ("[::]:0", "127.0.0.1:0", false),
        ] {
            let text = format!("https = [\"{one}\"]\nhttp = [\"{other}\"]");
            assert_eq!(outcome(&text, read).is_err(), clash, "{one} {other}");
        }
    }

    #[test]
    fn what_cannot_be_listened_on_is_refused() {
        for text in [
            "https = \"127.0.0.1:1\"",
            "https = [\"localhost:8443\"]",
            "https = [\"8443\"]",
            "https = [\"fd:\"]",
            "https = [\"10.0.0.5:1\"]\nhttp = [\"[::]:1\"]",
            "plain = [\"[::1]:8081\"]\ntrusted_proxies = [\"10.0.0.1\"]\nproxy_protocol = \"required\"",
            "https = [\"fd:web\"]\nhttp = [\"fd:web\"]",
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
