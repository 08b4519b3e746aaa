//! The walk of a request. Rank 9.

mod context;
mod cross_site;
mod crossing;
mod entrance;
mod panic;
mod rejection;
mod routes;
mod set_cookies;
mod walk;

pub use entrance::{CurrentGateway, Entrance, Purpose};
pub use routes::Routes;
pub use set_cookies::CookieGuard;
pub use walk::{Gateway, Parts};
