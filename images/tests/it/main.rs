//! What the formats of this crate are held to, with independent programs as judges.

mod cpio;
mod disk;
mod erofs;
mod esp;
mod frames;
mod patch;
mod uki;
mod verity;
