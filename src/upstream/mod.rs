//! Forwards what [`policy`](crate::policy) permitted. Rank 7.

mod connection;
mod error;
mod forward;
mod identity;
mod intake;
mod pool;
mod progress;
mod pump;
mod request;
mod riding;
mod tunnel;

pub use error::ForwardError;
pub use forward::{Parts, Upstreams, check};
pub use identity::IdentityWriter;
pub use intake::{BodyFault, BodyLimits};
pub use tunnel::Tunnels;
