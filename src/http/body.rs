//! The one body type of answers and of forwarded requests.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

/// What a stream of bytes may fail with.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// A stream that somebody else produces.
type Stream = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>;

/// A message's content: nothing, one piece that we made, or a stream that passes through.
#[derive(Default)]
pub struct Body {
    content: Content,
    watcher: Option<Box<dyn Watcher>>,
    cut_off: Option<CancellationToken>,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(Stream),
}

/// Hears what becomes of a body. Told of each piece that was handed on; dropped when the body is, which is how
/// it learns that nothing more will come.
pub trait Watcher: Send {
    /// So many bytes were handed on.
    fn passed(&mut self, bytes: usize);
    /// The body came to its proper end.
    fn ended(&mut self);
}

impl Body {
    /// No content.
    pub fn empty() -> Self {
        Self::default()
    }

    /// One piece.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Whole(bytes.into()), ..Self::default() }
    }

    /// A stream.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        use http_body_util::BodyExt;
        Self { content: Content::Stream(Box::pin(body.map_err(Into::into))), ..Self::default() }
    }

    /// The same body, watched; a body has one watcher.
    pub fn watched(mut self, watcher: impl Watcher + 'static) -> Self {
        self.watcher = Some(Box::new(watcher));
        if self.is_end_stream() {
            self.tell_end();
        }
        self
    }

    /// The same body, to be broken off visibly at `over`, however far it has come and whoever holds it up.
    pub fn cut_off_at(self, over: CancellationToken) -> Self {
        Self { cut_off: Some(over), ..self }
    }

    /// When whoever sends it has to break it off; `None`: never.
    pub fn cut_off(&self) -> Option<&CancellationToken> {
        self.cut_off.as_ref()
    }

    fn tell_end(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            watcher.ended();
        }
    }

    fn tell(&mut self, frame: &Frame<Bytes>) {
        if let (Some(watcher), Some(data)) = (&mut self.watcher, frame.data_ref()) {
            watcher.passed(data.len());
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Whole(bytes) => {
                let piece = std::mem::take(bytes);
                self.content = Content::Empty;
                Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
            }
            Content::Stream(stream) => stream.as_mut().poll_frame(context),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.tell(frame);
                if self.is_end_stream() {
                    self.tell_end();
                }
            }
            Poll::Ready(None) => self.tell_end(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Empty => out.write_str("Body::Empty"),
            Content::Whole(bytes) => write!(out, "Body::Whole({} bytes)", bytes.len()),
            Content::Stream(_) => out.write_str("Body::Stream"),
        }
    }
}
