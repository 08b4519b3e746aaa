//! What the themes share.

pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod upstream;
