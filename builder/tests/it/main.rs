//! Integration tests of the builder.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli;
mod fetch;
mod inspect;
mod keys;
mod licences;
mod lock;
mod manual;
mod recipe;
mod recipe_errors;
mod release;
mod repository;
mod sbom;
mod server;
mod solve;
