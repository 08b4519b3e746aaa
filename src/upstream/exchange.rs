//! One request, at one server after the other, and its answer.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::balance::Sender;
use super::bonds::{Bonds, Turn};
use super::connect::Server;
use super::connection::{Answer, Connection, Drivers, Home, Lease, Wish};
use super::error::ForwardError;
use super::http2;
use super::intake::Verdict;
use super::pool::Pool;
use super::progress::Progress;
use super::request;
use super::riding::Riding;
use super::tunnel::{Ends, Tunnels};
use crate::base::clock::Stopwatch;
use crate::base::handle::Handle;
use crate::config::{self, ServerScheme};
use crate::http::websocket::{self, Handshake};
use crate::http::{Body, RequestContext, are_tokens, connection_auth, hop_by_hop};
use crate::policy::Permit;
use crate::session::Ride;

/// What bytes pass on: connections, and what becomes of some.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) drivers: Drivers,
    pub(super) tunnels: Tunnels,
    pub(super) riding: Riding,
}

/// A client's wish for a WebSocket, and its end of it.
pub(super) struct Upgrade {
    pub(super) handshake: Handshake,
    pub(super) client: OnUpgrade,
}

/// What a request is, whichever server gets it.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) permit: &'a Permit,
    pub(super) request: &'a RequestContext,
    pub(super) upgrade: Option<&'a Upgrade>,
    pub(super) bonds: &'a Bonds,
    pub(super) authenticates: Authenticates,
    pub(super) paths: &'a Paths,
}

/// What a request's credentials are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authenticates {
    /// Itself alone, if anything.
    Request,
    /// All that follows on its connection.
    Connection,
}

impl Authenticates {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if connection_auth::is_tried(headers) { Self::Connection } else { Self::Request }
    }
}

impl Order<'_> {
    pub(super) fn sender(&self) -> Sender {
        Sender { session: self.session(), client: self.request.client }
    }

    fn session(&self) -> Option<Handle> {
        self.permit.session().map(|session| session.handle)
    }
}

/// What is to be sent.
pub(super) struct Message {
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// The head of an answer, and the connection that it came on.
type Asked = (Response<Incoming>, Connection);

/// An error, with the message where no server has seen a byte of it.
pub(super) type Failure = (ForwardError, Option<Message>);

/// One request, at one server after the other.
pub(super) struct Exchange<'a> {
    pub(super) upstream: &'a config::Upstream,
    pub(super) order: Order<'a>,
    pub(super) progress: &'a Progress,
    pub(super) retries: u32,
    /// What was wrong with the request's body.
    pub(super) verdict: &'a Verdict,
    /// Since when it is on its way.
    pub(super) waiting: Stopwatch,
}

impl Exchange<'_> {
    /// Whether what failed so may be tried elsewhere. A server that has no place for it was not tried.
    pub(super) fn may_go_on(&mut self, error: &ForwardError) -> bool {
        matches!(error, ForwardError::Full) || self.spend_retry()
    }

    fn spend_retry(&mut self) -> bool {
        let left = self.retries.checked_sub(1);
        self.retries = left.unwrap_or(0);
        left.is_some()
    }

    fn wish(&self, pool: &Arc<Pool>) -> Wish {
        let wants_own = self.order.upgrade.is_some() || self.order.authenticates == Authenticates::Connection;
        if wants_own || self.order.bonds.hold(pool) { Wish::Own } else { Wish::Any }
    }

    /// How much longer it waits for its place, wherever that is.
    fn patience(&self) -> Duration {
        self.upstream.response_timeout.saturating_sub(self.waiting.elapsed())
    }

    pub(super) async fn run(
        &mut self,
        pool: &Arc<Pool>,
        message: Message,
        repeatable: bool,
    ) -> Result<Response<Body>, Failure> {
        let Ok(mut turn) = self.order.bonds.turn(pool, self.order.session(), self.patience()).await else {
            return Err((ForwardError::Full, Some(message)));
        };
        let Ok(place) = pool.place(self.patience()).await else {
            return Err((ForwardError::Full, Some(message)));
        };
        let taken = match &mut turn {
            Some(turn) => turn.take(pool).await,
            None => pool.take(self.wish(pool)).await,
        };
        let (mut answer, connection) = self.ask(pool, taken, message, repeatable).await?;
        let home = self.home(pool, answer.headers_mut(), turn);
        self.receive(answer, Lease { connection, place, home }).map_err(|error| (error, None))
    }

    /// Where the connection goes that an answer came on: nobody else's request may follow where somebody may have
    /// authenticated for all of it.
    fn home(&self, pool: &Arc<Pool>, answer: &mut HeaderMap, turn: Option<Turn>) -> Home {
        if pool.server.url.scheme == ServerScheme::H2c {
            // All share its connections, and there are no others.
            connection_auth::remove_challenges(answer);
        }
        match turn {
            Some(turn) => Home::Client(turn),
            None if connection_auth::is_asked_for(answer) => {
                self.order.bonds.tie(pool, self.order.session()).map_or(Home::Nowhere, Home::Client)
            }
            None if self.order.authenticates == Authenticates::Connection => Home::Nowhere,
            None => Home::Pool,
        }
    }

    /// Asks on the connection that was kept; on a new one where there is none, or where it turns out to be closed.
    async fn ask(
        &mut self,
        pool: &Arc<Pool>,
        kept: Option<Connection>,
        message: Message,
        repeatable: bool,
    ) -> Result<Asked, Failure> {
        let Some(kept) = kept else { return self.ask_anew(pool, message).await };
        let copy = repeatable.then(|| message.headers.clone());
        match self.on(kept, &pool.server, message).await {
            // Nobody has seen it: this is the first time that it is sent.
            Err((ForwardError::Broken(_), Some(unsent))) => self.ask_anew(pool, unsent).await,
            // It may have been seen, but seeing it twice does no harm.
            Err((ForwardError::Broken(error), None)) => match copy {
                Some(headers) if self.retries > 0 => {
                    let message = || Message { headers: headers.clone(), body: Body::empty() };
                    // Seldom, and no part of every request's state.
                    match Box::pin(self.ask_anew(pool, message())).await {
                        // The server is going down, and the next one is the retry.
                        Err((ForwardError::Broken(error), None)) => {
                            Err((ForwardError::Broken(error), Some(message())))
                        }
                        other => other,
                    }
                }
                _ => Err((ForwardError::Broken(error), None)),
            },
            other => other,
        }
    }

    async fn ask_anew(&self, pool: &Arc<Pool>, message: Message) -> Result<Asked, Failure> {
        match pool.connect(self.wish(pool), self.upstream.connect_timeout, &self.order.paths.drivers).await {
            Ok(connection) => self.on(connection, &pool.server, message).await,
            Err(error) => Err((error, Some(message))),
        }
    }

    async fn on(
        &self,
        mut connection: Connection,
        server: &Server,
        message: Message,
    ) -> Result<Asked, Failure> {
        let server = (&server.url, self.upstream.host);
        let mut built =
            request::build(message.headers, message.body, self.order.request, self.order.permit, server);
        match (&connection, self.order.upgrade) {
            (Connection::Shared(_), _) => {
                if self.order.authenticates == Authenticates::Connection {
                    built.headers_mut().remove(AUTHORIZATION);
                }
                http2::convert(&mut built, server.0.scheme.within());
            }
            (Connection::Own(_), Some(upgrade)) => upgrade.handshake.ask(built.headers_mut()),
            (Connection::Own(_), None) => {}
        }
        // What connecting took is no part of the upstream's time to answer.
        self.progress.note();
        let answer = self.progress.wait(self.upstream.response_timeout, connection.send(built)).await;
        if let (Connection::Shared(stream), Err(_) | Ok(Err(_)), None) =
            (&connection, &answer, self.verdict.get())
        {
            // Whatever is wrong with it, the next request is better off on another one.
            stream.spend();
        }
        match answer {
            Err(_) => Err((ForwardError::Timeout, None)),
            Ok(Err(mut error)) => {
                let unsent = error.take_message().map(Message::of);
                Err((ForwardError::Broken(error.into_error()), unsent))
            }
            Ok(Ok(answer)) => Ok((answer, connection)),
        }
    }

    fn receive(&self, answer: Response<Incoming>, lease: Lease) -> Result<Response<Body>, ForwardError> {
        if !has_one_length(answer.headers()) {
            return Err(ForwardError::TwoLengths);
        }
        if !are_tokens(answer.headers()) {
            return Err(ForwardError::HeaderName);
        }
        match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => self.switch(answer, lease),
            _ => Ok(self.hand_on(answer, lease)),
        }
    }

    fn hand_on(&self, answer: Response<Incoming>, lease: Lease) -> Response<Body> {
        let (mut parts, body) = answer.into_parts();
        // What the server speaks is no matter of the client's.
        parts.version = Version::HTTP_11;
        hop_by_hop::remove(&mut parts.headers);
        let ride = self.order.paths.riding.answer(self.order.permit, &body, self.progress);
        let over = ride.as_ref().map(Ride::over);
        let patience = self.upstream.stream_idle_timeout;
        let mut body = Body::stream(Answer::new(body, lease, self.progress.clone(), ride, patience));
        if let Some(over) = over {
            body = body.cut_off_at(over);
        }
        Response::from_parts(parts, body)
    }

    /// From here on the connection is a tunnel, where the server granted what the client wished.
    fn switch(
        &self,
        mut answer: Response<Incoming>,
        mut lease: Lease,
    ) -> Result<Response<Body>, ForwardError> {
        let granted = self.order.upgrade.filter(|upgrade| upgrade.handshake.is_granted_by(answer.headers()));
        let Upgrade { client, .. } = granted.ok_or(ForwardError::UnaskedSwitch)?;
        let silence = self.upstream.stream_idle_timeout;
        let ends = Ends { client: client.clone(), server: hyper::upgrade::on(&mut answer), silence };
        // A client's turn is over: for what it asks next there is a connection to be made.
        lease.home = Home::Nowhere;
        let rider = self.order.paths.riding.tunnel(self.order.permit);
        self.order.paths.tunnels.open(ends, lease, rider);
        let mut answer = answer.map(|_| Body::empty());
        hop_by_hop::remove(answer.headers_mut());
        answer.headers_mut().remove(CONTENT_LENGTH);
        websocket::switch(answer.headers_mut());
        Ok(answer)
    }
}

/// Whether an answer's end can be found in one way only: hyper goes by the transfer coding where there is a
/// length as well, and takes codings that it cannot undo (RFC 9112 §6.3).
fn has_one_length(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && codings.next().is_none()
        && !headers.contains_key(CONTENT_LENGTH)
}

impl Message {
    fn of(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        Self { headers: parts.headers, body }
    }
}
