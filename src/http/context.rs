//! The canonical view of a request, made once; routing, access and forwarding all use this one.

use std::net::IpAddr;

use http::Method;

use super::{Authority, Intent, RequestKind, Scheme, Target};
use crate::base::request_id::RequestId;

/// What is known of a request before anything is decided about it.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Its name in logs, in the answer and upstream.
    pub id: RequestId,
    /// Who sent it, as far as the proxy believes.
    pub client: IpAddr,
    /// What upstreams are told of the way: each hop's address, the one that connected to us last.
    pub hops: Vec<IpAddr>,
    /// What its sender sent it by, as far as the proxy believes.
    pub scheme: Scheme,
    /// The host it is for.
    pub authority: Authority,
    /// What it wants done.
    pub method: Method,
    /// What it is for.
    pub intent: Intent,
    /// What it is about.
    pub target: Target,
    /// Whether a person navigates or a script asks.
    pub kind: RequestKind,
    /// Whether the browser says that another site caused it (Sec-Fetch-Site: cross-site).
    pub cross_site: bool,
}
