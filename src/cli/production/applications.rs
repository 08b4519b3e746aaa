//! What passes to applications and back: routes, upstreams, their cookies and headers, and what is written down.

use http::header;

use super::{Check, is_here, line, listed, must, should};
use crate::config::{
    Access, Config, CookieRule, Cookies, EncodedSlashes, HostPattern, LogLevel, Place, PolicyMode, Preflight,
    Route, SameSite, ServerScheme, Upstream,
};
use crate::http::Underscores;

pub(super) fn lines(config: &Config) -> Vec<Check> {
    let mut lines = vec![policy("cookies.mode", config.cookies.mode), policy("csrf.mode", config.csrf.mode)];
    lines.extend(cookies(&config.cookies));
    lines.extend(csrf(config));
    lines.extend(headers(config));
    lines.extend(routes(&config.routes));
    for upstream in &config.upstreams {
        lines.extend(self::upstream(upstream));
    }
    lines.push(strip(config));
    lines.extend(log(config));
    lines
}

fn policy(key: &str, mode: PolicyMode) -> Check {
    let (seen, remedy) = match mode {
        PolicyMode::Enforce => ("enforce", None),
        PolicyMode::Report => (
            "report",
            Some(should("write \"enforce\" once `foregate findings` shows nothing that would break")),
        ),
        PolicyMode::Off => {
            ("off", Some(must("write \"enforce\", or \"report\" to see what it would change")))
        }
    };
    line(key, seen, remedy)
}

fn cookies(cookies: &Cookies) -> Vec<Check> {
    let none = cookies.same_site == SameSite::None;
    let everything = cookies.script_readable.iter().any(|name| name.fits(b"any"));
    let looser = |rule: &&CookieRule| rule.http_only == Some(false) || rule.same_site == Some(SameSite::None);
    let looser = cookies.rules.iter().filter(looser).count();
    let exempt = cookies.exempt.len();
    vec![
        line(
            "cookies.secure",
            cookies.secure.to_string(),
            (!cookies.secure).then(|| must("leave it out: applications' cookies go over http, too")),
        ),
        line(
            "cookies.http_only",
            cookies.http_only.to_string(),
            (!cookies.http_only).then(|| must("leave it out, and name what scripts need in script_readable")),
        ),
        line(
            "cookies.script_readable",
            format!("{} names", cookies.script_readable.len()),
            everything.then(|| must("name single cookies: all of them are left to scripts")),
        ),
        line(
            "cookies.same_site",
            if none { "none" } else { "lax or strict" },
            none.then(|| should("write \"lax\", and \"none\" in a [[cookies.rule]] for what needs it")),
        ),
        line(
            "cookies.drop_domain",
            cookies.drop_domain.to_string(),
            (!cookies.drop_domain).then(|| should("leave it out: sister hosts get applications' cookies")),
        ),
        line(
            "cookies.exempt",
            format!("{exempt} names"),
            (exempt > 0)
                .then(|| should("take out what bears the policy, and give the rest [[cookies.rule]]s")),
        ),
        line(
            "cookies.rule",
            format!("{looser} of {} are looser", cookies.rules.len()),
            (looser > 0)
                .then(|| should("keep http_only = false and same_site = \"none\" to what needs them")),
        ),
    ]
}

fn csrf(config: &Config) -> [Check; 2] {
    let foreign = config.csrf.trusted_origins.iter().map(ToString::to_string);
    let clear: Vec<String> = foreign.filter(|origin| origin.starts_with("http:")).collect();
    let bare = config.routes.iter().filter(|route| route.csrf != config.csrf.mode);
    let bare: Vec<String> = bare.filter(|route| route.csrf != PolicyMode::Enforce).map(name).collect();
    [
        line(
            "csrf.trusted_origins",
            listed(&clear, "none in the clear"),
            (!clear.is_empty()).then(|| must("name https: origins: whoever is on the way writes such pages")),
        ),
        line(
            "route.csrf",
            listed(&bare, "as [csrf] says"),
            (!bare.is_empty()).then(|| should("leave it out: other sites may send what changes something")),
        ),
    ]
}

fn headers(config: &Config) -> Vec<Check> {
    let value = |name: &http::HeaderName| {
        let found = config.headers.set.iter().find(|(set, _)| set == name);
        found.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase()
    };
    let shown = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    let opener = http::HeaderName::from_static("cross-origin-opener-policy");
    let (sniff, frame) = (value(&header::X_CONTENT_TYPE_OPTIONS), value(&header::X_FRAME_OPTIONS));
    let (referrer, opener) = (value(&header::REFERRER_POLICY), value(&opener));
    let policy = value(&header::CONTENT_SECURITY_POLICY);
    let framed = frame.is_empty() && !policy.contains("frame-ancestors");
    let leaks = ["", "unsafe-url", "no-referrer-when-downgrade"].contains(&&*referrer);
    let left_open = ["", "unsafe-none"].contains(&&*opener);
    let told = |name: &http::HeaderName| !config.headers.remove.contains(name);
    let talks = told(&header::SERVER) || told(&http::HeaderName::from_static("x-powered-by"));
    let framing =
        must("write \"SAMEORIGIN\" or \"DENY\": other sites can show pages in a frame and take clicks");
    vec![
        line(
            "headers.x_content_type_options",
            shown(&sniff),
            sniff.is_empty().then(|| must("leave it out, which sends nosniff")),
        ),
        line("headers.x_frame_options", shown(&frame), framed.then_some(framing)),
        line(
            "headers.referrer_policy",
            shown(&referrer),
            leaks.then(|| should("leave it out: other sites learn whole addresses")),
        ),
        line(
            "headers.content_security_policy",
            shown(&policy),
            policy.is_empty().then(|| should("write at least \"object-src 'none'; base-uri 'self'\"")),
        ),
        line(
            "headers.cross_origin_opener_policy",
            shown(&opener),
            left_open.then(|| should("leave it out: pages that open ours keep a hand on the window")),
        ),
        line(
            "headers.remove",
            listed(&config.headers.remove, "none"),
            talks.then(|| should("leave it out: answers tell which programs are at work")),
        ),
    ]
}

fn routes(routes: &[Route]) -> Vec<Check> {
    let those = |fits: fn(&Route) -> bool| routes.iter().filter(|route| fits(route)).map(name).collect();
    let any_host: Vec<String> = those(|route| route.host == HostPattern::Any);
    let open: Vec<String> = those(|route| route.access != Access::Authenticated && route.path == "/");
    let preflights: Vec<String> = those(|route| route.preflight == Preflight::Pass);
    let slashes: Vec<String> = those(|route| route.passing.encoded_slashes == EncodedSlashes::Pass);
    let underscores: Vec<String> = those(|route| route.passing.underscore_headers == Underscores::Pass);
    [
        ("route.host", any_host, "name the hosts: applications build addresses from whatever Host comes"),
        ("route.access", open, "leave it out for \"/\", and name the paths that are for everybody"),
        ("route.preflight", preflights, "see to it that the application names origins, and never \"*\""),
        ("route.encoded_slashes", slashes, "leave it out unless the application needs %2f in a path"),
        ("route.underscore_headers", underscores, "leave it out unless the application needs them"),
    ]
    .map(|(key, those, remedy)| {
        let some = !those.is_empty();
        line(key, listed(those, "none that asks for care"), some.then(|| should(remedy)))
    })
    .into()
}

fn name(route: &Route) -> String {
    let host = match &route.host {
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Subdomains(suffix) => format!("*{suffix}"),
        HostPattern::Any => "*".to_owned(),
    };
    format!("{host}{}", route.path)
}

fn upstream(upstream: &Upstream) -> [Check; 2] {
    let in_the_clear = upstream.servers.iter().any(|server| {
        let far = matches!(server.place, Place::Network { .. }) && !is_here(&server.place);
        far && server.scheme != ServerScheme::Https
    });
    let key = |name: &str| format!("upstream.{}.{name}", upstream.name);
    let servers = "write https://: who reads along has the users' data, and who gets there says who they are";
    [
        line(&key("servers"), listed(&upstream.servers, ""), in_the_clear.then(|| should(servers))),
        line(
            &key("lenient"),
            upstream.lenient.to_string(),
            upstream.lenient.then(|| should("leave it out once the application writes headers as it should")),
        ),
    ]
}

fn strip(config: &Config) -> Check {
    let unguarded = config.identity.headers.unguarded();
    let remedy = should("leave it out: clients may say who they are by these names");
    let seen = listed(&unguarded, "every name that is known to tell the user");
    line("identity.headers.strip", seen, (!unguarded.is_empty()).then_some(remedy))
}

fn log(config: &Config) -> [Check; 2] {
    let log = &config.log;
    let chatty = matches!(log.level, LogLevel::Debug | LogLevel::Trace);
    [
        line(
            "log.level",
            format!("{:?}", log.level).to_ascii_lowercase(),
            chatty.then(|| should("leave it out: libraries write more than anybody has looked through")),
        ),
        line(
            "log.access",
            log.access.to_string(),
            (!log.access).then(|| should("leave it out: nobody can tell afterwards who did what")),
        ),
    ]
}
