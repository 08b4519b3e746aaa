//! Tests from outside, in one binary: a module a theme.
#![cfg(test)]

mod admin;
mod architecture;
mod commands;
mod documents;
mod identity;
mod limits;
mod login;
mod paths;
mod store;
mod support;
mod walk;
