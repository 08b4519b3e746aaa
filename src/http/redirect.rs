//! Redirects (RFC 9110 §15.4).

use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Response, StatusCode};

use super::Body;

/// A redirect to an address that we made.
///
/// # Panics
/// Where the address holds control characters: it was made of canonical parts, which hold none.
pub fn redirect(status: StatusCode, location: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let location = HeaderValue::from_str(location).expect("addresses of ours hold no control characters");
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
