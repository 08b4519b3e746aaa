//! A request's body as it comes in: so large and no larger, and never silent for too long.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::progress::Upload;
use super::request_body::RequestBody;
use crate::http::BodyError;

/// How much of a body is taken, and how slowly.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes.
    pub bytes: u64,
    /// The longest silence.
    pub silence: Duration,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It is larger than allowed (413).
    #[error("the request's body is too large")]
    TooLarge,
    /// It does not come (408).
    #[error("the request's body did not come in time")]
    TooSlow,
    /// Its client broke it off (400, for whoever may still read it).
    #[error("the request's body was broken off")]
    BrokenOff,
}

/// Says afterwards what was wrong with a body, if anything was.
pub(super) type Verdict = Arc<OnceLock<BodyFault>>;

/// A body under its limits. Its trailers stay behind, since a header may hide among them.
pub(super) struct Intake {
    body: RequestBody,
    limits: BodyLimits,
    silence: Option<Pin<Box<Sleep>>>,
    verdict: Verdict,
    upload: Upload,
}

impl Intake {
    /// Refuses at once what says itself that it is too large.
    pub(super) fn new(
        body: RequestBody,
        limits: BodyLimits,
        verdict: Verdict,
        upload: Upload,
    ) -> Result<Self, BodyFault> {
        if body.size_hint().lower() > limits.bytes {
            return Err(BodyFault::TooLarge);
        }
        Ok(Self { body, limits, silence: None, verdict, upload })
    }

    fn fail(&self, fault: BodyFault) -> BodyError {
        // The first fault is the one that counts.
        let _ = self.verdict.set(fault);
        fault.into()
    }

    fn waits_too_long(&mut self, context: &mut Context<'_>) -> bool {
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(self.limits.silence)));
        silence.as_mut().poll(context).is_ready()
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.silence = None;
        self.upload.came();
        let length = frame.data_ref()?.len() as u64;
        match self.limits.bytes.checked_sub(length) {
            Some(left) => self.limits.bytes = left,
            None => return Some(Err(self.fail(BodyFault::TooLarge))),
        }
        Some(Ok(frame))
    }
}

impl HttpBody for Intake {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(self.take(frame)),
            Poll::Ready(Some(Err(error))) => {
                // Whatever comes of it upstream, no server is to blame.
                let _ = self.verdict.set(BodyFault::BrokenOff);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.upload.came();
                Poll::Ready(None)
            }
            Poll::Pending if self.waits_too_long(context) => {
                Poll::Ready(Some(Err(self.fail(BodyFault::TooSlow))))
            }
            Poll::Pending => {
                self.upload.waits();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
