//! The trace of a request that an operator asked for: what each stage of its walk came to, told as the walk goes on.

use std::net::IpAddr;

use http::{HeaderMap, Response};
use serde::{Deserialize, Serialize};

use super::told::{
    AnswerTold, Changes, CookieTold, Explanation, RouteTold, UpstreamTold, sender, without_query,
};
use super::walk::{Author, Gateway};
use crate::base::clock::Stopwatch;
use crate::base::request_id::RequestId;
use crate::endpoints::Endpoint;
use crate::http::{Body, RequestContext};
use crate::policy::{Permit, Route};
use crate::session::Finding;

/// What is told of one request as it walks; nothing, where nobody asked for it.
#[derive(Debug, Default)]
pub(super) struct Trace(Option<Box<Notes>>);

#[derive(Debug)]
struct Notes {
    client: IpAddr,
    began_at: String,
    watch: Stopwatch,
    told: Explanation,
    /// What the application's answer said before anything was changed.
    application: Option<HeaderMap>,
}

/// A request that was answered, as JSON tells it: what `foregate explain` tells, and what is known besides.
#[derive(Debug, Serialize, Deserialize)]
pub struct Traced {
    /// Its name, the same as in the logs and in `X-Request-Id`.
    pub request_id: String,
    /// When it came; RFC 3339 in UTC.
    pub time: String,
    /// Who sent it.
    pub client: String,
    /// How long it took until the answer began, in milliseconds.
    pub milliseconds: u64,
    /// What each stage came to. The status is that of the answer, whoever made it.
    #[serde(flatten)]
    pub told: Explanation,
}

impl Trace {
    /// Of a request that begins now.
    pub(super) fn begin(gateway: &Gateway, client: IpAddr) -> Self {
        if !gateway.traces.wants(client) {
            return Self(None);
        }
        Self(Some(Box::new(Notes {
            client,
            began_at: gateway.clock.now().rfc3339(),
            watch: Stopwatch::start(),
            told: Explanation::default(),
            application: None,
        })))
    }

    /// What the request is taken for.
    pub(super) fn request(&mut self, context: &RequestContext) {
        let Some(notes) = &mut self.0 else { return };
        let (scheme, place) = (context.scheme.as_str(), &context.authority);
        let address = format!("{scheme}://{place}{}", context.target.path_and_query());
        notes.told.request = Some(format!("{} {}", context.method, without_query(&address)));
    }

    /// Which of the proxy's own pages it is for.
    pub(super) fn endpoint(&mut self, endpoint: &Endpoint) {
        let Some(notes) = &mut self.0 else { return };
        notes.told.endpoint = Some(format!("{endpoint:?}").to_lowercase());
    }

    /// The route that it takes, and whose page sent it.
    pub(super) fn route(
        &mut self,
        gateway: &Gateway,
        route: &Route,
        context: &RequestContext,
        headers: &HeaderMap,
    ) {
        let Some(notes) = &mut self.0 else { return };
        notes.told.route = Some(RouteTold::of(route));
        notes.told.sender = Some(sender(&gateway.cross_site.judge(context, headers), route));
    }

    /// Who sent it; `None` where the store could not tell.
    pub(super) fn visitor(&mut self, route: &Route, visitor: Option<&Finding>) {
        let Some(notes) = self.0.as_mut().filter(|_| route.asks_who()) else { return };
        notes.told.cookie = Some(visitor.map_or_else(CookieTold::unavailable, CookieTold::of_visitor));
    }

    /// What goes upstream.
    pub(super) fn upstream(
        &mut self,
        gateway: &Gateway,
        context: &RequestContext,
        permit: &Permit,
        headers: &HeaderMap,
    ) {
        let Some(notes) = &mut self.0 else { return };
        let Ok(preview) = gateway.upstreams.preview(permit, context, headers.clone()) else { return };
        let uri = preview.request.uri().to_string();
        notes.told.upstream = Some(UpstreamTold {
            name: permit.route().upstream.to_string(),
            server: preview.server,
            line: format!("{} {}", preview.request.method(), without_query(&uri)),
            headers: Changes::between(headers, preview.request.headers()).discreet(),
        });
    }

    /// What the application answers.
    pub(super) fn application(&mut self, headers: &HeaderMap) {
        if let Some(notes) = &mut self.0 {
            notes.application = Some(headers.clone());
        }
    }

    /// The answer, as it goes out.
    pub(super) fn end(self, gateway: &Gateway, id: RequestId, response: &Response<Body>, author: Author) {
        let Some(notes) = self.0 else { return };
        let Notes { client, began_at, watch, mut told, application } = *notes;
        let (by, before) = match author {
            Author::Proxy => ("proxy", HeaderMap::new()),
            Author::Application => ("application", application.unwrap_or_default()),
        };
        told.answer = Some(AnswerTold {
            by: by.into(),
            status: Some(response.status().as_u16()),
            headers: Changes::between(&before, response.headers()).discreet(),
        });
        let traced = Traced {
            request_id: id.to_string(),
            time: began_at,
            client: client.to_string(),
            milliseconds: u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX),
            told,
        };
        let traced = serde_json::to_value(traced).expect("text and numbers are JSON");
        gateway.traces.keep(id, traced);
    }
}
