//! End-to-end scenarios over all crates.
