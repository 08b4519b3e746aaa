//! Every metric's name, in one place.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::labels::{
    CacheResult, CertificateLabels, CookieVerdict, FindingLabels, Label, ListenerLabels, LoginResult,
    ProviderLabels, ReloadResult, RequestLabels, ServerLabels, UpstreamErrorLabels, UpstreamLabels, Words,
    method_label,
};
use crate::base::clock::Timestamp;

/// Seconds, from a cache's answer to a time-out.
const BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Everything that is counted. Recording is one look-up and one atomic addition.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    connections: Family<ListenerLabels, Gauge>,
    rides: Gauge,
    certificate_expiry: Family<CertificateLabels, Gauge>,
    cookie_verdicts: Words,
    sessions_created: Family<ProviderLabels, Counter>,
    sessions_ended: Words,
    login_attempts: Words,
    store_seconds: Family<Label, Histogram, fn() -> Histogram>,
    store_errors: Words,
    cache_lookups: Words,
    upstream_seconds: Family<UpstreamLabels, Histogram, fn() -> Histogram>,
    upstream_errors: Family<UpstreamErrorLabels, Counter>,
    upstream_servers: Family<ServerLabels, Gauge>,
    policy_findings: Family<FindingLabels, Counter>,
    reloads: Words,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("foregate");
        let all = &mut registry;
        Self {
            request_seconds: add(
                all,
                "request_seconds",
                "From a request's head to its answer's end",
                histogram(),
            ),
            connections: add(all, "connections", "Connections that are open", Family::default()),
            rides: add(
                all,
                "rides",
                "WebSockets, streams and long transfers that end with their session",
                Gauge::default(),
            ),
            certificate_expiry: add(
                all,
                "certificate_expiry_seconds",
                "When a certificate ends, in seconds since 1970",
                Family::default(),
            ),
            upstream_seconds: add(
                all,
                "upstream_seconds",
                "From a request to the head of the upstream's answer",
                Family::new_with_constructor(histogram as fn() -> Histogram),
            ),
            requests: add(all, "requests", "Requests answered", Family::default()),
            cookie_verdicts: add(
                all,
                "cookie_verdicts",
                "Requests by their session cookie",
                Family::default(),
            ),
            sessions_created: add(all, "sessions_created", "Sessions begun", Family::default()),
            sessions_ended: add(all, "sessions_ended", "Sessions ended before their time", Family::default()),
            login_attempts: add(all, "login_attempts", "Attempts to log in", Family::default()),
            store_seconds: add(
                all,
                "store_seconds",
                "Time that the session store took",
                Family::new_with_constructor(histogram as fn() -> Histogram),
            ),
            store_errors: add(all, "store_errors", "What the session store could not do", Family::default()),
            cache_lookups: add(
                all,
                "cache_lookups",
                "Look-ups of sessions by where the answer came from",
                Family::default(),
            ),
            upstream_errors: add(
                all,
                "upstream_errors",
                "Requests that an upstream failed",
                Family::default(),
            ),
            upstream_servers: add(
                all,
                "upstream_server_in",
                "1 where a server gets requests, 0 where it is left out",
                Family::default(),
            ),
            policy_findings: add(all, "policy_findings", "What a policy changed", Family::default()),
            reloads: add(all, "reloads", "Times that the configuration was read again", Family::default()),
            registry,
        }
    }

    /// One more request was answered. `route` is its path in the configuration, or the proxy's own.
    pub fn request(&self, route: &Arc<str>, method: &Method, status: u16) {
        let labels = RequestLabels { route: Arc::clone(route), method: method_label(method), status };
        self.requests.get_or_create(&labels).inc();
    }

    /// A request was answered to its end.
    pub fn request_took(&self, time: Duration) {
        self.request_seconds.observe(time.as_secs_f64());
    }

    /// A connection is open until the result is dropped.
    pub fn connection(&self, listener: &Arc<str>) -> Counted {
        let labels = ListenerLabels { listener: Arc::clone(listener) };
        let gauge = self.connections.get_or_create_owned(&labels);
        gauge.inc();
        Counted(gauge)
    }

    /// Something rides on a session until the result is dropped.
    pub fn ride(&self) -> Counted {
        self.rides.inc();
        Counted(self.rides.clone())
    }

    /// The certificates by their names, and when they end; there are no others.
    pub fn certificates_end(&self, ends: impl IntoIterator<Item = (String, Timestamp)>) {
        self.certificate_expiry.clear();
        for (name, at) in ends {
            self.certificate_expiry.get_or_create(&CertificateLabels { name }).set(at.seconds());
        }
    }

    /// One more request had cookies to this effect.
    pub fn cookie_verdict(&self, verdict: CookieVerdict) {
        self.cookie_verdicts.get_or_create(&[("verdict", verdict.as_str())]).inc();
    }

    /// A session began.
    pub fn session_created(&self, provider: &str) {
        self.sessions_created.get_or_create(&ProviderLabels { provider: provider.to_owned() }).inc();
    }

    /// A session was ended.
    pub fn session_ended(&self, reason: &'static str) {
        self.sessions_ended.get_or_create(&[("reason", reason)]).inc();
    }

    /// Somebody tried to log in.
    pub fn login_attempt(&self, result: LoginResult) {
        self.login_attempts.get_or_create(&[("result", result.as_str())]).inc();
    }

    /// The store took so long.
    pub fn store_took(&self, operation: &'static str, time: Duration) {
        self.store_seconds.get_or_create(&[("operation", operation)]).observe(time.as_secs_f64());
    }

    /// The store could not do something.
    pub fn store_error(&self, kind: &'static str) {
        self.store_errors.get_or_create(&[("kind", kind)]).inc();
    }

    /// A session was looked up.
    pub fn cache_lookup(&self, result: CacheResult) {
        self.cache_lookups.get_or_create(&[("result", result.as_str())]).inc();
    }

    /// An upstream answered.
    pub fn upstream_took(&self, upstream: &Arc<str>, time: Duration) {
        let labels = UpstreamLabels { upstream: Arc::clone(upstream) };
        self.upstream_seconds.get_or_create(&labels).observe(time.as_secs_f64());
    }

    /// An upstream failed a request.
    pub fn upstream_error(&self, upstream: &Arc<str>, kind: &'static str) {
        self.upstream_errors
            .get_or_create(&UpstreamErrorLabels { upstream: Arc::clone(upstream), kind })
            .inc();
    }

    /// Whether a server of an upstream gets requests.
    pub fn upstream_server(&self, upstream: &str, server: &str) -> ServerGauge {
        let labels = ServerLabels { upstream: upstream.to_owned(), server: server.to_owned() };
        ServerGauge(self.upstream_servers.get_or_create_owned(&labels))
    }

    /// A policy found something in what an application sent.
    pub fn policy_finding(&self, policy: &'static str, application: &Arc<str>) {
        let labels = FindingLabels { policy, application: Arc::clone(application) };
        self.policy_findings.get_or_create(&labels).inc();
    }

    /// No upstream has this server any more.
    pub fn forget_upstream_server(&self, upstream: &str, server: &str) {
        let labels = ServerLabels { upstream: upstream.to_owned(), server: server.to_owned() };
        self.upstream_servers.remove(&labels);
    }

    /// The configuration was read again.
    pub fn reload(&self, result: ReloadResult) {
        self.reloads.get_or_create(&[("result", result.as_str())]).inc();
    }

    /// The Prometheus text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a string takes all that is written");
        text
    }
}

/// Something that is counted while it is there.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Says whether a server gets requests.
#[derive(Debug)]
pub struct ServerGauge(Gauge);

impl ServerGauge {
    /// It does.
    pub fn is_in(&self) {
        self.0.set(1);
    }

    /// It does not.
    pub fn is_out(&self) {
        self.0.set(0);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_that_others_rely_on() {
        let metrics = Metrics::new();
        metrics.cookie_verdict(CookieVerdict::Forged);
        metrics.store_took("load", Duration::from_micros(300));
        metrics.request(&"/".into(), &Method::from_bytes(b"BREW").unwrap(), 404);
        let text = metrics.text();
        assert!(text.contains("foregate_cookie_verdicts_total{verdict=\"forged\"} 1"), "{text}");
        assert!(text.contains("foregate_store_seconds_bucket{le=\"0.0005\",operation=\"load\"} 1"), "{text}");
        assert!(
            text.contains("foregate_requests_total{route=\"/\",method=\"other\",status=\"404\"} 1"),
            "{text}"
        );
    }
}
