//! Tests from outside, in one binary: a module a theme.
#![cfg(test)]

mod accounts;
mod admin;
mod architecture;
mod browser;
mod cache;
mod commands;
mod documents;
mod failover;
mod fleet;
mod foreign;
mod help;
mod identity;
mod limits;
mod live;
mod login;
mod outage;
mod pages;
mod paths;
mod redis_conf;
mod rotation;
mod secure_upstreams;
mod session;
mod store;
mod support;
mod systemd;
mod traffic;
mod upstreams;
mod volume;
mod walk;
mod websockets;
