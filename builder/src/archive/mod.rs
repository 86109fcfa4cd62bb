//! Reading archives that somebody else made: compression and tar, for packages, downloads and container layers.
//!
//! What is read here is untrusted: a digest says that it is the archive that was named, not that whoever made it means
//! well. Expected are decompression bombs (every reader is handed a limit and stops there; decoders have a memory
//! limit), headers that lie about lengths (nothing is allocated by a declared length; what is kept in memory is capped,
//! see [`tar`]), paths that leave the tree (`..`, absolute names, NUL), entries that two readers would understand
//! differently (PAX sizes that disagree with the header, sparse files: refused), and cut-off archives (an end that comes
//! too early is an error, and the decoder is read to its end so that its own checksums count).

pub mod compression;
pub mod spool;
pub mod tar;

use std::io;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or decompressing failed.
    #[error("can't read the archive")]
    Read(#[source] io::Error),
    /// A name has a shape that no honest archive needs.
    #[error("member `{path}`: {what}")]
    Member {
        /// The member, as far as it could be read.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More content than the limit.
    #[error("member `{path}` brings the archive over its limit of {limit} bytes")]
    TooLarge {
        /// The member that was too much.
        path: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// More members than the limit.
    #[error("more than {0} members")]
    TooMany(usize),
    /// Compression that is not supported.
    #[error("`{0}` has a compression that isn't supported: none, gz, xz and zst are")]
    Compression(String),
}
