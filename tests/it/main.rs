//! End-to-end tests on the built programs: `make build` comes first.

#![allow(clippy::unwrap_used)]

mod reproducible;
