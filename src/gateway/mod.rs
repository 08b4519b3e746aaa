//! The walk of a request. Rank 9.

mod access;
mod context;
mod cross_site;
mod crossing;
mod entrance;
mod explain;
mod panic;
mod rejection;
mod rounds;
mod routes;
mod set_cookies;
mod told;
mod trace;
mod unsent;
mod walk;

pub use entrance::{CurrentGateway, Entrance, Purpose};
pub use routes::Routes;
pub use set_cookies::CookieGuard;
pub use told::{AnswerTold, Changes, CookieTold, Explanation, RouteTold, UpstreamTold, VouchedTold};
pub use trace::Traced;
pub use walk::{Gateway, Parts};
