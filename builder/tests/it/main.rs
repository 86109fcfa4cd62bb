//! Integration tests of the builder.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fetch;
mod lock;
mod repository;
mod server;
mod solve;
