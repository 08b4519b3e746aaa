//! `[upstream.*]`: the applications.

use std::time::Duration;

use super::context::Context;
use super::host;
use super::reader::{Complaint, Section, kind};
use super::{ClientTls, client_tls};
use crate::http::Scheme;

/// One application, under its own name.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The name that routes refer to.
    pub name: String,
    /// Its servers; at least one.
    pub servers: Vec<ServerUrl>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the response's head.
    pub response_timeout: Duration,
    /// How long a pooled connection may lie idle.
    pub idle_timeout: Duration,
    /// Which `Host` it gets.
    pub host: HostHeader,
    /// Whom we trust to name those of its servers that speak TLS.
    pub tls: ClientTls,
}

/// `http://host:port`, `https://host:port`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// What is spoken there.
    pub scheme: Scheme,
    /// A name or an address (IPv6 without brackets). In TLS the certificate has to name it.
    pub host: String,
    /// The port; the scheme's own where the URL has none.
    pub port: u16,
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
    let upstream = Upstream {
        name: name.to_owned(),
        servers: section.list("servers", kind::text_as(server), Vec::new()),
        connect_timeout: section.value("connect_timeout", kind::positive_duration, Duration::from_secs(2)),
        response_timeout: section.value("response_timeout", kind::positive_duration, Duration::from_secs(60)),
        idle_timeout: section.value("idle_timeout", kind::duration, Duration::from_secs(30)),
        host: section.value("host", kind::one_of(&HOSTS), HostHeader::Keep),
        tls: client_tls::ca(section, context),
    };
    if upstream.servers.is_empty() {
        section.error("servers", "names no server", "write servers = [\"http://127.0.0.1:9000\"]");
    }
    if section.has("ca") && section.sound("servers") && !upstream.speaks_tls() {
        section.warn(
            "ca",
            "is not used: no server speaks TLS",
            "write https:// in servers, or leave the key out",
        );
    }
    upstream
}

impl Upstream {
    /// Whether one of its servers at least does.
    pub fn speaks_tls(&self) -> bool {
        self.servers.iter().any(|server| server.scheme == Scheme::Https)
    }
}

fn server(text: &str) -> Result<ServerUrl, Complaint> {
    if text.contains('@') {
        // Not repeated: what stands before it may be a password.
        return Err(Complaint::new(
            "holds a user's name or password",
            "write http://HOST:PORT or https://HOST:PORT",
        ));
    }
    let complain = |what: &str, remedy: &str| Err(Complaint::new(format!("{text:?} {what}"), remedy));
    let (scheme, authority) = match text.split_once("://") {
        Some(("http", authority)) => (Scheme::Http, authority),
        Some(("https", authority)) => (Scheme::Https, authority),
        _ if text.starts_with("h2c://") || text.starts_with("unix:") => {
            return complain(
                "is of a kind that is not supported yet",
                "write http://HOST:PORT or https://HOST:PORT",
            );
        }
        _ => {
            return complain("is not the address of a server", "write http://HOST:PORT or https://HOST:PORT");
        }
    };
    if authority.contains(['/', '?', '#']) {
        return complain(
            "has more than a host and a port",
            &format!("write {}://HOST:PORT, without a slash at the end", scheme.as_str()),
        );
    }
    match host::with_port(authority) {
        Some((host, port)) => {
            Ok(ServerUrl { scheme, host, port: port.unwrap_or_else(|| scheme.default_port()) })
        }
        None => complain("is not the address of a server", &format!("write {}://HOST:PORT", scheme.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::{lines, outcome, production};
    use super::*;

    fn upstream(text: &str) -> Result<Upstream, Vec<String>> {
        outcome(text, |section| read("app", section, production(&[]))).map(|(upstream, _)| upstream)
    }

    #[test]
    fn a_server_is_enough() {
        let app = upstream("servers = [\"http://App:9000\", \"http://[::1]\"]").unwrap();
        assert_eq!(app.name, "app");
        let server = |host: &str, port| ServerUrl { scheme: Scheme::Http, host: host.to_owned(), port };
        assert_eq!(app.servers, [server("app", 9000), server("::1", 80)]);
        assert_eq!(
            (app.connect_timeout, app.response_timeout),
            (Duration::from_secs(2), Duration::from_secs(60))
        );
        assert_eq!((app.idle_timeout, app.host), (Duration::from_secs(30), HostHeader::Keep));
    }

    #[test]
    fn a_server_may_speak_tls() {
        let app = upstream("servers = [\"https://app\", \"https://app:8443\"]\nca = \"ca.pem\"").unwrap();
        let server = |port| ServerUrl { scheme: Scheme::Https, host: "app".to_owned(), port };
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
            ("h2c://app", "not supported yet"),
            ("unix:/run/app.sock", "not supported yet"),
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
    fn an_upstream_has_servers_and_waits_for_them() {
        assert!(upstream("").unwrap_err()[0].starts_with("error: servers: names no server"));
        let text =
            "servers = [\"http://a\", \"http://A:80\"]\nconnect_timeout = \"0s\"\nresponse_timeout = \"0s\"";
        let faults = upstream(text).unwrap_err();
        assert!(faults[0].starts_with("error: servers[1]: is in the list twice"), "{faults:?}");
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
