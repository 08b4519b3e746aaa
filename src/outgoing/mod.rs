//! TLS towards everything that the proxy connects to. Rank 3.

mod tls;

pub use tls::{TlsClient, TlsError, TlsFiles};
