//! Message rules: pure functions over one head, each the one place where its rule is decided.
//!
//! Rank 1. The rule behind the rules: the proxy and the upstream never read one message in two ways.

mod arrival;
mod authority;
mod body;
pub mod connection_auth;
mod context;
mod cookie_date;
pub mod cookies;
mod forwarded;
pub mod forwarding;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod header_name;
pub mod hop_by_hop;
mod intent;
mod limits;
mod max_forwards;
mod navigation;
mod origin;
mod percent;
mod problem;
mod public_address;
mod redirect;
mod request_head;
mod request_headers;
pub mod set_cookie;
mod target;
#[cfg(test)]
pub mod testing;
pub mod trailers;
mod trusted_proxies;
pub mod websocket;
mod whole;

pub use arrival::{Arrival, BadForwarding, is_said_to_be_secure};
pub use authority::{Authority, BadAuthority, Scheme};
pub use body::{Body, BodyError, Watcher};
pub use context::RequestContext;
pub use forwarded::BadForwarded;
pub use forwarding::Way;
pub use header_name::{ManagedNames, folded};
pub use intent::Intent;
pub use limits::{HeadLimits, HeadTooLarge};
pub use max_forwards::{BadMaxForwards, Destination, count_hop};
pub use navigation::{RequestKind, accepts, is_cross_site, kind};
pub use origin::{Origin, Provenance, Sender, Site, provenance};
pub use problem::Problem;
pub use public_address::PublicAddress;
pub use redirect::{redirect, redirected};
pub use request_head::{Malformed, are_tokens, check as check_head};
pub use request_headers::{Cleansed, Underscores, cleanse};
pub use set_cookie::{SameSite, SetCookie};
pub use target::{BadTarget, PathPrefix, Target};
pub use trusted_proxies::TrustedProxies;
pub use whole::read_whole;
