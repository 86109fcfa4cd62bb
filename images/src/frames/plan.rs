//! What a host has already, and what it has to fetch.

use std::collections::HashMap;

use super::{FrameIndex, Index};
use crate::verity::{BlockIndex, VerityTree};

/// Frames that lie side by side, fetched by one range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRun {
    /// The first frame.
    pub first: FrameIndex,
    /// How many frames.
    pub count: u64,
    /// Where they start in the file of frames, in bytes.
    pub offset: u64,
    /// Bytes they have there together.
    pub len: u64,
}

/// Where each block of a new root comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPlan {
    sources: Vec<Option<BlockIndex>>,
}

impl BlockPlan {
    /// Compares two hash trees. Nothing is shared by trees with different salts. Takes about 50 bytes per old block.
    pub fn new(new: &VerityTree, old: &VerityTree) -> Self {
        let mut places = HashMap::new();
        if new.superblock().salt == old.superblock().salt {
            places.reserve(old.leaves().len());
            for (place, hash) in (0..).zip(old.leaves()) {
                places.entry(*hash).or_insert(BlockIndex(place));
            }
        }
        Self { sources: new.leaves().iter().map(|hash| places.get(hash).copied()).collect() }
    }

    /// For a host that has nothing: every block is missing.
    pub fn from_nothing(new: &VerityTree) -> Self {
        Self { sources: vec![None; new.leaves().len()] }
    }

    /// For each block of the new root in order, the block of the old one that is the same; `None` when it is missing.
    pub fn sources(&self) -> &[Option<BlockIndex>] {
        &self.sources
    }

    /// How many blocks are missing.
    pub fn missing(&self) -> usize {
        self.sources.iter().filter(|source| source.is_none()).count()
    }

    /// The frames that hold missing blocks, in order. Frames with up to `gap` bytes between them are fetched at once: a
    /// request costs more than a few bytes too many.
    pub fn runs(&self, index: &Index, gap: u64) -> Vec<FrameRun> {
        let mut runs: Vec<FrameRun> = Vec::new();
        for (number, frame) in (0..).zip(index.frames()) {
            let blocks = index.blocks_of(FrameIndex(number));
            let range = usize::try_from(blocks.start).ok().zip(usize::try_from(blocks.end).ok());
            let sources = range.and_then(|(start, end)| self.sources.get(start..end)).unwrap_or_default();
            if sources.iter().all(Option::is_some) {
                continue;
            }
            let end = frame.offset + u64::from(frame.len);
            match runs.last_mut() {
                Some(run) if frame.offset - (run.offset + run.len) <= gap => {
                    run.count = number + 1 - run.first.0;
                    run.len = end - run.offset;
                }
                _ => runs.push(FrameRun {
                    first: FrameIndex(number),
                    count: 1,
                    offset: frame.offset,
                    len: u64::from(frame.len),
                }),
            }
        }
        runs
    }
}
