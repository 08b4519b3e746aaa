//! Words that everybody may use. Rank 0: imports from no other room.

pub mod base64url;
pub mod client;
pub mod clock;
pub mod duration;
pub mod file_version;
pub mod handle;
pub mod identity;
pub mod lock;
pub mod pem;
pub mod priority;
pub mod random;
pub mod rate;
pub mod request_id;
pub mod sealed;
pub mod secret;
pub mod seldom;
pub mod signed;
pub mod size;
