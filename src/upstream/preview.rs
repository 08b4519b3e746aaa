//! What an upstream would get, for whoever asks before it does.

use http::{HeaderMap, Request};

use super::error::ForwardError;
use super::forward::Upstreams;
use super::request;
use crate::http::{Body, RequestContext};
use crate::policy::Permit;

/// A request as a server would get it.
#[derive(Debug)]
pub struct Preview {
    /// The first of the upstream's servers; the request is the same for each but for a rewritten `Host`.
    pub server: String,
    /// The request, without its body.
    pub request: Request<Body>,
}

impl Upstreams {
    /// What [`Upstreams::forward`] would send; nothing is.
    ///
    /// # Errors
    /// Where the user's identity cannot be written as headers.
    pub fn preview(
        &self,
        permit: &Permit,
        request: &RequestContext,
        mut headers: HeaderMap,
    ) -> Result<Preview, ForwardError> {
        self.rewriter.headers(&mut headers, request, permit)?;
        let config = &self.by_name[&*permit.route().upstream].config;
        let server = config.servers.first().expect("an upstream has a server");
        let request = request::build(headers, Body::empty(), request, permit, (server, config.host));
        Ok(Preview { server: server.to_string(), request })
    }
}
