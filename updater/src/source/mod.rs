//! Where the bytes of a release come from: parts of a repository, on servers or in a folder, by their digest.
//!
//! Servers, and whoever is on the way to them, may be hostile or broken: they cut answers off, stall, send other bytes, another
//! range, the whole file, an error, or nothing. What a host installs doesn't hang on it: a part is used only as far as a digest
//! that was signed says so, and each block is checked once more by whoever takes it. This module sees to it that what can
//! pass is waited for, what one server can't do another is asked for, what came already isn't asked for again, and that all
//! of it ends. No more is read than the signed length of a part.
//!
//! A source is a [`ReleaseSource`](crate::release::ReleaseSource): [`BlocksSource`] fetches the blocks that a host lacks, and
//! [`PatchedSource`] makes them of a patch and what runs.

mod ahead;
mod blocks;
mod parts;
mod patched;
mod patience;

pub use ahead::Places;
pub use blocks::{BlocksSource, SourceError};
pub use parts::{PartError, Parts, Place, Traffic};
pub use patched::{OldKernel, PatchedSource};
pub use patience::Patience;
