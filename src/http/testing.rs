//! Requests for the tests of those who are handed one.

use super::{Authority, Intent, RequestContext, RequestKind, Scheme, Target};
use crate::base::random::Random;
use crate::base::request_id::RequestId;

/// A script's GET of the front page of `place`, an origin.
pub fn context_of(place: &str) -> RequestContext {
    let (scheme, authority) = place.split_once("://").expect("an origin");
    RequestContext {
        id: RequestId::new(Random::system()),
        client: [192, 0, 2, 7].into(),
        hops: vec![[192, 0, 2, 7].into()],
        scheme: Scheme::parse(scheme.as_bytes()).expect("a scheme"),
        authority: Authority::parse(authority).expect("an authority"),
        method: http::Method::GET,
        intent: Intent::Read,
        target: Target::parse("/", None).expect("a target"),
        kind: RequestKind::Script,
        cross_site: false,
    }
}
