//! Who may pass.

use std::sync::Arc;

use http::Method;

use crate::config::{self, Access, Preflight};
use crate::http::{Intent, PathPrefix};
use crate::session::Session;

/// A route, ready to be matched.
#[derive(Debug)]
pub struct Route {
    /// The paths it is for.
    pub prefix: PathPrefix,
    /// What the configuration says of it.
    pub rule: config::Route,
    /// The name of its upstream, shared with metrics.
    pub upstream: Arc<str>,
}

impl Route {
    /// From the configuration.
    pub fn new(rule: config::Route) -> Self {
        Self { prefix: PathPrefix::new(&rule.path), upstream: rule.upstream.as_str().into(), rule }
    }

    /// Whether it matters to this route who sends a request.
    pub fn asks_who(&self) -> bool {
        self.rule.access != Access::Public
    }
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Decision {
    /// It goes upstream.
    Forward(Permit),
    /// Its sender has to log in first.
    Login,
    /// Its sender is known and may not.
    Forbid,
    /// The route does not take its method.
    RefuseMethod,
}

/// Permission to forward one request. Only [`decide`] makes one, and nothing is forwarded without.
#[derive(Debug)]
pub struct Permit {
    route: Arc<Route>,
    session: Option<Arc<Session>>,
}

impl Permit {
    /// The route that it is for.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The session that it was given to; `None` for anybody.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }
}

/// Decides on a request for `route` by the holder of `session`. On a public route a session changes nothing, and a
/// preflight is nobody's: a browser sends it without credentials.
pub fn decide(
    route: &Arc<Route>,
    method: &Method,
    intent: Intent,
    session: Option<Arc<Session>>,
) -> Decision {
    let rule = &route.rule;
    if !rule.methods.is_empty() && !rule.methods.contains(method) {
        return Decision::RefuseMethod;
    }
    let permit = |session| Decision::Forward(Permit { route: Arc::clone(route), session });
    let session = session.filter(|_| intent != Intent::Preflight);
    if intent == Intent::Preflight && rule.preflight == Preflight::Pass {
        return permit(None);
    }
    match (rule.access, session) {
        (Access::Public, _) => permit(None),
        (Access::Optional, session) => permit(session),
        (Access::Authenticated, None) => Decision::Login,
        (Access::Authenticated, Some(session)) if fits(rule, &session) => permit(Some(session)),
        (Access::Authenticated, Some(_)) => Decision::Forbid,
    }
}

/// One of the groups or one of the users; both lists empty: anybody signed in.
fn fits(rule: &config::Route, session: &Session) -> bool {
    let identity = &session.identity;
    (rule.groups.is_empty() && rule.users.is_empty())
        || rule.users.contains(&identity.user)
        || rule.groups.iter().any(|group| identity.groups.contains(group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HostPattern, PolicyMode, Unauthenticated};
    use crate::session::testing::session_of;

    fn route(access: Access, groups: &[&str], users: &[&str]) -> Arc<Route> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Arc::new(Route::new(config::Route {
            host: HostPattern::Any,
            path: "/".to_owned(),
            upstream: "app".to_owned(),
            strip_prefix: false,
            access,
            groups: owned(groups),
            users: owned(users),
            methods: Vec::new(),
            body_bytes: None,
            unauthenticated: Unauthenticated::Auto,
            touch: true,
            preflight: Preflight::Refuse,
            csrf: PolicyMode::Enforce,
            passing: config::Passing::default(),
        }))
    }

    fn verdict(route: &Arc<Route>, session: Option<Session>) -> &'static str {
        verdict_on(route, Intent::Read, session)
    }

    fn verdict_on(route: &Arc<Route>, intent: Intent, session: Option<Session>) -> &'static str {
        match decide(route, &Method::GET, intent, session.map(Arc::new)) {
            Decision::Forward(permit) if permit.session().is_some() => "as somebody",
            Decision::Forward(_) => "as anybody",
            Decision::Login => "login",
            Decision::Forbid => "forbid",
            Decision::RefuseMethod => "method",
        }
    }

    #[test]
    fn a_public_route_knows_nobody() {
        let public = route(Access::Public, &[], &[]);
        assert_eq!(verdict(&public, None), "as anybody");
        assert_eq!(verdict(&public, Some(session_of("alice", &[]))), "as anybody");
    }

    #[test]
    fn an_optional_route_knows_who_is_there() {
        let optional = route(Access::Optional, &[], &[]);
        assert_eq!(verdict(&optional, None), "as anybody");
        assert_eq!(verdict(&optional, Some(session_of("alice", &[]))), "as somebody");
    }

    #[test]
    fn a_protected_route_wants_a_session_that_fits() {
        let anybody = route(Access::Authenticated, &[], &[]);
        assert_eq!(verdict(&anybody, None), "login");
        assert_eq!(verdict(&anybody, Some(session_of("alice", &[]))), "as somebody");

        let listed = route(Access::Authenticated, &["admins"], &["carol"]);
        assert_eq!(verdict(&listed, None), "login");
        assert_eq!(verdict(&listed, Some(session_of("alice", &["staff"]))), "forbid");
        assert_eq!(verdict(&listed, Some(session_of("alice", &["staff", "admins"]))), "as somebody");
        assert_eq!(verdict(&listed, Some(session_of("carol", &[]))), "as somebody");
        assert_eq!(verdict(&listed, Some(session_of("Carol", &["Admins"]))), "forbid");
    }

    #[test]
    fn a_method_that_is_not_listed_is_refused_whoever_asks() {
        let mut only_get = route(Access::Public, &[], &[]);
        Arc::get_mut(&mut only_get).unwrap().rule.methods = vec![Method::GET];
        assert_eq!(verdict(&only_get, None), "as anybody");
        assert!(matches!(decide(&only_get, &Method::POST, Intent::Change, None), Decision::RefuseMethod));
    }

    #[test]
    fn a_preflight_is_nobodys_and_passes_where_the_route_says_so() {
        let ask = |route: &Arc<Route>| verdict_on(route, Intent::Preflight, Some(session_of("alice", &[])));
        for (access, refused) in [
            (Access::Public, "as anybody"),
            (Access::Optional, "as anybody"),
            (Access::Authenticated, "login"),
        ] {
            let mut route = route(access, &["admins"], &[]);
            assert_eq!(ask(&route), refused, "{access:?}");
            Arc::get_mut(&mut route).unwrap().rule.preflight = Preflight::Pass;
            assert_eq!(ask(&route), "as anybody", "{access:?}");
            Arc::get_mut(&mut route).unwrap().rule.methods = vec![Method::POST];
            assert_eq!(ask(&route), "method", "{access:?}");
        }
    }
}
