//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::accept::{Ending, Handshakes, Shared, Terms};
use super::frames::{Policed, ResetLimits};
use super::patience::{Watch, Watched};
use super::streams::{Paced, Resets, Streams};
use super::tls::Opened;
use super::{Belongings, Handler, Handshake, Peer, Voice};
use crate::config::Limits;
use crate::http::{Body, Scheme};

/// What an HTTP/1.1 connection may hold of a request, and of an answer, for a side that is slower than the other. hyper's
/// usual 408 KiB would be half a gigabyte for a thousand slow readers.
const HTTP1_BUFFER: usize = 64 * 1024;

/// How long an HTTP/2 connection may be silent before we ask whether somebody is there, and wait for the answer.
const H2_PING: Duration = Duration::from_secs(20);

/// How long a connection without a request may stay when the process is ending.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long one may that has just been made: whoever made it is about to ask for something.
const WELCOME: Duration = Duration::from_secs(5);

/// What a stream of an HTTP/2 connection may hold for a client that does not read.
const H2_SEND_BUFFER: usize = 128 * 1024;

/// What a client may send of a body before somebody takes it, and of all bodies on one connection.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
const H2_CONNECTION_WINDOW: u32 = 512 * 1024;

/// What all connections of a listener share.
#[derive(Clone)]
pub(super) struct Connections<H> {
    pub(super) handler: H,
    /// The listener's, for metrics.
    pub(super) name: Arc<str>,
    pub(super) shared: Shared,
    pub(super) terms: Arc<Terms>,
    pub(super) ending: Ending,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) address: SocketAddr,
    pub(super) voice: Voice,
}

impl Caller {
    fn peer(self, scheme: Scheme, handshake: Handshake) -> Peer {
        Peer { address: self.address, scheme, handshake, voice: self.voice }
    }
}

impl<H: Handler> Connections<H> {
    /// Serves HTTP/1.
    pub(super) async fn plain<S>(self, stream: S, caller: Caller)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.http1(stream, caller.peer(Scheme::Http, Handshake::None)).await;
    }

    /// Serves what the handshake agrees on; or HTTP/1 where there is none, because somebody typed `http:` before the
    /// address.
    pub(super) async fn tls(self, stream: TcpStream, caller: Caller, handshakes: &Handshakes) {
        // Boxed, so that a connection takes what its own protocol needs and not what the others would.
        let opening = Box::pin(handshakes.tls.open(stream, &handshakes.threads));
        let opened = tokio::time::timeout(self.terms.limits.handshake_timeout, opening).await;
        let Ok(Ok(opened)) = opened else {
            tracing::debug!(client = %caller.address, "a TLS handshake failed or took too long");
            return;
        };
        let (stream, handshake) = match opened {
            Opened::Tls(stream, handshake) => (stream, handshake),
            Opened::Plain(stream) => return Box::pin(self.plain(stream, caller)).await,
        };
        let peer = caller.peer(Scheme::Https, handshake);
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Box::pin(self.http2(stream, peer)).await,
            _ => Box::pin(self.http1(stream, peer)).await,
        }
    }

    async fn http1<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { handler, terms, ending, .. } = self;
        let limits = terms.limits;
        let watch = Watch::of_heads();
        let requests = watch.clone();
        let belongings = Belongings::default();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(belongings.clone());
            let (handler, under_way) = (handler.clone(), requests.request());
            async move {
                let answer = answer_boxed(&handler, request, peer).await;
                if let Some(over) = answer.body().cut_off() {
                    under_way.cut_off_at(over.clone());
                }
                Ok::<_, Infallible>(answer.map(|body| Held { body, _until_the_end: under_way }))
            }
        });
        let stream = TokioIo::new(Watched::new(stream, watch.clone()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_headers(limits.header_count * 2)
            .max_buf_size(http1_buffer(&limits))
            .title_case_headers(true)
            .serve_connection(stream, service)
            .with_upgrades();
        let drive = Drive { watch, limits, ending, peer };
        drive.run(pin!(connection), http1::UpgradeableConnection::graceful_shutdown).await;
    }

    async fn http2<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { handler, shared, terms, ending, .. } = self;
        let watch = Watch::of_frames();
        let limits = terms.limits;
        let ending = Ending { abort: ending.abort.child_token(), ..ending };
        let resets = Resets::new(limits.h2_resets_per_second, ending.abort.clone());
        let belongings = Belongings::default();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(belongings.clone());
            let (handler, unanswered) = (handler.clone(), resets.request());
            async move {
                unanswered.looked_at_twice().await;
                let answer = answer_boxed(&handler, request, peer).await;
                unanswered.answered();
                Ok::<_, Infallible>(answer.map(Paced::new))
            }
        });
        let write_timeout = limits.write_timeout;
        let (tasks, abort) = (shared.tasks, ending.abort.clone());
        let streams = Streams { tasks, abort, write_timeout, watch: watch.clone() };
        let most = ResetLimits { each_second: limits.h2_resets_per_second, streams: limits.h2_streams };
        let stream = Policed::new(Watched::new(stream, watch.clone()), most);
        let connection = http2::Builder::new(streams)
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.h2_streams)
            .max_header_list_size(h2_header_list(&limits))
            .enable_connect_protocol()
            .max_send_buf_size(H2_SEND_BUFFER)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .keep_alive_interval(H2_PING)
            .keep_alive_timeout(H2_PING)
            .serve_connection(TokioIo::new(stream), service);
        let drive = Drive { watch, limits, ending, peer };
        drive.run(pin!(connection), http2::Connection::graceful_shutdown).await;
    }
}

/// The answer, from a future of its own: hyper keeps room for it as long as the connection lives, and it is large.
async fn answer_boxed<H: Handler>(handler: &H, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    Box::pin(handler.handle(request, peer)).await
}

/// hyper's own bound on a head, above ours: what is too long is answered by us.
fn http1_buffer(limits: &Limits) -> usize {
    let ours = usize::try_from(2 * (limits.header_bytes + limits.uri_bytes)).unwrap_or(usize::MAX);
    ours.max(HTTP1_BUFFER)
}

/// The same for HTTP/2, which counts 32 bytes for each field beside its own (RFC 9113 §6.5.2).
fn h2_header_list(limits: &Limits) -> u32 {
    let fields = limits.header_count as u64 * 2 * 32;
    u32::try_from(2 * (limits.header_bytes + limits.uri_bytes) + fields).unwrap_or(u32::MAX)
}

/// Runs a connection to its end.
struct Drive {
    watch: Watch,
    limits: Limits,
    ending: Ending,
    peer: Peer,
}

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finishing {
    No,
    /// As soon as something has come by it.
    Newcomer,
    /// It has been asked to.
    Asked,
}

impl Drive {
    /// Asks the connection to come to an end when it is time, or when it has been idle for too long; drops it
    /// when it is overdue otherwise, or aborted.
    async fn run<C>(mut self, mut connection: Pin<&mut C>, ask_to_finish: impl Fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut finishing = Finishing::No;
        loop {
            tokio::select! {
                // In this order: an answer that has just begun may have to be broken off.
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(client = %self.peer.address, %error, "a connection ended badly");
                    }
                    return;
                }
                () = self.ending.finish.cancelled(), if finishing == Finishing::No => {
                    finishing = Finishing::Newcomer;
                    self.limits.idle_timeout = self.limits.idle_timeout.min(WELCOME);
                }
                // hyper closes a connection at once by which nothing has come yet.
                () = self.watch.begun(), if finishing == Finishing::Newcomer => {
                    finishing = Finishing::Asked;
                    ask_to_finish(connection.as_mut());
                    // Nothing more is waited for where nothing is under way.
                    self.limits.idle_timeout = self.limits.idle_timeout.min(FAREWELL);
                }
                () = self.ending.abort.cancelled() => return,
                () = self.watch.cut_off() => {
                    tracing::debug!(client = %self.peer.address, "a connection is closed: its answer is broken off");
                    return;
                }
                why = self.watch.overdue(&self.limits) => {
                    tracing::debug!(client = %self.peer.address, ?why, "a connection is closed: it took too long");
                    return;
                }
            }
        }
    }
}

/// A body that holds something until it is over.
struct Held<B, T> {
    body: B,
    _until_the_end: T,
}

impl<B: HttpBody + Unpin, T: Unpin> HttpBody for Held<B, T> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
