//! What a request brings to an upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::http::BodyError;

/// A request's body.
#[derive(Debug)]
pub enum RequestBody {
    /// It comes in as it is sent on.
    Incoming(Incoming),
    /// It was read before.
    Whole(Bytes),
    /// It was read before, and somebody wants to know whether it is sent.
    Traced(Bytes, Trail),
}

/// Tells whether anybody has begun to send a body.
#[derive(Clone, Debug)]
pub struct Trail(Arc<AtomicBool>);

impl Trail {
    /// Of this body. One with nothing in it is taken by nobody, so it counts as begun from the beginning.
    pub fn of(body: &Bytes) -> Self {
        Self(Arc::new(AtomicBool::new(body.is_empty())))
    }

    /// Whether a server may have some of it.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Incoming(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Whole(bytes) | Self::Traced(bytes, _) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Traced(bytes, Trail(has_begun)) => {
                has_begun.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(body) => body.is_end_stream(),
            Self::Whole(bytes) | Self::Traced(bytes, _) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(body) => body.size_hint(),
            Self::Whole(bytes) | Self::Traced(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
