//! WebSockets over HTTP/2 (RFC 8441): asked for by `CONNECT`, and to the rest of the program what they are over HTTP/1.1,
//! so that whatever holds for the one holds for the other.

use http::header::UPGRADE;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::ext::Protocol;

use super::rejection::Rejection;
use crate::base::random::Random;
use crate::http::websocket::{self, Handshake};
use crate::http::{Body, Problem};

/// Makes an HTTP/1.1 handshake of a `CONNECT` that asks for a WebSocket; any other is none of ours.
pub(super) fn enter<B>(request: &mut Request<B>, random: Random) {
    let asked = request.extensions().get::<Protocol>().map(Protocol::as_str);
    if *request.method() == Method::CONNECT && asked == Some("websocket") {
        *request.method_mut() = Method::GET;
        websocket::ask(request.headers_mut(), random.bytes());
    }
}

/// Whether a request has been made one: over HTTP/2 no client could send this header.
pub(super) fn has_entered(parts: &Parts) -> bool {
    parts.version == Version::HTTP_2 && parts.headers.contains_key(UPGRADE)
}

/// A `CONNECT` is a whole handshake or nothing: over HTTP/1.1 what falls short of one is a request like any other.
pub(super) fn check(parts: &Parts) -> Result<(), Rejection> {
    if has_entered(parts) && Handshake::of(parts).is_none() {
        return Err(Rejection::Problem(Problem::BadRequest));
    }
    Ok(())
}

/// Says what HTTP/2 says where HTTP/1.1 switches protocols.
pub(super) fn leave(response: &mut Response<Body>) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
        websocket::unsay(response.headers_mut());
    }
}
