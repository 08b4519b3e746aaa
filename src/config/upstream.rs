//! `[upstream.*]`: the applications.

use std::time::Duration;

use super::context::Context;
use super::reader::{Section, kind};
use super::server_url::{ServerScheme, ServerUrl, server};
use super::{Balance, ClientTls, Health, PoolBounds, client_tls, health, pool};

/// One application, under its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The name that routes refer to.
    pub name: String,
    /// Its servers; at least one.
    pub servers: Vec<ServerUrl>,
    /// How much each of them gets, beside the others.
    pub weights: Vec<u32>,
    /// Which of them gets the next request.
    pub balance: Balance,
    /// How much of each of them is used.
    pub bounds: PoolBounds,
    /// When one of them is left out.
    pub health: Health,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the response's head.
    pub response_timeout: Duration,
    /// Longest silence of a WebSocket, or in the middle of an answer.
    pub stream_idle_timeout: Duration,
    /// How often a request that nobody can have acted on is tried again.
    pub retries: u32,
    /// Which `Host` it gets.
    pub host: HostHeader,
    /// Whether folded lines and a space before the colon are allowed in its answers.
    pub lenient: bool,
    /// Whom we trust to name those of its servers that speak TLS, and who we say that we are.
    pub tls: ClientTls,
}

/// Which `Host` header an upstream gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's.
    Keep,
    /// The server's own name.
    Rewrite,
}

const HOSTS: [(&str, HostHeader); 2] = [("keep", HostHeader::Keep), ("rewrite", HostHeader::Rewrite)];

pub(super) fn read(name: &str, section: &mut Section<'_>, context: Context<'_>) -> Upstream {
    let servers = section.list("servers", kind::text_as(server), Vec::new());
    let upstream = Upstream {
        name: name.to_owned(),
        weights: pool::weights(section, servers.len()),
        servers,
        balance: pool::balance(section),
        bounds: pool::bounds(section),
        health: section.table("health", health::read),
        connect_timeout: section.value("connect_timeout", kind::positive_duration, Duration::from_secs(2)),
        response_timeout: section.value("response_timeout", kind::positive_duration, Duration::from_secs(60)),
        stream_idle_timeout: section.value(
            "stream_idle_timeout",
            kind::positive_duration,
            Duration::from_secs(3600),
        ),
        retries: section.value("retries", kind::number(0..=10), 1),
        host: section.value("host", kind::one_of(&HOSTS), HostHeader::Keep),
        lenient: section.value("lenient", kind::boolean, false),
        tls: client_tls::ca_and_certificate(section, context),
    };
    if upstream.servers.is_empty() {
        section.error("servers", "names no server", "write servers = [\"http://127.0.0.1:9000\"]");
    }
    for key in ["ca", "client_cert"] {
        if section.has(key) && section.sound("servers") && !upstream.speaks_tls() {
            let remedy = "write https:// in servers, or leave the key out";
            section.warn(key, "is not used: no server speaks TLS", remedy);
        }
    }
    upstream
}

impl Upstream {
    /// Whether one of its servers at least does.
    pub fn speaks_tls(&self) -> bool {
        self.servers.iter().any(|server| server.scheme == ServerScheme::Https)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Place;
    use super::super::testing::{lines, outcome, production};
    use super::*;

    fn upstream(text: &str) -> Result<Upstream, Vec<String>> {
        outcome(text, |section| read("app", section, production(&[]))).map(|(upstream, _)| upstream)
    }

    fn on_network(scheme: ServerScheme, host: &str, port: u16) -> ServerUrl {
        ServerUrl { scheme, place: Place::Network { host: host.to_owned(), port } }
    }

    #[test]
    fn a_server_is_enough() {
        let app = upstream("servers = [\"http://App:9000\", \"http://[::1]\"]").unwrap();
        assert_eq!(app.name, "app");
        let server = |host: &str, port| on_network(ServerScheme::Http, host, port);
        assert_eq!(app.servers, [server("app", 9000), server("::1", 80)]);
        assert_eq!(
            (app.connect_timeout, app.response_timeout),
            (Duration::from_secs(2), Duration::from_secs(60))
        );
        assert_eq!(app.stream_idle_timeout, Duration::from_secs(3600));
        assert_eq!((app.bounds.idle_timeout, app.host), (Duration::from_secs(30), HostHeader::Keep));
        assert_eq!((app.bounds.connections, app.bounds.waiting), (256, 1024));
        assert_eq!((app.balance, app.weights, app.retries), (Balance::LeastRequests, vec![1, 1], 1));
        assert_eq!((app.health.path, app.health.eject_after), (None, 5));
    }

    #[test]
    fn a_server_may_speak_tls() {
        let app = upstream("servers = [\"https://app\", \"https://app:8443\"]\nca = \"ca.pem\"").unwrap();
        let server = |port| on_network(ServerScheme::Https, "app", port);
        assert_eq!(app.servers, [server(443), server(8443)]);
        assert_eq!(app.tls.ca.as_deref(), Some(Path::new("/etc/foregate/ca.pem")));
        let text = "servers = [\"http://app\"]\nca = \"ca.pem\"";
        let (_, warnings) = outcome(text, |section| read("app", section, production(&[]))).unwrap();
        assert!(lines(&warnings)[0].starts_with("warning: ca: is not used"), "{warnings:?}");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for (server, says) in [
            ("https://", "not the address"),
            ("https://app/", "write https://HOST:PORT, without"),
            ("HTTPS://app", "not the address"),
            ("h2c://", "write h2c://HOST:PORT"),
            ("h2://app", "not the address"),
            ("unix:app.sock", "write the whole path"),
            ("unix:", "write the whole path"),
            ("app:9000", "not the address"),
            ("http://", "not the address"),
            ("http://app:0", "not the address"),
            ("http://a b", "not the address"),
            ("http://app/", "more than a host"),
            ("http://app?x", "more than a host"),
            ("http://user:hunter2@app", "password"),
            ("https://user:hunter2@app", "password"),
        ] {
            let faults = upstream(&format!("servers = [\"{server}\"]")).unwrap_err();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(says), "{faults:?}");
            assert!(!faults[0].contains("hunter2"));
        }
    }

    #[test]
    fn a_server_may_be_a_socket_in_the_file_system() {
        let app = upstream("servers = [\"unix:/run/app@1.sock\"]").unwrap();
        assert_eq!(app.servers[0].place, Place::Unix("/run/app@1.sock".into()));
        assert_eq!(app.servers[0].to_string(), "unix:/run/app@1.sock");
        assert_eq!(app.servers[0].authority(), "localhost");
        let faults = upstream(&format!("servers = [\"unix:/{}\"]", "x".repeat(107))).unwrap_err();
        assert!(faults[0].contains("107 bytes at most"), "{faults:?}");
    }

    #[test]
    fn there_is_a_weight_for_each_server_and_equal_ones_are_no_fault() {
        let two = "servers = [\"http://a\", \"http://b\"]\n";
        assert_eq!(upstream(&format!("{two}weights = [3, 3]")).unwrap().weights, [3, 3]);
        for (weights, says) in [
            ("[1]", "weights: has 1 for 2 in servers"),
            ("[1, 2, 3]", "weights: has 3 for 2 in servers"),
            ("[0, 1]", "weights[0]: 0 is out of range"),
        ] {
            let faults = upstream(&format!("{two}weights = {weights}")).unwrap_err();
            assert!(faults[0].contains(says), "{faults:?}");
        }
    }

    #[test]
    fn a_check_asks_for_a_path() {
        let with = |path: &str| {
            let text = format!("servers = [\"http://a\"]\n[health]\npath = \"{path}\"");
            upstream(&text).map(|upstream| upstream.health.path)
        };
        assert_eq!(with("off").unwrap(), None);
        assert_eq!(with("/up?deep=1").unwrap().as_deref(), Some("/up?deep=1"));
        for path in ["health", "/a b", "/a#b", "http://a/health"] {
            assert!(with(path).unwrap_err()[0].contains("is not the path of a request"), "{path}");
        }
    }

    #[test]
    fn an_upstream_has_servers_and_waits_for_them() {
        assert!(upstream("").unwrap_err()[0].starts_with("error: servers: names no server"));
        let text = "servers = [\"http://a\", \"http://A:80\"]\nconnect_timeout = \"0s\"\nresponse_timeout = \"0s\"\nstream_idle_timeout = \"0s\"";
        let faults = upstream(text).unwrap_err();
        assert!(faults[0].starts_with("error: servers[1]: is in the list twice"), "{faults:?}");
        assert_eq!(faults.len(), 4, "{faults:?}");
    }
}
