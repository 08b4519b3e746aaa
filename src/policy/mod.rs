//! Decisions, pure: no await, no I/O. Rank 6.

mod access;
mod activity;
mod cookies;
mod cross_site;
mod expiry;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod own_cookies;
mod response;
mod return_to;
mod rounds;

pub use access::{Decision, Permit, Route, decide};
pub use activity::{counts_as_use, frames_count_as_use};
pub use cookies::{Change, CookiePolicy, DropReason, Treatment};
pub use cross_site::{CrossSite, Evidence, Suspicion, Verdict};
pub use headers::ResponseHeaders;
pub use own_cookies::OwnCookies;
pub use response::{ClearSiteData, StrictTransport, keep_private, vary_by_cookie};
pub use return_to::{ReturnTo, login_location};
pub use rounds::Rounds;
