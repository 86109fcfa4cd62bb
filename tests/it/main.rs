//! End-to-end tests on the built programs: `make build` comes first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod cache;
mod console;
mod container_host;
mod interoperable;
mod killed;
mod machines;
mod mirror;
mod offline;
mod oracles;
mod recipes;
mod refused;
mod reproducible;
mod room;
mod scenarios;
mod together;
mod unchanged;
