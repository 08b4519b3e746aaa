//! Tests from outside, in one binary: a module a theme.
#![cfg(test)]
