//! Machines that really start: one-sector guests through `SeaBIOS`, and real firmware. One machine at a time.
#![allow(clippy::unwrap_used, missing_docs)]

mod boot;
mod failures;
mod firmware;
mod guest_channel;
mod power;
mod sector;
