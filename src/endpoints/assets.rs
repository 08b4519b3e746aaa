//! Stylesheets and images; their names change with their content, so they may be kept for ever.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};

use super::{Parts, Refusal};
use crate::http::{Body, Problem};

impl Parts {
    pub(super) fn asset(&self, name: &str) -> Result<Response<Body>, Refusal> {
        let asset = self.pages.asset(name).ok_or(Problem::NoRoute)?;
        let mut response = Response::new(Body::whole(asset.bytes));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }
}
