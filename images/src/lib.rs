//! What a Slipway image *is*: the tree of a root, its EROFS image, its verity tree, the unified kernel
//! image that carries the root hash, the disk they are laid out on and the manifest that names them all.
//!
//! This crate holds formats, no policy: it reads and writes what it is handed, never opens a path or a
//! socket, and never prints.

pub mod boot;
pub mod calendar;
pub mod checks;
pub mod content;
pub mod cpio;
pub mod digest;
pub mod disk;
pub mod erofs;
pub mod esp;
pub mod frames;
pub mod host;
pub mod manifest;
pub mod migration;
mod milliseconds;
pub mod names;
pub mod patch;
pub mod release;
pub mod tree;
pub mod uki;
pub mod update;
pub mod verity;
pub mod version;
pub mod window;
