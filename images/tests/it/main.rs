//! What the formats of this crate are held to, with independent programs as judges.

mod disk;
mod erofs;
mod verity;
