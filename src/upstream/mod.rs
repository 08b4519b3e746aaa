//! Forwards what [`policy`](crate::policy) permitted. Rank 7.

mod connection;
mod forward;
mod identity;
mod intake;
mod pool;
mod progress;
mod request;

pub use forward::{ForwardError, Upstreams};
pub use identity::IdentityWriter;
pub use intake::{BodyFault, BodyLimits};
