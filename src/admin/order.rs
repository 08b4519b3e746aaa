//! What a request to the API asks for.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use http::request::Parts;
use ipnet::IpNet;
use url::form_urlencoded;

use crate::base::handle::Handle;
use crate::http::Problem;
use crate::telemetry::Policy;

/// So many sessions are listed unless another number is asked for.
pub const LISTED: usize = 100;

/// So many at most: each is a look-up.
pub const MOST_LISTED: usize = 10_000;

/// How long a client is traced unless it is said, and at most.
pub const TRACED_MINUTES: u64 = 10;
const MOST_TRACED_MINUTES: u64 = 60;

static ALSO_POST: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::DELETE];
static SAFE: [Method; 2] = [Method::GET, Method::HEAD];
static ALSO_DELETE: [Method; 3] = [Method::GET, Method::HEAD, Method::DELETE];

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    List { user: Option<String>, limit: usize },
    Count,
    Find(Handle),
    End(Handle),
    EndUser(String),
    EndAll,
    Findings(Option<Policy>),
    Traces,
    Trace(String),
    BeginTrace { client: IpNet, span: Duration },
    EndTrace(IpNet),
    Describe,
}

/// Why nothing is done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Problem(Problem),
    /// Only these methods are taken.
    Method(&'static [Method]),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Order {
    /// What is asked for at `path`, below the API's prefix.
    pub(super) fn read(parts: &Parts, path: &str) -> Result<Self, Refusal> {
        let asks = matches!(parts.method, Method::GET | Method::HEAD);
        let query = parts.uri.query().unwrap_or_default();
        if path == "/findings" {
            return if asks { Ok(Self::Findings(policy(query)?)) } else { Err(Refusal::Method(&SAFE)) };
        }
        if let Some(below) = path.strip_prefix("/traces") {
            return traces(&parts.method, below, query);
        }
        let query = Query::read(query)?;
        match path {
            "/sessions" if asks => query.list(),
            "/sessions" if parts.method == Method::DELETE => query.end(),
            "/sessions" => Err(Refusal::Method(&ALSO_DELETE)),
            "/sessions/count" if asks => query.nothing_for(Self::Count),
            "/openapi.json" if asks => query.nothing_for(Self::Describe),
            "/sessions/count" | "/openapi.json" => Err(Refusal::Method(&SAFE)),
            _ => {
                let handle = path.strip_prefix("/sessions/").and_then(|handle| handle.parse().ok());
                let handle = handle.ok_or(Problem::NoRoute)?;
                match parts.method {
                    Method::GET | Method::HEAD => query.nothing_for(Self::Find(handle)),
                    Method::DELETE => query.nothing_for(Self::End(handle)),
                    _ => Err(Refusal::Method(&ALSO_DELETE)),
                }
            }
        }
    }
}

/// Whose findings a request is about; everybody's, where it does not say.
fn policy(query: &str) -> Result<Option<Policy>, Problem> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    match (pairs.next(), pairs.next()) {
        (None, _) => Ok(None),
        (Some((name, word)), None) if name == "policy" => {
            Policy::named(&word).ok_or(Problem::BadRequest).map(Some)
        }
        _ => Err(Problem::BadRequest),
    }
}

/// What is asked for of traces.
fn traces(method: &Method, below: &str, query: &str) -> Result<Order, Refusal> {
    let asks = matches!(*method, Method::GET | Method::HEAD);
    match below.strip_prefix('/') {
        Some(id) if asks && query.is_empty() => Ok(Order::Trace(id.to_owned())),
        Some(_) if asks => Err(Problem::BadRequest.into()),
        Some(_) => Err(Refusal::Method(&SAFE)),
        None if !below.is_empty() => Err(Problem::NoRoute.into()),
        None if asks && query.is_empty() => Ok(Order::Traces),
        None if *method == Method::POST => begin_trace(query),
        None if *method == Method::DELETE => match traced(query)? {
            (client, None) => Ok(Order::EndTrace(client)),
            (_, Some(_)) => Err(Problem::BadRequest.into()),
        },
        None if asks => Err(Problem::BadRequest.into()),
        None => Err(Refusal::Method(&ALSO_POST)),
    }
}

fn begin_trace(query: &str) -> Result<Order, Refusal> {
    let (client, minutes) = traced(query)?;
    let minutes = minutes.unwrap_or(TRACED_MINUTES);
    if !(1..=MOST_TRACED_MINUTES).contains(&minutes) {
        return Err(Problem::BadRequest.into());
    }
    Ok(Order::BeginTrace { client, span: Duration::from_secs(minutes * 60) })
}

/// Whom traces are about, and for how many minutes.
fn traced(query: &str) -> Result<(IpNet, Option<u64>), Problem> {
    let (mut client, mut minutes) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let is_first = match &*name {
            "client" => client.replace(network(&value).ok_or(Problem::BadRequest)?).is_none(),
            "minutes" => minutes.replace(value.parse().map_err(|_| Problem::BadRequest)?).is_none(),
            _ => false,
        };
        if !is_first {
            return Err(Problem::BadRequest);
        }
    }
    Ok((client.ok_or(Problem::BadRequest)?, minutes))
}

/// An address, or a network in CIDR form.
fn network(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|| text.parse().ok())
}

/// Which sessions a request is about.
#[derive(Debug, Default)]
struct Query {
    user: Option<String>,
    limit: Option<usize>,
    all: Option<()>,
}

impl Query {
    /// A name that is not known, or two values of one, is a mistake by which the wrong sessions could end.
    fn read(query: &str) -> Result<Self, Problem> {
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let is_first = match (&*name, &*value) {
                ("user", user) if !user.is_empty() => read.user.replace(user.to_owned()).is_none(),
                ("limit", number) => {
                    let limit = number.parse().ok().filter(|limit| (1..=MOST_LISTED).contains(limit));
                    read.limit.replace(limit.ok_or(Problem::BadRequest)?).is_none()
                }
                ("all", "true") => read.all.replace(()).is_none(),
                _ => false,
            };
            if !is_first {
                return Err(Problem::BadRequest);
            }
        }
        Ok(read)
    }

    fn list(self) -> Result<Order, Refusal> {
        match self {
            Self { user, limit, all: None } => Ok(Order::List { user, limit: limit.unwrap_or(LISTED) }),
            Self { .. } => Err(Problem::BadRequest.into()),
        }
    }

    /// Nobody ends everything by leaving something out.
    fn end(self) -> Result<Order, Refusal> {
        match self {
            Self { user: Some(user), limit: None, all: None } => Ok(Order::EndUser(user)),
            Self { user: None, limit: None, all: Some(()) } => Ok(Order::EndAll),
            Self { .. } => Err(Problem::BadRequest.into()),
        }
    }

    fn nothing_for(self, order: Order) -> Result<Order, Refusal> {
        match self {
            Self { user: None, limit: None, all: None } => Ok(order),
            Self { .. } => Err(Problem::BadRequest.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn read(method: &str, address: &str) -> Result<Order, Refusal> {
        let request = http::Request::builder().method(method).uri(address).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        Order::read(&parts, parts.uri.path())
    }

    fn list(user: Option<&str>, limit: usize) -> Order {
        Order::List { user: user.map(str::to_owned), limit }
    }

    fn begin(client: &str, seconds: u64) -> Order {
        Order::BeginTrace { client: client.parse().unwrap(), span: Duration::from_secs(seconds) }
    }

    #[test]
    fn who_is_traced_is_said_once_and_for_an_hour_at_most() {
        for query in [
            "",
            "?client=",
            "?client=alice",
            "?client=192.0.2.7&client=192.0.2.8",
            "?client=192.0.2.7&minutes=0",
            "?client=192.0.2.7&minutes=61",
            "?client=192.0.2.7&minutes=x",
            "?client=192.0.2.7&user=a",
        ] {
            let refused = Err(Refusal::Problem(Problem::BadRequest));
            assert_eq!(read("POST", &format!("/traces{query}")), refused, "{query}");
        }
        assert_eq!(read("GET", "/tracesx"), Err(Refusal::Problem(Problem::NoRoute)));
        assert_eq!(read("PUT", "/traces?client=192.0.2.7"), Err(Refusal::Method(&ALSO_POST)));
        assert_eq!(read("DELETE", "/traces/0123"), Err(Refusal::Method(&SAFE)));
    }

    #[test]
    fn each_request_is_one_order() {
        let handle = Handle::new([0; 16]);
        for (method, address, order) in [
            ("GET", "/sessions", list(None, LISTED)),
            ("HEAD", "/sessions?limit=10000", list(None, MOST_LISTED)),
            ("GET", "/sessions?user=al%20ice&limit=1", list(Some("al ice"), 1)),
            ("GET", "/sessions/count", Order::Count),
            ("GET", &format!("/sessions/{HANDLE}"), Order::Find(handle)),
            ("DELETE", &format!("/sessions/{HANDLE}"), Order::End(handle)),
            ("DELETE", "/sessions?user=alice", Order::EndUser("alice".to_owned())),
            ("DELETE", "/sessions?all=true", Order::EndAll),
            ("GET", "/openapi.json", Order::Describe),
            ("GET", "/findings", Order::Findings(None)),
            ("HEAD", "/findings?policy=csrf", Order::Findings(Some(Policy::CrossSite))),
            ("GET", "/traces", Order::Traces),
            ("GET", "/traces/0123", Order::Trace("0123".to_owned())),
            ("POST", "/traces?client=192.0.2.7", begin("192.0.2.7/32", 600)),
            ("POST", "/traces?minutes=60&client=2001:db8::/32", begin("2001:db8::/32", 3600)),
            ("DELETE", "/traces?client=192.0.2.0/24", Order::EndTrace("192.0.2.0/24".parse().unwrap())),
        ] {
            assert_eq!(read(method, address), Ok(order), "{method} {address}");
        }
    }

    #[test]
    fn what_could_end_the_wrong_sessions_is_refused() {
        for query in [
            "",
            "?user=",
            "?all",
            "?all=false",
            "?all=1",
            "?all=true&all=true",
            "?user=a&all=true",
            "?user=a&user=b",
            "?User=a",
            "?user=a&limit=1",
            "?user=a&x=",
        ] {
            let refused = Err(Refusal::Problem(Problem::BadRequest));
            assert_eq!(read("DELETE", &format!("/sessions{query}")), refused, "{query}");
        }
        for address in [
            "/sessions?all=true".to_owned(),
            "/sessions?limit=0".to_owned(),
            "/sessions?limit=10001".to_owned(),
            "/sessions/count?user=a".to_owned(),
            "/findings?policy=none".to_owned(),
            "/findings?policy=csrf&policy=cookies".to_owned(),
            "/findings?user=a".to_owned(),
            format!("/sessions/{HANDLE}?all=true"),
        ] {
            assert_eq!(read("GET", &address), Err(Refusal::Problem(Problem::BadRequest)), "{address}");
        }
    }

    #[test]
    fn nothing_lies_elsewhere_and_other_methods_are_refused() {
        for path in ["/", "/session", "/sessions/", "/sessions/short", "/sessions/count/", "/SESSIONS"] {
            assert_eq!(read("GET", path), Err(Refusal::Problem(Problem::NoRoute)), "{path}");
        }
        for method in ["POST", "PUT", "PATCH", "OPTIONS"] {
            for path in
                ["/sessions", "/sessions/count", "/findings", "/openapi.json", &format!("/sessions/{HANDLE}")]
            {
                assert!(matches!(read(method, path), Err(Refusal::Method(_))), "{method} {path}");
            }
        }
        for path in ["/sessions/count", "/findings"] {
            assert_eq!(read("DELETE", path), Err(Refusal::Method(&SAFE)), "{path}");
        }
    }
}
