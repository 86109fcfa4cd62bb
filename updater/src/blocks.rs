//! Which 4 KiB blocks of a new version are on the host already: found by the hashes in the trees, without reading data.

use slipway_images::verity::{BlockIndex, VerityError, VerityTree};

use crate::disk::Disk;
use crate::disk::device::{BlockDevice, Window};
use crate::disk::survey::SurveyError;

/// The leaves of a hash tree, sorted: four bytes per block beyond the tree.
#[derive(Debug)]
pub struct LeafIndex {
    tree: VerityTree,
    order: Vec<u32>,
}

impl LeafIndex {
    /// The index of the slot that runs; `None` if its tree can't be read any more, and then all blocks are fetched.
    pub fn of_running<D: BlockDevice>(disk: &Disk<D>) -> Result<Option<Self>, SurveyError> {
        let survey = disk.survey()?;
        let verity = &survey.running().verity;
        let window = Window::new(disk.device(), verity.start, verity.size);
        let tree: Result<_, VerityError> = VerityTree::read(&window, verity.size, &disk.booted());
        Ok(tree.ok().map(Self::new))
    }

    /// The index of this tree.
    pub fn new(tree: VerityTree) -> Self {
        let leaves = tree.leaves();
        let mut order: Vec<u32> = (0..u32::try_from(leaves.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by_key(|index| (leaves[*index as usize], *index));
        Self { tree, order }
    }

    /// The first block with this hash.
    pub fn find(&self, leaf: &[u8; 32]) -> Option<BlockIndex> {
        let leaves = self.tree.leaves();
        let at = self.order.partition_point(|index| leaves[*index as usize] < *leaf);
        let index = *self.order.get(at)?;
        (leaves[index as usize] == *leaf).then_some(BlockIndex(u64::from(index)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use slipway_images::verity::Salt;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_block_is_found_by_its_hash_and_the_first_of_equal_ones_is_taken() {
        let blocks = [3_u8, 1, 3, 2].map(|byte| [byte; 4096]).concat();
        let salt = Salt::new([5; 4]).unwrap();
        let index = LeafIndex::new(VerityTree::build(&blocks, blocks.len() as u64, &salt, Uuid::nil()).unwrap());
        let other = [2_u8, 3, 9].map(|byte| [byte; 4096]).concat();
        let other = VerityTree::build(&other, other.len() as u64, &salt, Uuid::nil()).unwrap();
        let found: Vec<_> = other.leaves().iter().map(|leaf| index.find(leaf)).collect();
        assert_eq!(found, [Some(BlockIndex(3)), Some(BlockIndex(0)), None]);
    }
}
