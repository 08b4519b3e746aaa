//! Which route a request takes: the most specific host, and then the longest path.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{self, HostPattern};
use crate::http::Target;
use crate::policy::Route;

/// All routes. Looking one up takes as many steps as the longest configured path and host have parts, whatever
/// the request looks like.
#[derive(Debug)]
pub struct Routes {
    exact: HashMap<String, Paths>,
    /// By `.example.com`.
    subdomains: HashMap<String, Paths>,
    any: Paths,
}

/// The routes of one host, the longest path first.
#[derive(Debug, Default)]
struct Paths(Vec<Arc<Route>>);

/// Why a request has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No route is for its host.
    UnknownHost,
    /// None of its host's is for its path.
    UnknownPath,
    /// An upstream may take its path for one that another route is for.
    Ambiguous,
}

impl Routes {
    /// From the configuration.
    pub fn new(rules: &[config::Route]) -> Self {
        let mut routes = Self { exact: HashMap::new(), subdomains: HashMap::new(), any: Paths::default() };
        for rule in rules {
            let paths = match rule.host.clone() {
                HostPattern::Exact(host) => routes.exact.entry(host).or_default(),
                HostPattern::Subdomains(suffix) => routes.subdomains.entry(suffix).or_default(),
                HostPattern::Any => &mut routes.any,
            };
            paths.0.push(Arc::new(Route::new(rule.clone())));
        }
        let all = routes.exact.values_mut().chain(routes.subdomains.values_mut()).chain([&mut routes.any]);
        all.for_each(|paths| paths.0.sort_by_key(|route| std::cmp::Reverse(route.rule.path.len())));
        routes
    }

    /// The route for `target` on `host`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find<'a>(&'a self, host: &'a str, target: &Target) -> Result<&'a Arc<Route>, NoRoute> {
        let mut no_route = NoRoute::UnknownHost;
        for paths in self.of(host) {
            no_route = NoRoute::UnknownPath;
            if paths.0.iter().any(|route| target.is_ambiguous_for(&route.prefix)) {
                return Err(NoRoute::Ambiguous);
            }
            if let Some(route) = paths.find(target) {
                return Ok(route);
            }
        }
        Err(no_route)
    }

    /// Whether any route is for `host`.
    pub fn knows(&self, host: &str) -> bool {
        self.of(host).next().is_some()
    }

    /// The routes for `host`, the most specific first: its own, its parents' from the nearest on, everybody's.
    fn of<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Paths> {
        let parents = host.match_indices('.').filter_map(|(dot, _)| self.subdomains.get(&host[dot..]));
        let any = (!self.any.0.is_empty()).then_some(&self.any);
        self.exact.get(host).into_iter().chain(parents).chain(any)
    }
}

impl Paths {
    fn find(&self, target: &Target) -> Option<&Arc<Route>> {
        self.0.iter().find(|route| target.matches_prefix(&route.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Access, PolicyMode, Preflight, Unauthenticated};

    fn rule(host: HostPattern, path: &str, upstream: &str) -> config::Route {
        config::Route {
            host,
            path: path.to_owned(),
            upstream: upstream.to_owned(),
            strip_prefix: false,
            access: Access::Public,
            groups: Vec::new(),
            users: Vec::new(),
            methods: Vec::new(),
            body_bytes: None,
            unauthenticated: Unauthenticated::Auto,
            touch: true,
            preflight: Preflight::Refuse,
            csrf: PolicyMode::Enforce,
            passing: config::Passing::default(),
        }
    }

    fn found(routes: &Routes, host: &str, path: &str) -> Result<String, NoRoute> {
        let target = Target::parse(path, None).unwrap();
        routes.find(host, &target).map(|route| route.upstream.to_string())
    }

    #[test]
    fn the_most_specific_host_wins_and_then_the_longest_path() {
        let exact = || HostPattern::Exact("app.example.com".to_owned());
        let below = |suffix: &str| HostPattern::Subdomains(suffix.to_owned());
        let routes = Routes::new(&[
            rule(HostPattern::Any, "/", "any"),
            rule(HostPattern::Any, "/deep/path", "any-deep"),
            rule(below(".example.com"), "/", "below"),
            rule(below(".eu.example.com"), "/", "below-eu"),
            rule(exact(), "/api", "api"),
            rule(exact(), "/api/admin", "admin"),
        ]);
        assert_eq!(found(&routes, "app.example.com", "/api/x"), Ok("api".to_owned()));
        assert_eq!(found(&routes, "app.example.com", "/API/Admin/x"), Ok("admin".to_owned()));
        assert_eq!(found(&routes, "app.example.com", "/apiary"), Ok("below".to_owned()));
        assert_eq!(found(&routes, "a.b.example.com", "/deep/path"), Ok("below".to_owned()));
        assert_eq!(found(&routes, "x.eu.example.com", "/"), Ok("below-eu".to_owned()));
        assert_eq!(found(&routes, "example.com", "/"), Ok("any".to_owned()));
        assert_eq!(found(&routes, "notexample.com", "/deep/path/x"), Ok("any-deep".to_owned()));
    }

    #[test]
    fn a_path_that_an_upstream_could_take_for_another_routes_has_none() {
        let routes =
            Routes::new(&[rule(HostPattern::Any, "/", "any"), rule(HostPattern::Any, "/admin", "admin")]);
        for path in ["/%2561dmin", "/admin%3bx", "/admin%252fusers"] {
            assert_eq!(found(&routes, "app.test", path), Err(NoRoute::Ambiguous), "{path}");
        }
        assert_eq!(found(&routes, "app.test", "/feature%252Ffoo"), Ok("any".to_owned()));
    }

    #[test]
    fn an_unknown_host_is_told_from_an_unknown_path() {
        let routes = Routes::new(&[rule(HostPattern::Exact("app.test".to_owned()), "/app", "app")]);
        assert_eq!(found(&routes, "app.test", "/"), Err(NoRoute::UnknownPath));
        assert_eq!(found(&routes, "other.test", "/app"), Err(NoRoute::UnknownHost));
        assert!(routes.knows("app.test") && !routes.knows("other.test"));
    }
}
