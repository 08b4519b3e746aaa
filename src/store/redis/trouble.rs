//! What Redis's errors mean to the store's callers.

use std::error::Error;
use std::io;
use std::sync::Arc;

use deadpool_redis::redis::{ErrorKind, RedisError};

use crate::outgoing::TlsError;
use crate::store::{Trouble, Unavailable};

impl From<RedisError> for Unavailable {
    fn from(error: RedisError) -> Self {
        Self { kind: kind(&error), source: Some(Box::new(error)) }
    }
}

/// The answer did not come in time.
pub(super) fn overdue() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// The answer is of a type that the command never gives.
pub(super) fn nonsense() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "an answer of another type than the command gives").into()
}

/// Whether an error may come of a master's being one no longer.
pub(super) fn casts_doubt(error: &RedisError) -> bool {
    use Trouble::{Connection, NotReady, ReadOnly, Timeout, Tls};
    matches!(kind(error), Connection | Timeout | Tls | ReadOnly | NotReady)
}

fn kind(error: &RedisError) -> Trouble {
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => Trouble::Timeout,
        ErrorKind::Io if is_of_tls(error) => Trouble::Tls,
        ErrorKind::Io => Trouble::Connection,
        ErrorKind::AuthenticationFailed => Trouble::Denied,
        _ => kind_of_code(error.code().unwrap_or_default()),
    }
}

/// The handshake's failures are ours; what breaks TLS afterwards is the library's own. In TLS 1.3 that may be what
/// Redis thinks of our certificate.
fn is_of_tls(error: &RedisError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>()).and_then(io::Error::get_ref);
    cause.is_some_and(|cause| cause.is::<TlsError>() || cause.is::<rustls::Error>())
}

/// Redis begins every error with a code; `MISCONF` is a disk that takes no snapshot.
fn kind_of_code(code: &str) -> Trouble {
    match code {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => Trouble::Denied,
        "READONLY" | "NOREPLICAS" => Trouble::ReadOnly,
        "OOM" | "MISCONF" => Trouble::Full,
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" => Trouble::NotReady,
        _ => Trouble::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::parse_redis_value;

    use super::*;

    fn kind_of_reply(reply: &str) -> Trouble {
        let value = parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        kind(&value.extract_error().unwrap_err())
    }

    #[test]
    fn every_refusal_of_redis_has_its_kind() {
        for (reply, expected) in [
            ("NOAUTH Authentication required.", Trouble::Denied),
            ("WRONGPASS invalid username-password pair or user is disabled.", Trouble::Denied),
            ("NOPERM this user has no permissions to run the 'get' command", Trouble::Denied),
            ("DENIED Redis is running in protected mode", Trouble::Denied),
            ("READONLY You can't write against a read only replica.", Trouble::ReadOnly),
            ("OOM command not allowed when used memory > 'maxmemory'.", Trouble::Full),
            ("MISCONF Redis is configured to save RDB snapshots", Trouble::Full),
            ("LOADING Redis is loading the dataset in memory", Trouble::NotReady),
            ("MASTERDOWN Link with MASTER is down", Trouble::NotReady),
            ("CLUSTERDOWN The cluster is down", Trouble::NotReady),
            ("NOREPLICAS Not enough good replicas to write.", Trouble::ReadOnly),
            ("BUSY Redis is busy running a script.", Trouble::NotReady),
            ("MOVED 3999 127.0.0.1:6381", Trouble::Protocol),
            ("ERR unknown command", Trouble::Protocol),
        ] {
            assert_eq!(kind_of_reply(reply), expected, "{reply}");
        }
    }

    #[test]
    fn what_breaks_on_the_way_has_its_kind() {
        assert_eq!(kind(&overdue()), Trouble::Timeout);
        assert_eq!(kind(&io::Error::from(io::ErrorKind::ConnectionRefused).into()), Trouble::Connection);
        assert_eq!(kind(&io::Error::from(io::ErrorKind::UnexpectedEof).into()), Trouble::Connection);
        assert_eq!(kind(&nonsense()), Trouble::Protocol);
        let silent = TlsError::Silent { host: "cache".to_owned() };
        assert_eq!(kind(&io::Error::other(silent).into()), Trouble::Tls);
        let refused = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        assert_eq!(kind(&io::Error::new(io::ErrorKind::InvalidData, refused).into()), Trouble::Tls);
    }
}
