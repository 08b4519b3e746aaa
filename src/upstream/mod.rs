//! Forwards what [`policy`](crate::policy) permitted. Rank 7.

mod balance;
mod bonds;
mod checks;
mod connect;
mod connection;
mod error;
mod exchange;
mod forward;
mod health;
mod http2;
mod identity;
mod intake;
mod pool;
mod preview;
mod progress;
mod pump;
mod request;
mod request_body;
mod riding;
mod servers;
mod tunnel;

pub use connection::Drivers;
pub use error::ForwardError;
pub use forward::{Parts, Upstreams};
pub use identity::IdentityWriter;
pub use intake::{BodyFault, BodyLimits};
pub use preview::Preview;
pub use request_body::{RequestBody, Trail};
pub use servers::check;
pub use tunnel::Tunnels;
