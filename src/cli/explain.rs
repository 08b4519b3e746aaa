//! `foregate explain`

use std::io::{self, Read};
use std::time::Duration;

use clap::Args;
use http::header::{ACCEPT, COOKIE, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use tokio::runtime::Builder;

use super::output::{complain, print, say, warn};
use super::run::world;
use super::{ConfigFlag, Exit, trace};
use crate::admin::TRACED_MINUTES;
use crate::app;
use crate::config::{Config, Environment, StoreUrl};
use crate::gateway::{Changes, Explanation, Purpose};
use crate::telemetry::{Format, Lines, Logs, plain, pretty};

/// An operator waits for longer than a browser.
const PATIENCE: Duration = Duration::from_secs(5);

/// No browser sends more.
const LONGEST_COOKIE: u64 = 64 * 1024;

/// What a browser says when somebody types an address.
const TYPED: [(&str, &str); 3] =
    [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

/// What it says when a page of the same site sends something.
const SENT: [(&str, &str); 3] =
    [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The address, with its host
    #[arg(value_name = "URL", required_unless_present_any = ["trace", "request"])]
    url: Option<Uri>,
    /// Have the running proxy trace the requests of a client: an address, or a network such as 192.0.2.0/24
    #[arg(long, value_name = "CLIENT", conflicts_with_all = ["url", "request", "method", "cookie", "header"])]
    trace: Option<String>,
    /// For so many minutes, 60 at most
    #[arg(long, value_name = "N", default_value_t = TRACED_MINUTES, requires = "trace")]
    minutes: u64,
    /// Tell of a request that was traced, by its X-Request-Id
    #[arg(long, value_name = "ID", conflicts_with_all = ["url", "method", "cookie", "header"])]
    request: Option<String>,
    /// The method
    #[arg(long, default_value = "GET")]
    method: Method,
    /// Read what a browser sends as Cookie from standard input
    #[arg(long, value_name = "-", value_parser = ["-"])]
    cookie: Option<String>,
    /// A header of the request; any number
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = name.parse().map_err(|_| format!("{name:?} is not a header's name"))?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| "the value cannot stand in a header")?;
    Ok((name, value))
}

/// What cannot be explained.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("{0}: write the whole address, such as https://app.example.com/path")]
    Address(Uri),
    #[error("the cookie cannot be read from standard input: {0}")]
    Cookie(#[from] io::Error),
    #[error("the cookie cannot stand in a header (give what the browser sends, such as NAME=VALUE)")]
    BadCookie,
    #[error(transparent)]
    Start(#[from] app::StartError),
}

pub(super) fn explain(args: &ExplainArgs, flag: &ConfigFlag, environment: &Environment) -> Exit {
    let mut config = match flag.load(environment) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    let url = match (&args.trace, &args.request, &args.url) {
        (Some(client), ..) => return trace::begin(client, args.minutes, &config),
        (None, Some(id), _) => return trace::show(id, args.json, &config),
        (None, None, url) => url.as_ref().expect("there is one where there is none of the others"),
    };
    let store = &mut config.session.store;
    store.command_timeout = store.command_timeout.max(PATIENCE);
    match explanation(args, url, &config) {
        Ok(told) => tell(args, &told, &config),
        Err(error) => complain(error),
    }
}

fn explanation(args: &ExplainArgs, url: &Uri, config: &Config) -> Result<Explanation, ExplainError> {
    let (parts, purpose) = request(args, url, config)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // What a proxy would log: the command tells it by itself.
    let nowhere = Lines::nowhere()?;
    let logs = Logs { main: nowhere.clone(), audit: nowhere, format: Format::Json };
    runtime.block_on(async {
        let gateway = app::gateway(config, &world(logs))?;
        Ok(gateway.explain(parts, purpose).await)
    })
}

/// The request's head, and the way by which it would come in.
fn request(args: &ExplainArgs, url: &Uri, config: &Config) -> Result<(Parts, Purpose), ExplainError> {
    let whole = || ExplainError::Address(url.clone());
    let purpose = match url.scheme_str() {
        Some("https") => Purpose::Tls,
        Some("http") if config.server.plain.is_empty() => Purpose::RedirectToHttps,
        Some("http") => Purpose::Plain,
        _ => return Err(whole()),
    };
    let host = url.authority().ok_or_else(whole)?;
    let target: Uri =
        url.path_and_query().map_or("/", |target| target.as_str()).parse().map_err(|_| whole())?;
    let request = Request::builder().method(args.method.clone()).uri(target);
    let (mut parts, ()) = request.body(()).map_err(|_| whole())?.into_parts();
    let headers = &mut parts.headers;
    headers.insert(HOST, HeaderValue::from_str(host.as_str()).map_err(|_| whole())?);
    headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
    let says_who = args.header.iter().any(|(name, _)| ["origin", "referer"].contains(&name.as_str()));
    for (name, value) in if args.method.is_safe() { TYPED } else { SENT } {
        if !says_who {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    for (name, _) in &args.header {
        headers.remove(name);
    }
    for (name, value) in &args.header {
        headers.append(name, value.clone());
    }
    if args.cookie.is_some() {
        headers.append(COOKIE, cookie()?);
    }
    Ok((parts, purpose))
}

fn cookie() -> Result<HeaderValue, ExplainError> {
    let mut text = String::new();
    io::stdin().take(LONGEST_COOKIE).read_to_string(&mut text)?;
    HeaderValue::from_str(text.trim()).map_err(|_| ExplainError::BadCookie)
}

fn tell(args: &ExplainArgs, told: &Explanation, config: &Config) -> Exit {
    let unavailable = told.cookie.as_ref().is_some_and(|cookie| cookie.verdict == "unavailable");
    let shared = matches!(config.session.store.url, StoreUrl::Redis(_));
    if unavailable && !shared {
        warn(
            "sessions in a file or in memory are known to the running proxy alone: foregate sessions show HANDLE",
        );
    }
    let printed = if args.json { say(pretty(told)) } else { print(text(told).as_bytes()) };
    if unavailable && shared { Exit::Unreachable } else { printed }
}

/// For people: a stage a line, what becomes of headers beneath it.
pub(super) fn text(told: &Explanation) -> String {
    let mut text = String::new();
    let mut stage = |name: &str, words: &str| text += &format!("{name:8}  {}\n", plain(words));
    if let Some(request) = &told.request {
        stage("request", request);
    }
    if let Some(endpoint) = &told.endpoint {
        stage("endpoint", &format!("the proxy answers itself: {endpoint}"));
    }
    if let Some(route) = &told.route {
        let mut words = format!("{}{}, access {}", route.host, route.path, route.access);
        for (name, list) in [("groups", &route.groups), ("users", &route.users), ("methods", &route.methods)]
        {
            if !list.is_empty() {
                words += &format!(", {name} {}", list.join(" "));
            }
        }
        stage("route", &words);
    }
    if let Some(sender) = &told.sender {
        stage("sender", sender);
    }
    if let Some(cookie) = &told.cookie {
        stage("cookie", &format!("{}: {}", cookie.verdict, cookie.meaning));
        for vouched in &cookie.vouched {
            stage("", &format!("session {}, signed under {}", vouched.handle, vouched.secret));
        }
        if let Some(user) = &cookie.user {
            stage(
                "",
                &format!(
                    "{user}, in {}",
                    if cookie.groups.is_empty() { "no group".to_owned() } else { cookie.groups.join(", ") }
                ),
            );
        }
    }
    if let Some(upstream) = &told.upstream {
        stage("upstream", &format!("{} at {}: {}", upstream.name, upstream.server, upstream.line));
        changes(&upstream.headers, &mut stage);
    }
    if let Some(answer) = &told.answer {
        let words = match (&*answer.by, answer.status) {
            (_, None) => "the application's; of one that sets a careless cookie:".to_owned(),
            ("application", Some(status)) => format!("{status}, the application's"),
            (_, Some(status)) => status.to_string(),
        };
        stage("answer", &words);
        changes(&answer.headers, &mut stage);
    }
    text
}

fn changes(changes: &Changes, stage: &mut impl FnMut(&str, &str)) {
    changes.removed.iter().for_each(|line| stage("", &format!("- {line}")));
    changes.set.iter().for_each(|line| stage("", &format!("+ {line}")));
}
