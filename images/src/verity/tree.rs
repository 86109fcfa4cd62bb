//! The hash tree itself: built from data, or read from an untrusted device and checked against a root hash.
//!
//! A [`VerityTree`] that exists is whole: each of its blocks matches the one above, up to the root hash.

use std::io::Write;
use std::slice::ChunksExact;

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::superblock::Superblock;
use super::{BLOCK_SIZE, BlockIndex, RootHash, Salt, VerityError};
use crate::content::ReadAt;

const BLOCK_LEN: usize = 4096;
const HASH_LEN: usize = 32;
const HASHES_PER_BLOCK: u64 = 128;
/// Data that one thread reads at a time: 1 MiB.
const BATCH_BLOCKS: usize = 256;

/// A superblock and hash tree in memory: 1/127 of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerityTree {
    superblock: Superblock,
    root_hash: RootHash,
    /// All levels in the order of the disk, the one of a single block first, the leaves last; each padded to whole
    /// blocks. Empty for a single block of data, whose hash is the root hash.
    hashes: Vec<u8>,
    /// Where the leaves start in `hashes`.
    leaf_start: usize,
}

/// Length of superblock and hash tree for data of `data_len` bytes, in bytes.
pub fn tree_len(data_len: u64) -> u64 {
    let blocks: u64 = level_blocks(data_len.div_ceil(BLOCK_SIZE)).iter().sum();
    BLOCK_SIZE + blocks * BLOCK_SIZE
}

/// Hash blocks per level, the leaves first.
fn level_blocks(data_blocks: u64) -> Vec<u64> {
    let mut levels = Vec::new();
    let mut below = data_blocks;
    while below > 1 {
        below = below.div_ceil(HASHES_PER_BLOCK);
        levels.push(below);
    }
    levels
}

impl VerityTree {
    /// Hashes the first `data_len` bytes of `data`, which are whole blocks and at least one.
    pub fn build(data: &dyn ReadAt, data_len: u64, salt: &Salt, uuid: Uuid) -> Result<Self, VerityError> {
        let data_blocks = data_len / BLOCK_SIZE;
        let leaf_count = usize::try_from(data_blocks).map_err(|_| VerityError::BadDataLength(data_len))?;
        if data_blocks == 0 || !data_len.is_multiple_of(BLOCK_SIZE) {
            return Err(VerityError::BadDataLength(data_len));
        }
        let hasher = Hasher::new(salt);
        let mut level = vec![0; leaf_count * HASH_LEN];
        level.par_chunks_mut(BATCH_BLOCKS * HASH_LEN).enumerate().try_for_each_init(
            || vec![0; BATCH_BLOCKS * BLOCK_LEN],
            |buffer, (batch, hashes)| {
                let blocks = read_batch(data, batch, hashes.len() / HASH_LEN, buffer)?;
                for (hash, block) in hashes.chunks_exact_mut(HASH_LEN).zip(blocks) {
                    hash.copy_from_slice(&hasher.hash(block));
                }
                Ok(())
            },
        )?;
        let mut levels = Vec::new();
        while level.len() > HASH_LEN {
            level.resize(level.len().next_multiple_of(BLOCK_LEN), 0);
            let above = level.chunks_exact(BLOCK_LEN).flat_map(|block| hasher.hash(block)).collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        let mut top = [0; HASH_LEN];
        top.copy_from_slice(&level);
        let leaf_start = levels.iter().skip(1).map(Vec::len).sum();
        levels.reverse();
        Ok(Self {
            superblock: Superblock { uuid, data_blocks, salt: salt.clone() },
            root_hash: RootHash::from_bytes(top),
            hashes: levels.concat(),
            leaf_start,
        })
    }

    /// Reads the tree in the first `len` bytes of `hash` and checks all of it against `root_hash`.
    pub fn read(hash: &dyn ReadAt, len: u64, root_hash: &RootHash) -> Result<Self, VerityError> {
        Self::read_to(hash, len, root_hash, 0)
    }

    /// Reads the levels down to number `lowest`, of which 0 is the leaves.
    pub(super) fn read_to(
        hash: &dyn ReadAt,
        len: u64,
        root_hash: &RootHash,
        lowest: usize,
    ) -> Result<Self, VerityError> {
        let read = |buf: &mut [u8], offset| {
            hash.read_exact_at(buf, offset).map_err(|source| VerityError::Read { device: "hash tree", offset, source })
        };
        if len < BLOCK_SIZE {
            return Err(VerityError::NotVerity);
        }
        let mut first = [0; BLOCK_LEN];
        read(&mut first, 0)?;
        let superblock = Superblock::parse(&first)?;
        let data_len = superblock.data_blocks.checked_mul(BLOCK_SIZE).filter(|len| *len > 0);
        let data_len = data_len.ok_or(VerityError::Unsupported("a number of blocks that no device has"))?;
        let counts = level_blocks(data_len / BLOCK_SIZE);
        let expected = BLOCK_SIZE + counts.iter().skip(lowest).sum::<u64>() * BLOCK_SIZE;
        let truncated = || VerityError::Truncated { expected, len };
        if expected > len {
            return Err(truncated());
        }
        let mut tree = Self { superblock, root_hash: *root_hash, hashes: Vec::new(), leaf_start: 0 };
        let mut above_start = 0;
        for (height, count) in counts.iter().enumerate().skip(lowest).rev() {
            // Level by level, so that no more is allocated than the level above, already checked, has room for.
            tree.leaf_start = tree.hashes.len();
            let level_len = usize::try_from(count * BLOCK_SIZE).map_err(|_| truncated())?;
            tree.hashes.resize(tree.leaf_start + level_len, 0);
            read(&mut tree.hashes[tree.leaf_start..], BLOCK_SIZE + tree.leaf_start as u64)?;
            let held = if height == 0 { tree.superblock.data_blocks } else { counts[height - 1] };
            tree.check_last_level(above_start, held)?;
            above_start = tree.leaf_start;
        }
        Ok(tree)
    }

    /// Checks the level at `leaf_start`, which holds `held` hashes, against the one at `above_start`.
    fn check_last_level(&self, above_start: usize, held: u64) -> Result<(), VerityError> {
        let salted = Hasher::new(&self.superblock.salt);
        let (above, level) = self.hashes.split_at(self.leaf_start);
        let above = if above.is_empty() { self.root_hash.as_bytes() } else { &above[above_start..] };
        let first = 1 + self.leaf_start / BLOCK_LEN;
        let mut blocks = level.chunks_exact(BLOCK_LEN).zip(above.chunks_exact(HASH_LEN));
        if let Some(bad) = blocks.position(|(block, hash)| salted.hash(block) != hash) {
            return Err(VerityError::BadHashBlock { block: (first + bad) as u64 });
        }
        // A hash beyond the last would mean that the superblock names fewer blocks than were hashed.
        let used = level.chunks_exact(HASH_LEN).rposition(|hash| hash != [0; HASH_LEN]).map_or(0, |last| last + 1);
        if used as u64 > held {
            return Err(VerityError::BadHashBlock { block: (first + level.len() / BLOCK_LEN - 1) as u64 });
        }
        Ok(())
    }

    /// The hash that authenticates data and tree.
    pub fn root_hash(&self) -> RootHash {
        self.root_hash
    }

    /// Identifier, size and salt.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Length of the data that the tree is for, in bytes.
    pub fn data_len(&self) -> u64 {
        self.superblock.data_blocks * BLOCK_SIZE
    }

    /// The lowest level that was read, its padding included; the root hash when there is no level.
    pub(super) fn lowest_level(&self) -> &[[u8; 32]] {
        if self.hashes.is_empty() {
            return std::slice::from_ref(self.root_hash.as_bytes());
        }
        self.hashes[self.leaf_start..].as_chunks().0
    }

    /// Hashes of all blocks of data, in order.
    pub fn leaves(&self) -> &[[u8; 32]] {
        let leaves = self.lowest_level();
        // The rest of the last block is padding.
        usize::try_from(self.superblock.data_blocks).ok().and_then(|count| leaves.get(..count)).unwrap_or(leaves)
    }

    /// The hash of a block of data; `None` beyond the end.
    pub fn leaf(&self, block: BlockIndex) -> Option<&[u8; 32]> {
        self.leaves().get(usize::try_from(block.0).ok()?)
    }

    /// Whether these 4096 bytes are block `block` of the data.
    pub fn matches(&self, block: BlockIndex, bytes: &[u8]) -> bool {
        let is_block = bytes.len() == BLOCK_LEN;
        is_block && self.leaf(block) == Some(&Hasher::new(&self.superblock.salt).hash(bytes))
    }

    /// Checks the data against the tree, on all of rayon's threads. Fails with the first bad block.
    pub fn verify_data(&self, data: &dyn ReadAt) -> Result<(), VerityError> {
        let hasher = Hasher::new(&self.superblock.salt);
        let first_failure = self.leaves().par_chunks(BATCH_BLOCKS).enumerate().find_map_first(|(batch, hashes)| {
            let mut buffer = vec![0; BATCH_BLOCKS * BLOCK_LEN];
            let blocks = match read_batch(data, batch, hashes.len(), &mut buffer) {
                Ok(blocks) => blocks,
                Err(error) => return Some(error),
            };
            let bad = hashes.iter().zip(blocks).position(|(hash, block)| hasher.hash(block) != *hash)?;
            Some(VerityError::BadDataBlock { block: BlockIndex((batch * BATCH_BLOCKS + bad) as u64) })
        });
        first_failure.map_or(Ok(()), Err)
    }

    /// Writes superblock and tree, [`tree_len`] bytes.
    pub fn write_to(&self, out: &mut impl Write) -> Result<(), VerityError> {
        out.write_all(&self.superblock.encode()).map_err(VerityError::Write)?;
        out.write_all(&self.hashes).map_err(VerityError::Write)?;
        out.flush().map_err(VerityError::Write)
    }
}

/// Reads `count` blocks of data from batch number `batch` on.
fn read_batch<'a>(
    data: &dyn ReadAt,
    batch: usize,
    count: usize,
    buffer: &'a mut [u8],
) -> Result<ChunksExact<'a, u8>, VerityError> {
    let offset = (batch * BATCH_BLOCKS) as u64 * BLOCK_SIZE;
    let bytes = &mut buffer[..count * BLOCK_LEN];
    data.read_exact_at(bytes, offset).map_err(|source| VerityError::Read { device: "data", offset, source })?;
    Ok(bytes.chunks_exact(BLOCK_LEN))
}

/// SHA-256 with the salt already in.
#[derive(Clone)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn new(salt: &Salt) -> Self {
        Self(Sha256::new_with_prefix(salt.as_bytes()))
    }

    pub(super) fn hash(&self, block: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(block).finalize().into()
    }
}
