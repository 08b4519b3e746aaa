//! Tests from outside, in one binary: a module a theme.
#![cfg(test)]

mod accounts;
mod admin;
mod architecture;
mod balance;
mod browser;
mod cache;
mod commands;
mod documents;
mod failover;
mod fleet;
mod foreign;
mod help;
mod http2_upstreams;
mod identity;
mod limits;
mod live;
mod login;
mod outage;
mod pages;
mod paths;
mod redis_conf;
mod retries;
mod rotation;
mod secure_upstreams;
mod session;
mod store;
mod support;
mod systemd;
mod traffic;
mod upstream_health;
mod upstreams;
mod volume;
mod walk;
mod websockets;
