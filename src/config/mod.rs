//! The configuration: one section a file, each with the struct as checked, its defaults and its check; [`load`]
//! reads them all and tells every fault at once.
//!
//! Rank 2. Past this border nothing is checked twice: what a [`Config`] holds is valid.

mod auth;
mod client_auth;
mod client_tls;
mod context;
mod cookies;
mod csrf;
#[cfg(test)]
mod documented;
mod environment;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod health;
mod host;
mod hsts;
mod identity;
mod limits;
mod load;
mod log;
mod login;
mod network;
mod passing;
mod path;
mod policy_mode;
mod pool;
pub mod reader;
mod route;
mod secret;
mod server;
mod server_url;
mod session;
#[cfg(test)]
mod testing;
mod tls;
mod upstream;
mod well_known;

use std::path::PathBuf;

pub use auth::{Auth, LocalAuth};
pub use client_auth::{ClientAuth, ClientAuthMode};
pub use client_tls::ClientTls;
pub use cookies::{CookieRule, Cookies, NamePattern};
pub use csrf::Csrf;
pub use environment::Environment;
pub use headers::Headers;
pub use health::Health;
pub use hsts::Hsts;
pub use identity::{Identity, IdentityHeaders};
pub use limits::Limits;
pub use load::{Loaded, find, load};
pub use log::{AuditTarget, Log, LogFormat, LogLevel};
pub use login::Login;
pub use passing::{EncodedSlashes, Passing};
pub use policy_mode::PolicyMode;
pub use pool::{Balance, PoolBounds};
pub use reader::{Complaint, Fault, Faults, Origin, Setting, Severity};
pub use route::{Access, HostPattern, Preflight, Route, Unauthenticated};
pub use server::{AdminSocket, ListenAt, ProxyProtocol, Server};
pub use server_url::{Place, ServerScheme, ServerUrl};
pub use session::{
    Activity, AtLimit, Bind, Cache, MIN_SECRET_BYTES, OnOutage, RedisAddress, RedisCluster, RedisEndpoint,
    RedisSentinels, RedisUrl, Session, SessionCookie, SessionSecret, SiteData, Store, StoreUrl,
};
pub use tls::{CertificateFiles, Tls, TlsVersion};
pub use upstream::{HostHeader, Upstream};

pub use crate::http::SameSite;

/// The whole of `proxy.toml`, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether what production refuses is allowed.
    pub mode: Mode,
    /// `[server]`
    pub server: Server,
    /// `[tls]`
    pub tls: Tls,
    /// `[hsts]`
    pub hsts: Hsts,
    /// `[session]`
    pub session: Session,
    /// `[login]`
    pub login: Login,
    /// `[auth.*]`
    pub auth: Auth,
    /// `[identity.*]`
    pub identity: Identity,
    /// `[upstream.*]`, in the file's order.
    pub upstreams: Vec<Upstream>,
    /// `[[route]]`, in the file's order.
    pub routes: Vec<Route>,
    /// `[csrf]`
    pub csrf: Csrf,
    /// `[headers]`
    pub headers: Headers,
    /// `[cookies]`
    pub cookies: Cookies,
    /// `[log]`
    pub log: Log,
    /// The folder of the file, which relative paths start from.
    pub folder: PathBuf,
}

/// What the program is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In front of real users.
    Production,
    /// On somebody's own machine: inline secrets, generated certificates and Secure-less cookies are allowed.
    Development,
}
