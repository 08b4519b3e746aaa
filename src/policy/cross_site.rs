//! Requests that other sites' pages have browsers send (OWASP Cross-Site Request Forgery Prevention, Fetch Metadata).

use http::HeaderMap;

use crate::config;
use crate::http::{Intent, Origin, RequestContext, Sender, Site};

/// Whose pages may have a browser send what changes something.
#[derive(Clone, Debug)]
pub struct CrossSite {
    trusted: Vec<Origin>,
}

/// What is made of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It changes nothing, it comes from our own pages, from nobody's, or from those of a trusted place.
    Pass,
    /// It may be another site's doing.
    Refuse(Suspicion),
}

/// Why a request may be another site's doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// What gave it away.
    pub evidence: Evidence,
    /// The page that it comes from.
    pub sender: Sender,
}

/// What gives a request away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The browser's own judgement.
    SecFetchSite,
    /// The page's name; or that of the page that opens a WebSocket.
    Origin,
    /// The page's address, where it has no name.
    Referer,
}

impl Evidence {
    /// The word for the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecFetchSite => "sec-fetch-site",
            Self::Origin => "origin",
            Self::Referer => "referer",
        }
    }
}

impl CrossSite {
    /// As configured.
    pub fn new(config: &config::Csrf) -> Self {
        Self { trusted: config.trusted_origins.clone() }
    }

    /// Judges a request by its head. What reads is not looked at; else who says nothing at all is no browser, and what
    /// can be read in two ways is another site's.
    pub fn judge(&self, request: &RequestContext, headers: &HeaderMap) -> Verdict {
        match request.intent {
            Intent::Read | Intent::Preflight => Verdict::Pass,
            Intent::Change => self.judge_by_site(request, headers),
            // Browsers have not always told the site of a WebSocket's page right, but always its origin.
            Intent::WebSocket => match Sender::of_origin(headers) {
                Sender::Untold => self.judge_by_site(request, headers),
                sender => self.judge_by_name(request, Evidence::Origin, sender),
            },
        }
    }

    fn judge_by_site(&self, request: &RequestContext, headers: &HeaderMap) -> Verdict {
        let evidence = match Site::of(headers) {
            Site::SameOrigin | Site::Nobody => return Verdict::Pass,
            Site::Foreign => Evidence::SecFetchSite,
            Site::Untold if headers.contains_key(http::header::ORIGIN) => Evidence::Origin,
            Site::Untold => Evidence::Referer,
        };
        match (evidence, Sender::of(headers)) {
            (Evidence::Referer, Sender::Untold) => Verdict::Pass,
            // Who takes the page for foreign is not contradicted by its having our name.
            (Evidence::SecFetchSite, sender) => self.unless_trusted(evidence, sender),
            (Evidence::Origin | Evidence::Referer, sender) => self.judge_by_name(request, evidence, sender),
        }
    }

    fn judge_by_name(&self, request: &RequestContext, evidence: Evidence, sender: Sender) -> Verdict {
        match sender.origin() {
            Some(origin) if origin.is(request.scheme, &request.authority) => Verdict::Pass,
            _ => self.unless_trusted(evidence, sender),
        }
    }

    fn unless_trusted(&self, evidence: Evidence, sender: Sender) -> Verdict {
        match sender.origin() {
            Some(origin) if self.trusted.iter().any(|trusted| trusted.is_same(origin)) => Verdict::Pass,
            _ => Verdict::Refuse(Suspicion { evidence, sender }),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::PolicyMode;
    use crate::http::testing::context_of;

    /// The cases: what is sent, to where, and what comes of it.
    const CASES: &str = include_str!("../../tests/fixtures/cross_site.txt");

    const TRUSTED: [&str; 2] = ["https://partner.test", "http://[2001:db8::1]:8080"];

    fn verdict(intent: Intent, place: &str, headers: &str) -> String {
        let trusted_origins = TRUSTED.map(|origin| Origin::parse(origin).unwrap()).into();
        let policy =
            CrossSite::new(&config::Csrf { mode: PolicyMode::Enforce, keep_body: 0, trusted_origins });
        let headers = headers.split(" | ").filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
            (name.trim().parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.trim()).unwrap())
        });
        let context = RequestContext { intent, ..context_of(place) };
        match policy.judge(&context, &headers.collect()) {
            Verdict::Pass => "pass".to_owned(),
            Verdict::Refuse(Suspicion { evidence, sender }) => format!("{} {sender}", evidence.as_str()),
        }
    }

    #[test]
    fn other_sites_pages_change_nothing_and_open_nothing() {
        let mut refused = 0;
        for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(" => ").collect();
            let [asked, expected] = fields[..] else { panic!("{line}") };
            let (intent, rest) = asked.split_once(' ').unwrap();
            let (place, headers) = rest.split_once(' ').unwrap_or((rest, ""));
            let intent = match intent {
                "reads" => Intent::Read,
                "asks" => Intent::Preflight,
                "changes" => Intent::Change,
                "opens" => Intent::WebSocket,
                other => panic!("{other}"),
            };
            assert_eq!(verdict(intent, place, headers), expected, "{line}");
            refused += usize::from(expected != "pass");
        }
        assert!(refused > 40, "{refused}");
    }
}
