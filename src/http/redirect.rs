//! Redirects (RFC 9110 §15.4).

use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use url::Url;

use super::{Body, RequestContext, Target};

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

/// Where on the very same host a browser goes that `request` is redirected by `location`; `None` where it leaves the host.
pub fn redirected(request: &RequestContext, location: &HeaderValue) -> Option<Target> {
    let (scheme, authority) = (request.scheme.as_str(), &request.authority);
    let base = Url::parse(&format!("{scheme}://{authority}{}", request.target.path_and_query())).ok()?;
    let url = base.join(location.to_str().ok()?).ok()?;
    let stays = url.origin() == base.origin();
    stays.then(|| Target::parse(url.path(), url.query()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::context_of;

    #[test]
    fn a_redirect_on_the_same_host_is_followed_as_browsers_do() {
        let target = Target::parse("/orders/new", Some("draft=7")).unwrap();
        let request = RequestContext { target, ..context_of("https://app.test:8443") };
        let followed = |location| {
            let target = redirected(&request, &HeaderValue::from_static(location));
            target.map(|target| target.path_and_query())
        };
        for (location, target) in [
            ("new/", "/orders/new/"),
            ("/a?b#c", "/a?b"),
            ("?draft=8", "/orders/new?draft=8"),
            ("https://APP.test:8443/a/../b", "/b"),
            ("//app.test:8443/%7ea", "/~a"),
            ("", "/orders/new?draft=7"),
        ] {
            assert_eq!(followed(location).as_deref(), Some(target), "{location}");
        }
        for location in [
            "https://evil.test/a",
            "//evil.test/a",
            "http://app.test:8443/a",
            "https://app.test/a",
            "/a%zz",
            "mailto:a",
        ] {
            assert_eq!(followed(location), None, "{location}");
        }
    }
}
