//! What the end-to-end scenarios share: the built programs, the image that most of them look at, places to work in.
//!
//! All run on the programs that `make build` made, as a person would run them. The image is that of
//! `recipes/minimal.toml`, built once a run into `out/e2e/shared`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, reason = "what a run did differently is told in the test's output")]

pub mod archive;
pub mod http;
pub mod image;
pub mod program;
pub mod server;
pub mod updates;
pub mod user;
pub mod workplace;
