//! The request as the upstream sees it: framed anew, cleansed, and with our word on who sent it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version};
use http_body::Body as _;

use super::identity::{IdentityWriter, UnfitForHeader};
use super::intake::{BodyFault, BodyLimits, Intake, Verdict};
use super::progress::Progress;
use super::request_body::RequestBody;
use crate::base::secret::Secret;
use crate::config::{HostHeader, ServerUrl};
use crate::http::{Body, Cleansed, Intent, RequestContext, Way, cleanse, forwarding, hop_by_hop};
use crate::policy::{CookiePolicy, Permit};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Turns what came in into what goes out.
#[derive(Debug)]
pub(super) struct Rewriter {
    pub(super) identity: IdentityWriter,
    pub(super) cookies: Arc<CookiePolicy>,
}

impl Rewriter {
    /// Rewrites the head in place, in this order: what is ours or hop-by-hop goes, framing and forwarding are
    /// said anew, and last of all who the user is.
    pub(super) fn headers(
        &self,
        headers: &mut HeaderMap,
        request: &RequestContext,
        permit: &Permit,
    ) -> Result<Cleansed, UnfitForHeader> {
        let passing = &permit.route().rule.passing;
        let takes_trailers = hop_by_hop::takes_trailers(headers);
        let cleansed = cleanse(headers, self.identity.managed(), passing.underscore_headers);
        if takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("TE"));
        }
        if request.intent == Intent::Preflight {
            // A browser sends none with it; whoever does is told no more than a browser.
            headers.remove(COOKIE);
            headers.remove(AUTHORIZATION);
        }
        self.cookies.restore(headers, request.authority.host());
        let way = Way { hops: &request.hops, scheme: request.scheme, authority: &request.authority };
        forwarding::set(headers, &way);
        headers.insert(REQUEST_ID, value(&request.id.to_string()));
        if let Some(credentials) = &passing.basic_credentials {
            headers.insert(AUTHORIZATION, basic(credentials));
        }
        if let Some(session) = permit.session() {
            self.identity.write(headers, session)?;
        }
        Ok(cleansed)
    }
}

/// The request for one server. A body whose length is known keeps it; chunked only where it is unknown.
pub(super) fn build(
    mut headers: HeaderMap,
    body: Body,
    request: &RequestContext,
    permit: &Permit,
    (server, host): (&ServerUrl, HostHeader),
) -> Request<Body> {
    let authority = match host {
        HostHeader::Keep => request.authority.to_string(),
        HostHeader::Rewrite => server.authority(),
    };
    headers.insert(HOST, value(&authority));
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    if let Some(length) = body.size_hint().exact() {
        if length > 0 || !is_usually_empty(request) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
    } else {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut built = Request::new(body);
    *built.method_mut() = request.method.clone();
    *built.uri_mut() = uri(request, permit);
    *built.version_mut() = Version::HTTP_11;
    *built.headers_mut() = headers;
    built
}

/// Methods whose requests say nothing of their length when they have no body (RFC 9110 §8.6).
fn is_usually_empty(request: &RequestContext) -> bool {
    matches!(request.method.as_str(), "GET" | "HEAD" | "DELETE" | "OPTIONS")
}

fn uri(request: &RequestContext, permit: &Permit) -> Uri {
    let route = permit.route();
    let path = if route.rule.strip_prefix {
        request.target.without_prefix(&route.prefix)
    } else {
        request.target.path().to_owned()
    };
    let address = match request.target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    address.parse().expect("a canonical target is a valid URI")
}

/// The body on its way upstream.
pub(super) fn body(
    incoming: RequestBody,
    limits: BodyLimits,
    progress: &Progress,
    verdict: &Verdict,
) -> Result<Body, BodyFault> {
    if incoming.is_end_stream() {
        return Ok(Body::empty());
    }
    let intake = Intake::new(incoming, limits, Arc::clone(verdict), progress.upload())?;
    Ok(Body::stream(intake))
}

/// RFC 7617 §2; no log and no table of compressed headers keeps it.
fn basic(credentials: &Secret<Vec<u8>>) -> HeaderValue {
    let mut written = value(&format!("Basic {}", STANDARD.encode(credentials.expose())));
    written.set_sensitive(true);
    written
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("authorities, ids and base64 are ASCII")
}
