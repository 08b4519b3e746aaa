//! The canonical view, made from what hyper parsed and what hyper lets pass.

use http::request::Parts;

use super::rejection::Rejection;
use crate::base::request_id::RequestId;
use crate::http::{Authority, HeadLimits, Problem, RequestContext, Target, check_head, is_cross_site, kind};
use crate::listener::Peer;

/// Looks at a request once.
///
/// # Errors
/// Where the proxy and an upstream might not read it alike.
pub(super) fn view(
    parts: &Parts,
    id: RequestId,
    peer: Peer,
    limits: &HeadLimits,
) -> Result<RequestContext, Rejection> {
    limits.check(parts)?;
    check_head(parts)?;
    if parts.uri.scheme_str().is_some_and(|scheme| scheme != peer.scheme.as_str()) {
        return Err(Rejection::Unsound);
    }
    Ok(RequestContext {
        id,
        client: peer.address.ip(),
        scheme: peer.scheme,
        authority: Authority::of_request(parts, peer.scheme).map_err(|_| Rejection::Unsound)?,
        method: parts.method.clone(),
        target: Target::parse(parts.uri.path(), parts.uri.query())
            .map_err(|_| Rejection::Problem(Problem::BadRequest))?,
        kind: kind(&parts.method, &parts.headers),
        cross_site: is_cross_site(&parts.headers),
    })
}
