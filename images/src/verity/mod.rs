//! dm-verity: the hash tree over a root image, which the kernel checks each block against, and by which an update
//! finds the blocks that a host has already.
//!
//! The format is the one of the kernel's `Documentation/admin-guide/device-mapper/verity.rst` and of `veritysetup`:
//! version 1, SHA-256, blocks of 4096 bytes on both sides, a superblock in the first block of the hash device.

mod head;
mod root_hash;
mod superblock;
mod tree;

use std::fmt;
use std::io::{self, Write};

use uuid::Uuid;

pub use head::{GROUP_BLOCKS, GROUP_LEN, GroupIndex, GroupWriter, LeafBlock, TreeHead, head_len};
pub use root_hash::{RootHash, RootHashError};
pub use superblock::{Salt, Superblock, TableParameters};
pub use tree::{VerityTree, tree_len};

use crate::content::ReadAt;

/// Size of data and hash blocks, in bytes.
pub const BLOCK_SIZE: u64 = 4096;

/// Number of a block of data, from the start of the data device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockIndex(pub u64);

impl fmt::Display for BlockIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wrong with data, a hash tree or a request for one.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// Data that can't have a tree.
    #[error("data of {0} bytes is no whole number of 4096-byte blocks, or none")]
    BadDataLength(u64),
    /// A salt that the superblock can't hold.
    #[error("a salt of {0} bytes is longer than 256")]
    SaltTooLong(usize),
    /// The hash device doesn't start with a superblock.
    #[error("no verity superblock")]
    NotVerity,
    /// The superblock names parameters other than ours.
    #[error("the verity superblock has {0}, which is not supported")]
    Unsupported(&'static str),
    /// The hash device is shorter than its superblock says.
    #[error("the hash tree should have {expected} bytes and has {len}")]
    Truncated {
        /// Length by the superblock, in bytes.
        expected: u64,
        /// Length there is, in bytes.
        len: u64,
    },
    /// A block of the hash tree differs from what the root hash says.
    #[error("block {block} of the hash device doesn't match the root hash")]
    BadHashBlock {
        /// The block, from the start of the hash device.
        block: u64,
    },
    /// A block of data differs from what the hash tree says.
    #[error("data block {block} doesn't match the hash tree")]
    BadDataBlock {
        /// The first such block.
        block: BlockIndex,
    },
    /// The data of a group differs from what the head of the hash tree says.
    #[error("the group of blocks from data block {first} on doesn't match the hash tree")]
    BadGroup {
        /// The first block of the group.
        first: BlockIndex,
    },
    /// Less data than the tree is for.
    #[error("the hash tree is for {expected} bytes of data, and there are {len}")]
    DataTooShort {
        /// Length that the tree is for, in bytes.
        expected: u64,
        /// Length there is, in bytes.
        len: u64,
    },
    /// Data or hash tree can't be read.
    #[error("byte {offset} of the {device} can't be read")]
    Read {
        /// `data` or `hash tree`.
        device: &'static str,
        /// Where reading began, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The hash tree can't be written to where it goes.
    #[error("the hash tree can't be written")]
    Write(#[source] io::Error),
}

/// Writes superblock and hash tree for the first `data_len` bytes of `data` to `out`, as
/// `veritysetup format --salt --uuid` does, and returns the root hash. Hashes on all of rayon's threads; memory is
/// 1/127 of the data and 1 MiB per thread.
pub fn format(
    data: &dyn ReadAt,
    data_len: u64,
    salt: &Salt,
    uuid: Uuid,
    out: &mut impl Write,
) -> Result<RootHash, VerityError> {
    let tree = VerityTree::build(data, data_len, salt, uuid)?;
    tree.write_to(out)?;
    Ok(tree.root_hash())
}

/// Checks the hash tree in the first `hash_len` bytes of `hash` against `root_hash`, and the first `data_len` bytes of
/// `data` against the tree. Fails with the first bad block. Data beyond what the tree covers makes no difference.
pub fn verify(
    data: &dyn ReadAt,
    data_len: u64,
    hash: &dyn ReadAt,
    hash_len: u64,
    root_hash: &RootHash,
) -> Result<VerityTree, VerityError> {
    let tree = VerityTree::read(hash, hash_len, root_hash)?;
    if data_len < tree.data_len() {
        return Err(VerityError::DataTooShort { expected: tree.data_len(), len: data_len });
    }
    tree.verify_data(data)?;
    Ok(tree)
}
