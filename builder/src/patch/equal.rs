//! Blocks that both roots have, by their hashes.

use std::collections::HashMap;

use slipway_images::erofs::Extent;
use slipway_images::patch::Op;
use slipway_images::verity::{BLOCK_SIZE, VerityError, VerityTree};

use super::RootSource;

pub(super) struct EqualBlocks<'a> {
    old: Vec<[u8; 32]>,
    new: &'a VerityTree,
    /// The first place of each block of the old root.
    places: HashMap<[u8; 32], usize>,
}

impl<'a> EqualBlocks<'a> {
    pub fn of(old: &RootSource, new: &'a RootSource) -> Result<Self, VerityError> {
        let (ours, theirs) = (old.tree.superblock(), new.tree.superblock());
        // Hashes of another salt say nothing.
        let old = if ours.salt == theirs.salt {
            old.tree.leaves().to_vec()
        } else {
            VerityTree::build(&*old.image, old.len(), &theirs.salt, ours.uuid)?.leaves().to_vec()
        };
        let mut places = HashMap::with_capacity(old.len());
        for (place, hash) in old.iter().enumerate() {
            places.entry(*hash).or_insert(place);
        }
        Ok(Self { old, new: &new.tree, places })
    }

    /// The instruction that copies all of `region`, when all of it is somewhere in the old root: where `candidate` is, or where
    /// its first block is found.
    pub fn copy(&self, region: Extent, candidate: Option<Extent>) -> Option<Op> {
        let wanted = self.new.leaves().get(blocks(region.offset)?..blocks(region.offset + region.len)?)?;
        let is_at = |place: &usize| self.old.get(*place..*place + wanted.len()) == Some(wanted);
        let likely = candidate.and_then(|extent| blocks(extent.offset));
        let found = likely.filter(is_at).or_else(|| self.places.get(wanted.first()?).copied().filter(is_at))?;
        Some(Op::Copy { old: found as u64 * BLOCK_SIZE, len: region.len })
    }

    /// Copies each block that is anywhere in the old root, rather where it goes on from the one before; inserts all others.
    pub fn block_by_block(&self, region: Extent) -> Vec<Op> {
        let wanted = blocks(region.offset).zip(blocks(region.offset + region.len));
        let wanted = wanted.and_then(|(start, end)| self.new.leaves().get(start..end)).unwrap_or_default();
        let mut likely = None;
        let mut ops = Vec::with_capacity(wanted.len());
        for hash in wanted {
            let goes_on = likely.filter(|place: &usize| self.old.get(*place) == Some(hash));
            let found = goes_on.or_else(|| self.places.get(hash).copied());
            ops.push(match found {
                Some(place) => Op::Copy { old: place as u64 * BLOCK_SIZE, len: BLOCK_SIZE },
                None => Op::Insert { len: BLOCK_SIZE },
            });
            likely = found.map(|place| place + 1);
        }
        ops
    }
}

fn blocks(bytes: u64) -> Option<usize> {
    usize::try_from(bytes / BLOCK_SIZE).ok()
}
