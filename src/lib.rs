//! Foregate: a session-aware reverse proxy. `ARCHITECTURE.md` follows a request through the rooms below.

pub mod admin;
pub mod app;
pub mod auth;
pub mod base;
pub mod cli;
pub mod config;
pub mod development;
pub mod endpoints;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gateway;
pub mod http;
pub mod listener;
pub mod outgoing;
pub mod pages;
pub mod policy;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod upstream;
