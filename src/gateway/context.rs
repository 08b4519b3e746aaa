//! The canonical view, made from what hyper parsed and what hyper lets pass.

use http::request::Parts;

use super::crossing;
use super::rejection::Rejection;
use crate::base::request_id::RequestId;
use crate::http::{
    Arrival, Authority, Intent, Problem, RequestContext, Target, check_head, is_cross_site, kind,
};
use crate::listener::Peer;

/// Looks at a request once.
///
/// # Errors
/// Where the proxy and an upstream might not read it alike.
pub(super) fn view(
    parts: &Parts,
    id: RequestId,
    peer: Peer,
    arrival: Arrival,
) -> Result<RequestContext, Rejection> {
    check_head(parts)?;
    crossing::check(parts)?;
    let Arrival { client, scheme, hops } = arrival;
    let named = parts.uri.scheme_str();
    if named.is_some_and(|named| named != peer.scheme.as_str() && named != scheme.as_str()) {
        return Err(Rejection::Unsound);
    }
    Ok(RequestContext {
        id,
        client,
        hops,
        scheme,
        authority: Authority::of_request(parts, scheme).map_err(|_| Rejection::Unsound)?,
        method: parts.method.clone(),
        intent: Intent::of(parts),
        target: Target::parse(parts.uri.path(), parts.uri.query())
            .map_err(|_| Rejection::Problem(Problem::BadRequest))?,
        kind: kind(&parts.method, &parts.headers),
        cross_site: is_cross_site(&parts.headers),
    })
}
