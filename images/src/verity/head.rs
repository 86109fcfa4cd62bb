//! The head of a hash tree: the superblock and all levels but the leaves, 1/16,000 of the data.
//!
//! It is what a host needs to check an image that it makes itself. The host hashes the blocks of a [group](GroupIndex)
//! and so has that group's leaves; their hash is in the head, and the head hangs on the signed root hash. Leaves
//! needn't travel then: of a kernel update they would be a fifth of all bytes, and no compression makes them smaller.
//!
//! A head is read from an untrusted source. What is expected, and what stops it: the same as for a whole tree (see
//! `superblock.rs` and `tree.rs`, whose code reads it).

use std::io::{self, Write};

use super::tree::{Hasher, VerityTree};
use super::{BLOCK_SIZE, BlockIndex, RootHash, Salt, Superblock, VerityError};
use crate::content::ReadAt;

/// Blocks of data whose hashes fill one block of the hash tree.
pub const GROUP_BLOCKS: u64 = 128;
/// Bytes of data of a group: 512 KiB.
pub const GROUP_LEN: u64 = GROUP_BLOCKS * BLOCK_SIZE;
const BLOCK_LEN: usize = 4096;
const HASH_LEN: usize = 32;

/// Number of a group of [`GROUP_BLOCKS`] blocks of data, from the start of the data. The last group may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub u64);

impl GroupIndex {
    /// The group that this block is in.
    pub const fn of(block: BlockIndex) -> Self {
        Self(block.0 / GROUP_BLOCKS)
    }

    /// Where the group starts in the data, in bytes.
    pub const fn offset(self) -> u64 {
        self.0 * GROUP_LEN
    }
}

/// A superblock and the levels above the leaves, all of it checked against the root hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// A tree whose lowest level is the one above the leaves.
    levels: VerityTree,
}

/// Length of the head for data of `data_len` bytes, in bytes. A hash device begins with these bytes.
pub fn head_len(data_len: u64) -> u64 {
    super::tree_len(data_len) - leaf_blocks(data_len / BLOCK_SIZE) * BLOCK_SIZE
}

/// Blocks that the leaves fill; none when the only leaf is the root hash.
fn leaf_blocks(data_blocks: u64) -> u64 {
    if data_blocks > 1 { data_blocks.div_ceil(GROUP_BLOCKS) } else { 0 }
}

impl TreeHead {
    /// Reads the head that the first `len` bytes of `hash` begin with, which may be a whole hash device.
    pub fn read(hash: &dyn ReadAt, len: u64, root_hash: &RootHash) -> Result<Self, VerityError> {
        Ok(Self { levels: VerityTree::read_to(hash, len, root_hash, 1)? })
    }

    /// Writes the head, [`head_len`] bytes: what a hash device begins with.
    pub fn write_to(&self, out: &mut impl Write) -> Result<(), VerityError> {
        self.levels.write_to(out)
    }

    /// The hash that authenticates data and tree.
    pub fn root_hash(&self) -> RootHash {
        self.levels.root_hash()
    }

    /// Identifier, size and salt.
    pub fn superblock(&self) -> &Superblock {
        self.levels.superblock()
    }

    /// Length of the data that the tree is for, in bytes.
    pub fn data_len(&self) -> u64 {
        self.levels.data_len()
    }

    /// How many groups the data has.
    pub fn groups(&self) -> u64 {
        self.superblock().data_blocks.div_ceil(GROUP_BLOCKS)
    }

    /// Bytes of data in a group; none beyond the end.
    pub fn group_len(&self, group: GroupIndex) -> u64 {
        group.0.checked_mul(GROUP_LEN).map_or(0, |start| self.data_len().saturating_sub(start).min(GROUP_LEN))
    }

    /// Where the leaves of a group are on the hash device, in bytes, and [`LeafBlock::as_bytes`] fills it. `None` for
    /// data of a single block, which has no leaves of its own.
    pub fn leaf_offset(&self, group: GroupIndex) -> Option<u64> {
        (self.superblock().data_blocks > 1 && group.0 < self.groups())
            .then(|| head_len(self.data_len()) + group.0 * BLOCK_SIZE)
    }

    /// Checks the data of a group against the tree, and returns its leaves. Fails when a byte differs, or when there
    /// are more bytes or fewer than the group has.
    pub fn check(&self, group: GroupIndex, data: &[u8]) -> Result<LeafBlock, VerityError> {
        let bad = || VerityError::BadGroup { first: BlockIndex(group.0.saturating_mul(GROUP_BLOCKS)) };
        if data.is_empty() || data.len() as u64 != self.group_len(group) {
            return Err(bad());
        }
        let leaves = LeafBlock::of(self.salt(), data);
        if self.superblock().data_blocks == 1 {
            return if leaves.0[..HASH_LEN] == *self.root_hash().as_bytes() { Ok(leaves) } else { Err(bad()) };
        }
        if self.accepts(group, leaves.as_bytes()) { Ok(leaves) } else { Err(bad()) }
    }

    /// Whether these 4096 bytes are the leaves of a group: what tells, after a crash, how far a hash device was written.
    pub fn accepts(&self, group: GroupIndex, leaves: &[u8]) -> bool {
        let hash = usize::try_from(group.0).ok().and_then(|group| self.levels.lowest_level().get(group));
        let is_block = leaves.len() == BLOCK_LEN && self.superblock().data_blocks > 1;
        is_block && hash == Some(&Hasher::new(self.salt()).hash(leaves))
    }

    fn salt(&self) -> &Salt {
        &self.superblock().salt
    }
}

/// The leaves of one group, padded with zeros to a block of the hash device.
#[derive(Clone, PartialEq, Eq)]
pub struct LeafBlock(Vec<u8>);

impl LeafBlock {
    fn of(salt: &Salt, data: &[u8]) -> Self {
        let hasher = Hasher::new(salt);
        let mut leaves: Vec<u8> = data.chunks(BLOCK_LEN).flat_map(|block| hasher.hash(block)).collect();
        leaves.resize(BLOCK_LEN, 0);
        Self(leaves)
    }

    /// 4096 bytes, as they are on the hash device.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Takes the bytes of an image in order, from the start of some group on, and hands on each group that is what the tree
/// says. Nothing reaches `take` unchecked. Holds one group, 512 KiB.
pub struct GroupWriter<'a, F> {
    head: &'a TreeHead,
    group: GroupIndex,
    held: Vec<u8>,
    take: F,
}

impl<'a, F: FnMut(GroupIndex, &LeafBlock, &[u8]) -> io::Result<()>> GroupWriter<'a, F> {
    /// Expects the bytes of the image from `first` on. `take` gets each group with its leaves.
    pub fn new(head: &'a TreeHead, first: GroupIndex, take: F) -> Self {
        let capacity = usize::try_from(GROUP_LEN).unwrap_or_default();
        Self { head, group: first, held: Vec::with_capacity(capacity), take }
    }

    /// The group that is expected next: all before it were handed on.
    pub fn next_group(&self) -> GroupIndex {
        self.group
    }
}

impl<F: FnMut(GroupIndex, &LeafBlock, &[u8]) -> io::Result<()>> Write for GroupWriter<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.head.group_len(self.group)).unwrap_or(usize::MAX) - self.held.len();
        let taken = bytes.len().min(wanted);
        self.held.extend_from_slice(&bytes[..taken]);
        if taken == wanted && taken > 0 {
            let leaves = self
                .head
                .check(self.group, &self.held)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            (self.take)(self.group, &leaves, &self.held)?;
            self.held.clear();
            self.group.0 += 1;
        }
        Ok(taken)
    }

    /// Does nothing: a group is handed on when it is whole, and not before.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
