//! What a request to the API asks for.

use http::Method;
use http::request::Parts;
use url::form_urlencoded;

use crate::base::handle::Handle;
use crate::http::Problem;
use crate::telemetry::Policy;

/// So many sessions are listed unless another number is asked for.
pub const LISTED: usize = 100;

/// So many at most: each is a look-up.
pub const MOST_LISTED: usize = 10_000;

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
