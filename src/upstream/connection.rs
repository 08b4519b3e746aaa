//! One connection to a server, and the answer that still uses it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::forward::ForwardError;
use super::pool::{Busy, Pool};
use crate::config::ServerUrl;
use crate::http::Body;

/// Sends requests on one connection, one after the other.
pub(super) type Sender = SendRequest<Body>;

/// Owns the tasks that drive connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Drivers {
    pub(super) tasks: TaskTracker,
    pub(super) abort: CancellationToken,
}

/// Opens a connection; the whole of it takes `patience` at most.
pub(super) async fn connect(
    server: &ServerUrl,
    patience: Duration,
    drivers: &Drivers,
) -> Result<Sender, ForwardError> {
    let opened = tokio::time::timeout(patience, open(server)).await;
    let stream = match opened {
        Ok(stream) => stream.map_err(ForwardError::Connect)?,
        Err(_) => return Err(ForwardError::ConnectTimeout),
    };
    let (sender, connection) = Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ForwardError::Broken)?;
    let abort = drivers.abort.clone();
    drivers.tasks.spawn(async move {
        if let Some(Err(error)) = abort.run_until_cancelled_owned(connection).await {
            tracing::debug!(%error, "a connection to an upstream ended badly");
        }
    });
    Ok(sender)
}

async fn open(server: &ServerUrl) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An answer's body; gives its connection back to the pool at its proper end. Dropped before that, it takes the
/// connection with it, so that nobody reads the rest of somebody else's answer.
pub(super) struct Answer {
    body: Incoming,
    lease: Option<(Sender, Arc<Pool>)>,
    _busy: Busy,
}

impl Answer {
    pub(super) fn new(body: Incoming, sender: Sender, pool: Arc<Pool>) -> Self {
        let busy = pool.occupy();
        let mut answer = Self { body, lease: Some((sender, pool)), _busy: busy };
        if answer.body.is_end_stream() {
            answer.give_back();
        }
        answer
    }

    fn give_back(&mut self) {
        if let Some((sender, pool)) = self.lease.take() {
            pool.put(sender);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.give_back(),
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Err(_))) => self.lease = None,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
