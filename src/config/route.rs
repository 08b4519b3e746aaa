//! `[[route]]`: where requests go, and who may send them.

use http::Method;

use super::context::Context;
use super::reader::{Complaint, Section, Value, kind};
use super::{Login, Passing, PolicyMode, Server, Upstream, host, passing, path};

/// One route: the most specific host and then the longest path wins.
#[derive(Clone, Debug)]
pub struct Route {
    /// The hosts it is for.
    pub host: HostPattern,
    /// A path prefix that ends at a segment's end: `/`, or with a slash at its start and none at its end.
    /// Written plainly: no percent-encoding, no dot segments, no query.
    pub path: String,
    /// The name of an upstream that exists.
    pub upstream: String,
    /// Whether `path` is cut off before forwarding.
    pub strip_prefix: bool,
    /// Who may pass.
    pub access: Access,
    /// One of these groups, or one of `users`; both empty: anybody signed in.
    pub groups: Vec<String>,
    /// One of these users, or one of `groups`.
    pub users: Vec<String>,
    /// Allowed methods; empty: all that the proxy lets pass.
    pub methods: Vec<Method>,
    /// Bytes of a body; `None`: as many as `server.limits` allows.
    pub body_bytes: Option<u64>,
    /// What a request without a session gets.
    pub unauthenticated: Unauthenticated,
    /// Whether requests here count as use of a session.
    pub touch: bool,
    /// What becomes of a browser's question whether another site's page may send something.
    pub preflight: Preflight,
    /// What becomes of what other sites' pages send.
    pub csrf: PolicyMode,
    /// What passes that is refused elsewhere.
    pub passing: Passing,
}

/// The hosts that a route is for, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `app.example.com`
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: any sub-domain, not the domain itself.
    Subdomains(String),
    /// `*`
    Any,
}

impl HostPattern {
    /// Whether it is for `host`, in lower case.
    pub fn fits(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Subdomains(suffix) => host.ends_with(suffix.as_str()),
            Self::Any => true,
        }
    }

    /// Whether it is for all hosts that `other` is for.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Exact(name) => self.fits(name),
            Self::Subdomains(suffix) => {
                matches!(self, Self::Subdomains(ours) if suffix.ends_with(ours.as_str()))
                    || *self == Self::Any
            }
            Self::Any => *self == Self::Any,
        }
    }
}

/// Who may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody; sessions are not looked at.
    Public,
    /// Anybody; the upstream learns who, where there is a session.
    Optional,
    /// Who has a session and fits `groups` and `users`.
    Authenticated,
}

/// What a request without a session gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// A page navigation is redirected to the login, anything else gets 401.
    Auto,
    /// Always redirected.
    Redirect,
    /// Always 401.
    Unauthorized,
}

/// What becomes of a CORS preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// It is a request without a session like any other.
    Refuse,
    /// It goes upstream, without identity and cookies.
    Pass,
}

const PREFLIGHT: [(&str, Preflight); 2] = [("refuse", Preflight::Refuse), ("pass", Preflight::Pass)];

/// A mode of the route's own, or that of `[csrf]`.
const CSRF: [(&str, Option<PolicyMode>); 4] = [
    ("inherit", None),
    ("enforce", Some(PolicyMode::Enforce)),
    ("report", Some(PolicyMode::Report)),
    ("off", Some(PolicyMode::Off)),
];

const ACCESS: [(&str, Access); 3] =
    [("public", Access::Public), ("optional", Access::Optional), ("authenticated", Access::Authenticated)];

const UNAUTHENTICATED: [(&str, Unauthenticated); 3] = [
    ("auto", Unauthenticated::Auto),
    ("redirect", Unauthenticated::Redirect),
    ("401", Unauthenticated::Unauthorized),
];

/// What routes refer to.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) server: &'a Server,
    pub(super) login: &'a Login,
    pub(super) upstreams: &'a [Upstream],
    /// What a route's `csrf` inherits.
    pub(super) csrf: PolicyMode,
    pub(super) context: Context<'a>,
}

/// All routes of the file.
pub(super) fn read_all(root: &mut Section<'_>, around: Surroundings<'_>) -> Vec<Route> {
    let mut earlier: Vec<(HostPattern, String)> = Vec::new();
    let routes = root.tables("route", |section| {
        let route = read(section, around);
        let same = |(host, path): &(HostPattern, String)| {
            *host == route.host && path.eq_ignore_ascii_case(&route.path)
        };
        if let Some(index) = earlier.iter().position(same) {
            let what = format!("route[{index}] has the same host and path");
            section.error("path", what, "keep one of the two; upper and lower case count as the same");
        }
        earlier.push((route.host.clone(), route.path.clone()));
        route
    });
    if routes.is_empty() {
        root.error("route", "there is none", "add [[route]] with path = \"/\" and upstream = \"NAME\"");
    }
    routes
}

fn read(section: &mut Section<'_>, around: Surroundings<'_>) -> Route {
    let route = Route {
        host: section.value("host", kind::text_as(host_pattern), HostPattern::Any),
        path: section.value("path", kind::text_as(path_prefix), "/".to_owned()),
        upstream: section.required("upstream", kind::text, "\"NAME\"").unwrap_or_default(),
        strip_prefix: section.value("strip_prefix", kind::boolean, false),
        access: section.value("access", kind::one_of(&ACCESS), Access::Authenticated),
        groups: section.list("groups", kind::text, Vec::new()),
        users: section.list("users", kind::text, Vec::new()),
        methods: section.list("methods", method, Vec::new()),
        body_bytes: section.optional("body_bytes", kind::size(0..=u64::MAX)),
        unauthenticated: section.value(
            "unauthenticated",
            kind::one_of(&UNAUTHENTICATED),
            Unauthenticated::Auto,
        ),
        touch: section.value("touch", kind::boolean, true),
        preflight: section.value("preflight", kind::one_of(&PREFLIGHT), Preflight::Refuse),
        csrf: section.value("csrf", kind::one_of(&CSRF), None).unwrap_or(around.csrf),
        passing: passing::read(section, around.context),
    };
    check_target(section, &route, around);
    check_access(section, &route, around.login);
    route
}

fn check_target(section: &Section<'_>, route: &Route, around: Surroundings<'_>) {
    if !around.upstreams.iter().any(|upstream| upstream.name == route.upstream) {
        let names: Vec<String> =
            around.upstreams.iter().map(|upstream| format!("{:?}", upstream.name)).collect();
        let remedy = if names.is_empty() {
            format!("add [upstream.{}] with servers", route.upstream)
        } else {
            format!("there is {}", names.join(", "))
        };
        section.error("upstream", format!("there is no upstream {:?}", route.upstream), remedy);
    }
    if path::is_within(&route.path, &around.server.prefix) {
        let what = format!("lies beneath {}, where the proxy's own pages are", around.server.prefix);
        section.error("path", what, "write another path, or move server.prefix");
    }
}

fn check_access(section: &Section<'_>, route: &Route, login: &Login) {
    if route.access != Access::Authenticated {
        let access = if route.access == Access::Public { "public" } else { "optional" };
        for key in ["groups", "users", "unauthenticated"].into_iter().filter(|key| section.has(key)) {
            let remedy = "leave it out, or write access = \"authenticated\"";
            section.error(key, format!("means nothing with access = {access:?}"), remedy);
        }
    }
    if route.access == Access::Authenticated && login.providers.is_empty() {
        let remedy = "name a provider in login.providers, or write access = \"public\"";
        section.error("access", "needs a login, but login.providers is empty", remedy);
    }
}

pub(super) fn host_pattern(text: &str) -> Result<HostPattern, Complaint> {
    if text == "*" {
        return Ok(HostPattern::Any);
    }
    let pattern = match text.strip_prefix("*.").map(str::to_ascii_lowercase) {
        Some(domain) => host::is_name(&domain).then(|| HostPattern::Subdomains(format!(".{domain}"))),
        None => host::parse(text).map(HostPattern::Exact),
    };
    pattern.ok_or_else(|| {
        let remedy = "write \"app.example.com\", \"*.example.com\" or \"*\", without a port";
        Complaint::new(format!("{text:?} is not a host"), remedy)
    })
}

fn path_prefix(text: &str) -> Result<String, Complaint> {
    if text == "/" { Ok(text.to_owned()) } else { path::below_root(text) }
}

fn method(value: &Value<'_>) -> Result<Method, Complaint> {
    kind::text_as(|text| {
        let upper = text.to_ascii_uppercase();
        let complain = |what: &str, remedy: String| Err(Complaint::new(format!("{text:?} {what}"), remedy));
        match Method::from_bytes(text.as_bytes()) {
            _ if upper == "CONNECT" || upper == "TRACE" => {
                complain("is never passed on", "leave it out".to_owned())
            }
            Ok(method) if upper == text => Ok(method),
            Ok(_) => complain("is not written in capitals", format!("write {upper:?}")),
            Err(_) => complain("is not a method", "write one such as \"GET\"".to_owned()),
        }
    })(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{outcome, production};
    use super::super::{login, server, upstream};
    use super::*;

    fn routes(text: &str) -> Result<Vec<Route>, Vec<String>> {
        let text = format!("{text}\n[upstream.app]\nservers = [\"http://app\"]\n");
        outcome(&text, |root| {
            let server = root.table("server", |section| server::read(section, production(&[])));
            let login = root.table("login", |section| login::read(section, &server, production(&[])));
            let upstreams =
                root.named("upstream", |name, section| upstream::read(name, section, production(&[])));
            let csrf = PolicyMode::Report;
            let context = production(&[]);
            let around =
                Surroundings { server: &server, login: &login, upstreams: &upstreams, csrf, context };
            read_all(root, around)
        })
        .map(|(routes, _)| routes)
    }

    fn only_fault(text: &str) -> String {
        let faults = routes(text).unwrap_err();
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        faults[0].clone()
    }

    #[test]
    fn an_upstream_is_enough_and_nobody_passes_unseen() {
        let route = routes("[[route]]\nupstream = \"app\"").unwrap().remove(0);
        assert_eq!((route.host, route.path.as_str()), (HostPattern::Any, "/"));
        assert_eq!((route.access, route.unauthenticated), (Access::Authenticated, Unauthenticated::Auto));
        assert!(!route.strip_prefix && route.groups.is_empty() && route.users.is_empty());
        assert!(route.methods.is_empty());
    }

    #[test]
    fn a_route_inherits_what_becomes_of_other_sites_requests() {
        let mode = |keys: &str| routes(&format!("[[route]]\nupstream = \"app\"\n{keys}")).unwrap()[0].csrf;
        assert_eq!(mode(""), PolicyMode::Report);
        assert_eq!(mode("csrf = \"inherit\""), PolicyMode::Report);
        assert_eq!(mode("csrf = \"enforce\""), PolicyMode::Enforce);
        assert_eq!(mode("csrf = \"off\""), PolicyMode::Off);
    }

    #[test]
    fn hosts_are_exact_or_all_of_a_domain() {
        for (host, pattern) in [
            ("*", HostPattern::Any),
            ("App.example.com", HostPattern::Exact("app.example.com".to_owned())),
            ("*.Example.com", HostPattern::Subdomains(".example.com".to_owned())),
            ("[::1]", HostPattern::Exact("::1".to_owned())),
            ("127.0.0.1", HostPattern::Exact("127.0.0.1".to_owned())),
        ] {
            let text = format!("[[route]]\nhost = \"{host}\"\nupstream = \"app\"");
            assert_eq!(routes(&text).unwrap()[0].host, pattern);
        }
        for host in ["app:443", "*.", "*app.com", "a.*.com", "*.127.0.0.1", "https://app", "app."] {
            let text = format!("[[route]]\nhost = \"{host}\"\nupstream = \"app\"");
            assert!(only_fault(&text).contains("is not a host"), "{host}");
        }
    }

    #[test]
    fn a_route_leads_to_an_upstream_and_not_to_the_proxys_pages() {
        assert!(only_fault("[[route]]").contains("route[0].upstream: is missing"));
        let fault = only_fault("[[route]]\nupstream = \"api\"");
        assert!(fault.contains("there is no upstream \"api\" (there is \"app\")"), "{fault}");
        for path in ["/_foregate", "/_FOREGATE/login"] {
            let text = format!("[[route]]\nupstream = \"app\"\npath = \"{path}\"");
            assert!(only_fault(&text).contains("lies beneath /_foregate"));
        }
        assert!(only_fault("").contains("route: there is none"));
    }

    #[test]
    fn no_two_routes_have_the_same_host_and_path() {
        let route = |host: &str, path: &str| {
            format!("[[route]]\nupstream = \"app\"\nhost = \"{host}\"\npath = \"{path}\"\n")
        };
        let fault = only_fault(&(route("A.com", "/x") + &route("*", "/X") + &route("a.com", "/X")));
        assert!(fault.starts_with("error: route[2].path: route[0] has the same"), "{fault}");
    }

    #[test]
    fn a_public_route_has_no_rules_about_users() {
        let public = "[[route]]\nupstream = \"app\"\naccess = \"public\"\n";
        for key in ["groups = []", "users = [\"a\"]", "unauthenticated = \"auto\""] {
            assert!(only_fault(&format!("{public}{key}")).contains("means nothing with"), "{key}");
        }
    }

    #[test]
    fn where_nobody_can_log_in_every_route_says_so() {
        let text = "login.providers = []\n[[route]]\nupstream = \"app\"\n";
        assert!(only_fault(text).contains("route[0].access: needs a login"));
        assert!(routes(&format!("{text}access = \"public\"")).is_ok());
    }

    #[test]
    fn methods_are_in_capitals_and_never_tunnels() {
        let text = "[[route]]\nupstream = \"app\"\nmethods = [\"GET\", \"PROPFIND\"]";
        assert_eq!(routes(text).unwrap()[0].methods, ["GET", "PROPFIND"]);
        let text = "[[route]]\nupstream = \"app\"\nmethods = [\"get\", \"CONNECT\", \"Trace\", \"G T\", \"PUT\", \"PUT\"]";
        assert_eq!(routes(text).unwrap_err().len(), 5);
    }
}
