//! End-to-end tests on the built programs: `make build` comes first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod cache;
mod copy_on_another_bus;
mod damaged_hash_tree;
mod flipped_byte;
mod killed;
mod larger_disk;
mod machines;
mod mirror;
mod offline;
mod oracles;
mod recipes;
mod refused;
mod reproducible;
mod room;
mod s27_machine_configuration;
mod together;
mod unchanged;
