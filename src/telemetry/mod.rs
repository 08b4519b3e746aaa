//! What is written about what happens: logs, the access log, the audit log, metrics. Rank 3.

mod access;
mod audit;
mod findings;
mod json;
mod labels;
mod lines;
mod logs;
mod metrics;
mod traces;

pub use access::{Access, AccessLog};
pub use audit::{Audit, Event, Facts};
pub use findings::{Finding, FindingReport, Findings, Outcome, Policy};
pub use json::{plain, pretty};
pub use labels::{CacheResult, CookieVerdict, LoginResult, ReloadResult};
pub use lines::{Captured, Lines};
pub use logs::{Format, Logs};
pub use metrics::{Counted, Metrics, ServerGauge};
pub use traces::{TooManyTraced, TracedClient, Traces};
