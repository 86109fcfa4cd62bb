//! Integration tests of keys and signatures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "openpgp")]
mod gpg;
mod json;
mod keys;
#[cfg(feature = "openpgp")]
mod openpgp;
mod sign;
mod tuf;
