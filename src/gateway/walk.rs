//! The walk itself: one line a stage.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::rejection::{Rejection, allow};
use super::rounds::HttpsRounds;
use super::routes::{NoRoute, Routes};
use super::set_cookies::{CookieGuard, Source};
use super::trace::Trace;
use super::unsent::{Accounted, Sent, may_stand_for_a_form};
use crate::base::clock::Clock;
use crate::base::random::Random;
use crate::base::seldom::Seldom;
use crate::config::{Access, Activity, ClientAuth, EncodedSlashes, Mode};
use crate::endpoints::Endpoints;
use crate::http::{
    Body, Destination, HeadLimits, Intent, Problem, Provenance, RequestContext, RequestKind, TrustedProxies,
    count_hop, provenance, redirect,
};
use crate::listener::Handshake;
use crate::pages::Pages;
use crate::policy::{
    CrossSite, Permit, ResponseHeaders, Route, StrictTransport, counts_as_use, keep_private, vary_by_cookie,
};
use crate::session::{Finding, NoSession, Session, Sessions, UnsentForms};
use crate::telemetry::{AccessLog, Audit, Findings, Metrics, Traces};
use crate::upstream::{RequestBody, Upstreams};

/// Seconds.
const SESSION_EXPIRES_IN: HeaderName = HeaderName::from_static("session-expires-in");

/// How often the log says at most that a trusted proxy's word is refused: clients can bring that about.
pub(super) const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Everything a request meets between the listener and the upstream. Immutable: a request keeps the one it
/// began with.
#[derive(Debug)]
pub struct Gateway {
    pub(super) pages: Arc<Pages>,
    pub(super) hsts: StrictTransport,
    pub(super) headers: ResponseHeaders,
    pub(super) access_log: AccessLog,
    pub(super) metrics: Arc<Metrics>,
    pub(super) random: Random,
    pub(super) head_limits: HeadLimits,
    pub(super) trusted_proxies: TrustedProxies,
    /// Words of theirs that are refused.
    pub(super) refused_words: Seldom,
    pub(super) rounds: HttpsRounds,
    pub(super) mode: Mode,
    pub(super) public_port: u16,
    client_auth: Option<ClientAuth>,
    routes: Routes,
    endpoints: Endpoints,
    pub(super) sessions: Arc<Sessions>,
    pub(super) unsent: Option<Arc<UnsentForms>>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) cross_site: CrossSite,
    pub(super) findings: Findings,
    pub(super) traces: Traces,
    pub(super) clock: Clock,
    pub(super) audit: Audit,
    cookies: CookieGuard,
    activity: Activity,
    pub(super) prefix: String,
    own_label: Arc<str>,
}

/// What a gateway is put together from.
#[derive(Debug)]
pub struct Parts {
    /// Where requests go.
    pub routes: Routes,
    /// What the proxy answers itself.
    pub endpoints: Endpoints,
    /// Who is who.
    pub sessions: Arc<Sessions>,
    /// What keeps forms that met an ended session; `None`: nothing does.
    pub unsent: Option<Arc<UnsentForms>>,
    /// The applications.
    pub upstreams: Arc<Upstreams>,
    /// Whose pages may have browsers send what changes something.
    pub cross_site: CrossSite,
    /// What the policies find.
    pub findings: Findings,
    /// Whose requests are traced.
    pub traces: Traces,
    /// What sees to the cookies that applications set.
    pub cookies: CookieGuard,
    /// What people see.
    pub pages: Arc<Pages>,
    /// What every answer over TLS says.
    pub hsts: StrictTransport,
    /// What answers tell browsers.
    pub headers: ResponseHeaders,
    /// One line a request.
    pub access_log: AccessLog,
    /// Who hears of security events.
    pub audit: Audit,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where request ids come from.
    pub random: Random,
    /// What counts as the use of a session.
    pub activity: Activity,
    /// Where the proxy's own pages live.
    pub prefix: String,
    /// How large a head may be.
    pub head_limits: HeadLimits,
    /// Whose word on where a request came from is believed.
    pub trusted_proxies: TrustedProxies,
    /// The time that decides.
    pub clock: Clock,
    /// What the program is run for.
    pub mode: Mode,
    /// Where https is for the public; left out of addresses where it is 443.
    pub public_port: u16,
    /// Which hosts ask their clients for a certificate.
    pub client_auth: Option<ClientAuth>,
}

/// An answer, and what the log says of it.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response<Body>,
    pub(super) author: Author,
    pub(super) route: Arc<str>,
    pub(super) session: Option<Arc<Session>>,
}

/// Whose words an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// The proxy's own.
    Proxy,
    /// An application's, hardened.
    Application,
}

impl From<Response<Body>> for Answered {
    fn from(response: Response<Body>) -> Self {
        Self { response, author: Author::Proxy, route: Arc::from("-"), session: None }
    }
}

impl Answered {
    /// Hands the browser its session cookie anew; no cache may keep that.
    fn with_cookie(mut self, cookie: Option<HeaderValue>) -> Self {
        if let Some(cookie) = cookie {
            let headers = self.response.headers_mut();
            headers.append(SET_COOKIE, cookie);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        self
    }
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self {
            pages: parts.pages,
            hsts: parts.hsts,
            headers: parts.headers,
            access_log: parts.access_log,
            metrics: parts.metrics,
            random: parts.random,
            head_limits: parts.head_limits,
            trusted_proxies: parts.trusted_proxies,
            refused_words: Seldom::every(TOLD_EVERY),
            rounds: HttpsRounds::new(parts.clock.clone(), parts.random),
            mode: parts.mode,
            public_port: parts.public_port,
            client_auth: parts.client_auth,
            routes: parts.routes,
            endpoints: parts.endpoints,
            sessions: parts.sessions,
            unsent: parts.unsent,
            upstreams: parts.upstreams,
            cross_site: parts.cross_site,
            findings: parts.findings,
            traces: parts.traces,
            clock: parts.clock,
            cookies: parts.cookies,
            audit: parts.audit,
            activity: parts.activity,
            own_label: parts.prefix.as_str().into(),
            prefix: parts.prefix,
        }
    }

    /// From the canonical view to the answer.
    pub(super) async fn walk(
        &self,
        context: &RequestContext,
        mut request: Request<Incoming>,
        trace: &mut Trace,
    ) -> Result<Answered, Rejection> {
        if let Some(endpoint) = self.endpoint(context)? {
            trace.endpoint(&endpoint);
            // Apart: what happens seldom must not make every request's future larger.
            let response = Box::pin(self.endpoints.answer(endpoint, context, request)).await?;
            return Ok(Answered { route: Arc::clone(&self.own_label), ..response.into() });
        }
        let route = self.route(context)?;
        trace.route(self, route, context, request.headers());
        self.check_sender(route, context, request.headers())?;
        let visitor = self.visitor(route, context, request.headers()).await;
        trace.visitor(route, visitor.as_ref().ok());
        let visitor = visitor?;
        let permit = match self.permit(route, context, &visitor) {
            Ok(permit) => permit,
            Err(rejection) => return Err(self.put_aside(rejection, context, visitor, request).await),
        };
        if count_hop(&context.method, request.headers_mut())? == Destination::Here {
            return Ok(options_of(route).into());
        }
        let cookie = self.renewed_cookie(context, &visitor).await;
        let is_own_script = is_own_script(context, request.headers());
        let Sent { request, form } = if may_stand_for_a_form(context, request.headers()) {
            self.form_in_place_of(request, context, &permit).await?
        } else {
            Sent { request: request.map(RequestBody::Incoming), form: None }
        };
        trace.upstream(self, context, &permit, request.headers());
        let answer = self.upstreams.forward(&permit, context, request).await;
        let Accounted { response, forget } = match form {
            Some(form) => self.account_for(form, context, answer).await?,
            None => Accounted { response: answer?, forget: None },
        };
        trace.application(response.headers());
        let mut answered = self.harden(response, context, &permit).with_cookie(cookie).with_cookie(forget);
        if let Some(seconds) = self.expires_in(route, context, &visitor).filter(|_| is_own_script) {
            answered.response.headers_mut().insert(SESSION_EXPIRES_IN, seconds);
        }
        Ok(answered)
    }

    /// A host that asks for certificates is served where the handshake did, and no other host there: a connection that
    /// was made for one host is open for all of its certificate (RFC 9110 §7.4).
    pub(super) fn check_handshake(
        &self,
        context: &RequestContext,
        handshake: Handshake,
    ) -> Result<(), Rejection> {
        let asks = |policy: &ClientAuth| policy.covers(Some(context.authority.host()));
        if self.client_auth.as_ref().is_some_and(asks) == (handshake == Handshake::ClientCertificate) {
            return Ok(());
        }
        Err(Rejection::Problem(Problem::Misdirected))
    }

    /// The same host and address by https; the host is one of ours.
    pub(super) fn redirect_to_https(
        &self,
        context: &RequestContext,
        port: u16,
    ) -> Result<Answered, Rejection> {
        if !self.routes.knows(context.authority.host()) {
            return Err(Rejection::Problem(Problem::UnknownHost));
        }
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let host = context.authority.host_for_url();
        let location = format!("https://{host}{port}{}", context.target.path_and_query());
        Ok(redirect(StatusCode::PERMANENT_REDIRECT, &location).into())
    }

    pub(super) fn endpoint(
        &self,
        context: &RequestContext,
    ) -> Result<Option<crate::endpoints::Endpoint>, Rejection> {
        let endpoint = self.endpoints.find(&context.target);
        if endpoint.is_some() && !self.routes.knows(context.authority.host()) {
            return Err(Rejection::Problem(Problem::UnknownHost));
        }
        Ok(endpoint)
    }

    pub(super) fn route<'a>(&'a self, context: &'a RequestContext) -> Result<&'a Arc<Route>, Rejection> {
        let route = self.routes.find(context.authority.host(), &context.target).map_err(|why| {
            Rejection::Problem(match why {
                NoRoute::UnknownHost => Problem::UnknownHost,
                NoRoute::UnknownPath => Problem::NoRoute,
                NoRoute::Ambiguous => Problem::BadRequest,
            })
        })?;
        if context.target.has_encoded_separator()
            && route.rule.passing.encoded_slashes == EncodedSlashes::Refuse
        {
            return Err(Rejection::Problem(Problem::BadRequest));
        }
        Ok(route)
    }

    /// Who sent the request, where the route wants to know.
    pub(super) async fn visitor(
        &self,
        route: &Route,
        context: &RequestContext,
        headers: &HeaderMap,
    ) -> Result<Finding, Rejection> {
        if !route.asks_who() || context.intent == Intent::Preflight {
            return Ok(Finding::Nobody(NoSession::NoCookie));
        }
        let found = self.sessions.find(context, headers).await;
        let found = found.map_err(|_| Rejection::Problem(Problem::StoreUnavailable))?;
        if let Finding::Session(found) = &found
            && self.is_use(route, context)
        {
            self.sessions.touch(found);
        }
        Ok(found)
    }

    fn is_use(&self, route: &Route, context: &RequestContext) -> bool {
        counts_as_use(&route.rule, self.activity, &context.method, context.kind)
    }

    /// How many seconds the visitor's session goes on unless it is used again.
    fn expires_in(&self, route: &Route, context: &RequestContext, visitor: &Finding) -> Option<HeaderValue> {
        let Finding::Session(found) = visitor else { return None };
        let left = if self.is_use(route, context) {
            self.sessions.left_after_use(&found.session)
        } else {
            self.sessions.left(&found.session)
        };
        Some(left.as_secs().into())
    }

    /// The visitor's cookie anew, where it is due and this answer may carry it.
    async fn renewed_cookie(&self, context: &RequestContext, visitor: &Finding) -> Option<HeaderValue> {
        match (visitor, context.kind) {
            (Finding::Session(found), RequestKind::Navigation | RequestKind::FrameNavigation) => {
                self.sessions.renewed(context, found).await
            }
            (Finding::Session(_), RequestKind::Script) | (Finding::Nobody(_), _) => None,
        }
    }

    /// What an upstream's answer may not do.
    pub(super) fn harden(
        &self,
        mut response: Response<Body>,
        context: &RequestContext,
        permit: &Permit,
    ) -> Answered {
        let headers = response.headers_mut();
        let route = permit.route();
        let source = Source { application: &route.upstream, host: context.authority.host() };
        self.cookies.pass(headers, source);
        // Before what follows: no list of the operator's takes that away.
        self.headers.harden(headers);
        if permit.session().is_some() {
            keep_private(headers);
        }
        if route.rule.access == Access::Optional {
            vary_by_cookie(headers);
        }
        let (route, session) = (route.rule.path.as_str().into(), permit.session().cloned());
        Answered { response, route, session, author: Author::Application }
    }
}

/// Whether a script of the very site asks: it can warn whoever fills a form in before the session ends.
fn is_own_script(context: &RequestContext, headers: &HeaderMap) -> bool {
    let sender = provenance(headers, context.scheme, &context.authority);
    context.kind == RequestKind::Script && sender == Provenance::SameOrigin
}

/// What a route takes: the answer to an `OPTIONS` that goes no further.
pub(super) fn options_of(route: &Route) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, allow(&route.rule.methods));
    response
}
