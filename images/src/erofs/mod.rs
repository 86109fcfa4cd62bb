//! EROFS, the read-only file system of the root: written from a [`RootTree`](crate::tree::RootTree) and read back.
//!
//! The format is the one of the Linux kernel's `Documentation/filesystems/erofs.rst` and `fs/erofs/erofs_fs.h`.
//! What is written needs no feature that a kernel could lack: 4 KiB blocks, no compression, no chunks, no incompatible
//! feature flag. Where the bytes go is decided by [`Layout`]; `docs/adr/0002-erofs-layout.md` gives the reasons.

mod crc32c;
mod dirents;
mod format;
mod pack;
mod plan;
mod read;
mod superblock;
mod walk;
mod write;
mod xattrs;

use std::io;

use uuid::Uuid;

use crate::tree::{TreeError, TreePath};

pub use format::{FileType, Nid};
pub use read::{DirEntry, Extent, Inode, ReadError, Reader};
pub use superblock::Superblock;
pub use walk::Walk;
pub use write::{measure, write};

/// Size of a block, in bytes: the unit of file data, of a folder's pieces and of dm-verity.
pub const BLOCK_SIZE: u64 = 4096;

/// What an image carries besides its tree.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Time of every inode, in seconds since 1970 UTC.
    pub epoch: u64,
    /// Identifier of the file system, shown by `blkid`.
    pub uuid: Uuid,
    /// Label, at most 16 bytes.
    pub volume_name: String,
    /// Where things go.
    pub layout: Layout,
}

/// Where the parts of an image go. One image id keeps one layout: a change of it makes every update a full download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Largest file, in bytes, that is kept beside its inode; larger ones get blocks of their own.
    pub inline_limit: u64,
    /// The zone of inlined files starts at a multiple of this, in bytes; a multiple of 4096.
    pub inline_align: u64,
    /// The zone of file data starts at a multiple of this, in bytes; a multiple of 4096.
    pub data_align: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Self { inline_limit: 2048, inline_align: 64 << 10, data_align: 1 << 20 }
    }
}

/// What an image came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErofsSummary {
    /// Length of the image, in bytes; a multiple of 4096.
    pub len: u64,
    /// How many inodes there are; the names of a hard-linked file count once.
    pub inodes: u64,
    /// Where the zone of inlined files starts, in bytes.
    pub inline_start: u64,
    /// Where the zone of file data starts, in bytes. All before it is inodes, names and inlined files.
    pub data_start: u64,
    /// Bytes before `data_start` that are filled with neither padding nor alignment.
    pub metadata_len: u64,
    /// Bytes in the data zone that belong to no file: the rest of each last block.
    pub slack: u64,
}

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError {
    /// The tree contradicts itself.
    #[error("the tree can't be written")]
    Tree(#[from] TreeError),
    /// A file name is longer than EROFS allows.
    #[error("the name of `{0}` is longer than 255 bytes")]
    NameTooLong(TreePath),
    /// No program could open a path that long.
    #[error("the path `{0}` is longer than 4095 bytes")]
    PathTooLong(TreePath),
    /// A symbolic link without text, or with one that Linux can't hold.
    #[error("the symbolic link `{0}` has a text of no bytes, more than 4095, or with a NUL in it")]
    BadSymlink(TreePath),
    /// A mode with more than permission bits.
    #[error("the mode {mode:#o} of `{path}` is more than permission bits")]
    BadMode {
        /// The entry.
        path: TreePath,
        /// Its mode.
        mode: u16,
    },
    /// An attribute that EROFS can't hold.
    #[error("the extended attribute `{name}` of `{path}` {reason}")]
    BadXattr {
        /// The entry.
        path: TreePath,
        /// Full name of the attribute.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A device number beyond Linux's 12 bits of major and 20 bits of minor.
    #[error("the device number {major}:{minor} of `{path}` is out of range")]
    BadDevice {
        /// The entry.
        path: TreePath,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// The label doesn't fit.
    #[error("the volume name `{0}` is longer than 16 bytes")]
    VolumeNameTooLong(String),
    /// An alignment that is no multiple of the block size.
    #[error("the alignment {0} is no multiple of 4096, or zero")]
    BadAlignment(u64),
    /// More than 2^32 blocks.
    #[error("the image would have {0} bytes, more than EROFS can address")]
    TooLarge(u64),
    /// A file's bytes can't be had.
    #[error("the content of `{path}` can't be read")]
    Content {
        /// The file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// The image can't be written to where it goes.
    #[error("the image can't be written at byte {offset}")]
    Write {
        /// How much had been written.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}
