//! Forwards what [`policy`](crate::policy) permitted. Rank 7.

mod connection;
mod forward;
mod identity;
mod intake;
mod pool;
mod progress;
mod pump;
mod request;
mod tunnel;

pub use forward::{ForwardError, Parts, Upstreams, check};
pub use identity::IdentityWriter;
pub use intake::{BodyFault, BodyLimits};
pub use tunnel::Tunnels;
