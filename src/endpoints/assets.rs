//! Stylesheets and images; their names change with their content, so they may be kept for ever.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};

use super::{Parts, Refusal};
use crate::http::{Body, Problem};

/// A drawing that is opened by itself is a document of this host, but runs no script and loads nothing.
const LIFELESS: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");

impl Parts {
    pub(super) fn asset(&self, name: &str) -> Result<Response<Body>, Refusal> {
        let asset = self.pages.asset(name).ok_or(Problem::NoRoute)?;
        let mut response = Response::new(Body::whole(asset.bytes.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind.content_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, LIFELESS);
        Ok(response)
    }
}
