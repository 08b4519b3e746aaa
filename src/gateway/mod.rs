//! The walk of a request. Rank 9.

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
mod unsent;
mod walk;

pub use entrance::{CurrentGateway, Entrance, Purpose};
pub use explain::{AnswerTold, Changes, CookieTold, Explanation, RouteTold, UpstreamTold, VouchedTold};
pub use routes::Routes;
pub use set_cookies::CookieGuard;
pub use walk::{Gateway, Parts};
