//! Where a server of an upstream is, and what is spoken there.

use std::fmt;
use std::path::{Path, PathBuf};

use super::host;
use super::reader::Complaint;
use crate::http::Scheme;

/// `http://host:port`, `https://host:port`, `h2c://host:port`, `unix:/path`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// What is spoken there.
    pub scheme: ServerScheme,
    /// Where it is.
    pub place: Place,
}

/// What is spoken with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerScheme {
    /// HTTP/1.1.
    Http,
    /// TLS, and HTTP/2 or HTTP/1.1 within, as is agreed on.
    Https,
    /// HTTP/2 from the first byte on.
    H2c,
}

impl ServerScheme {
    /// The scheme that requests have there.
    pub const fn within(self) -> Scheme {
        match self {
            Self::Http | Self::H2c => Scheme::Http,
            Self::Https => Scheme::Https,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

/// What connections are made to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A port of a machine.
    Network {
        /// A name or an address (IPv6 without brackets). In TLS the certificate has to name it.
        host: String,
        /// The port; the scheme's own where the URL has none.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// The longest path that the kernel takes for a socket.
const LONGEST_SOCKET_PATH: usize = 107;

const FORMS: &str = "write http://HOST:PORT, https://HOST:PORT, h2c://HOST:PORT or unix:/PATH";

impl ServerUrl {
    /// What a `Host` header says of it. A socket has no name of its own.
    pub fn authority(&self) -> String {
        match &self.place {
            Place::Network { host, port } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                if *port == self.scheme.within().default_port() { host } else { format!("{host}:{port}") }
            }
            Place::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The address that it would give of itself: its scheme and its authority.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.within().as_str(), self.authority())
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Network { .. } => write!(out, "{}://{}", self.scheme.as_str(), self.authority()),
            Place::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

pub(super) fn server(text: &str) -> Result<ServerUrl, Complaint> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(path);
    }
    if text.contains('@') {
        // Not repeated: what stands before it may be a password.
        return Err(Complaint::new("holds a user's name or password", FORMS));
    }
    let complain = |what: &str, remedy: &str| Err(Complaint::new(format!("{text:?} {what}"), remedy));
    let (scheme, authority) = match text.split_once("://") {
        Some(("http", authority)) => (ServerScheme::Http, authority),
        Some(("https", authority)) => (ServerScheme::Https, authority),
        Some(("h2c", authority)) => (ServerScheme::H2c, authority),
        _ => return complain("is not the address of a server", FORMS),
    };
    if authority.contains(['/', '?', '#']) {
        return complain(
            "has more than a host and a port",
            &format!("write {}://HOST:PORT, without a slash at the end", scheme.as_str()),
        );
    }
    match host::with_port(authority) {
        Some((host, port)) => {
            let port = port.unwrap_or_else(|| scheme.within().default_port());
            Ok(ServerUrl { scheme, place: Place::Network { host, port } })
        }
        None => complain("is not the address of a server", &format!("write {}://HOST:PORT", scheme.as_str())),
    }
}

fn socket(path: &str) -> Result<ServerUrl, Complaint> {
    if !Path::new(path).is_absolute() {
        let what = format!("\"unix:{path}\" does not say where the socket is");
        return Err(Complaint::new(what, "write the whole path: unix:/run/app.sock"));
    }
    if path.len() > LONGEST_SOCKET_PATH || path.contains('\0') {
        let what = format!("\"unix:{path}\" is not a path that a socket can have");
        return Err(Complaint::new(what, format!("take one of {LONGEST_SOCKET_PATH} bytes at most")));
    }
    Ok(ServerUrl { scheme: ServerScheme::Http, place: Place::Unix(PathBuf::from(path)) })
}
