//! Active checks: a request now and then, to know of a server that is away before a user does.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connect::Opened;
use super::connection::{Connection, Drivers, Wish};
use super::error::ForwardError;
use super::forward::Upstreams;
use super::health::Checked;
use super::http2;
use super::pool::Pool;
use crate::config;
use crate::http::Body;

impl Upstreams {
    /// Checks the servers of which that is wanted, until `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        let mut watches = JoinSet::new();
        for (pool, settings) in self.pools_with_health() {
            let Some(path) = settings.path.clone() else { continue };
            let check = Check { pool, path, drivers: self.drivers() };
            watches.spawn(check.again_and_again(settings.clone()));
        }
        stop.cancelled().await;
        watches.shutdown().await;
    }
}

struct Check {
    pool: Arc<Pool>,
    path: String,
    drivers: Drivers,
}

impl Check {
    async fn again_and_again(self, settings: config::Health) {
        loop {
            let result = timeout(settings.timeout, self.once(&settings)).await;
            let result = result.unwrap_or(Err(ForwardError::Timeout));
            self.pool.health.checked(match result {
                Ok(status) if status.is_success() || status.is_redirection() => Checked::Good,
                result => {
                    tracing::debug!(server = self.pool.server.label, ?result, "a check failed");
                    Checked::Bad
                }
            });
            sleep(settings.interval).await;
        }
    }

    /// On a connection of its own: a new one says more of a server than one that it made long ago.
    async fn once(&self, settings: &config::Health) -> Result<StatusCode, ForwardError> {
        let server = &self.pool.server;
        let opened = server.connect(Wish::Any, settings.timeout, &self.drivers).await?;
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = self.path.parse().expect("the path was checked");
        let host = HeaderValue::from_str(&server.url.authority()).expect("an authority is ASCII");
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let mut connection = match opened {
            Opened::Own(own) => Connection::Own(own),
            Opened::Shared(shared) => {
                http2::convert(&mut request, server.url.scheme.within());
                let stream = Arc::new(shared).stream(Duration::MAX);
                Connection::Shared(stream.expect("it is new"))
            }
        };
        let answer = connection.send(request).await;
        answer.map(|answer| answer.status()).map_err(|error| ForwardError::Broken(error.into_error()))
    }
}
