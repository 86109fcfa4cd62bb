//! The verified device: what its table says, and a first look at the hash tree that tells a wrong root hash in words.
//!
//! What is on the disk is not trusted. The superblock must be of the kind that Slipway writes, its sizes must fit the root
//! partition, and salt and counts only take part in a hash that must give the root hash of the command line. The kernel
//! checks all of that again, and each block, when it is read: an error here is for the operator.

use slipway_images::digest::Digest;
use slipway_images::verity::{BLOCK_SIZE, RootHash, Superblock, VerityError};

use crate::dm::Target;

const BLOCK: usize = 4096;

/// Bytes at the start of a verity partition that are looked at: the superblock's block, and the top of the tree.
pub const START: usize = 2 * BLOCK;

/// A hash tree whose top is the one that the root hash names.
#[derive(Debug)]
pub struct Tree(Superblock);

impl Tree {
    /// Checks the start of a verity partition, whose root partition has `root_bytes`.
    pub fn open(start: &[u8; START], root_bytes: u64, root_hash: RootHash) -> Result<Self, VerityError> {
        let (first, top) = start.split_at(BLOCK);
        let superblock = Superblock::parse(first)?;
        match superblock.data_blocks {
            0 => return Err(VerityError::BadDataLength(0)),
            // The root hash is that of the one data block; there is no tree.
            1 => {}
            _ if Digest::of(&[superblock.salt.as_bytes(), top].concat()).as_bytes() != root_hash.as_bytes() => {
                return Err(VerityError::BadHashBlock { block: 1 });
            }
            _ => {}
        }
        let expected = superblock.data_blocks.saturating_mul(BLOCK_SIZE);
        if expected > root_bytes {
            return Err(VerityError::DataTooShort { expected, len: root_bytes });
        }
        Ok(Self(superblock))
    }

    /// The device's name for udev and systemd, in the form that libcryptsetup gives it.
    pub fn dm_uuid(&self, name: &str) -> String {
        format!("CRYPT-VERITY-{}-{name}", self.0.uuid.simple())
    }

    /// The tables to try, best first (kernel documentation, `device-mapper/verity`). A block that is not what the tree
    /// says restarts the machine, so that boot counting or the watchdog can act; a newer kernel does so as well when the
    /// disk can't be read. Devices are given as `MAJOR:MINOR`.
    pub fn targets(&self, data: &str, hashes: &str, root_hash: RootHash) -> [Target; 2] {
        let table = self.0.table(&root_hash);
        [&["restart_on_corruption", "restart_on_error"][..], &["restart_on_corruption"]].map(|options| Target {
            kind: "verity",
            sectors: table.sectors,
            parameters: table.line(data, hashes, options),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use slipway_images::verity::{Salt, format};
    use uuid::Uuid;

    use super::*;

    const DATA: usize = 3 * BLOCK;

    fn tree() -> ([u8; START], RootHash) {
        let mut bytes = Vec::new();
        let hash = format(&vec![7; DATA], DATA as u64, &Salt::new([5; 4]).unwrap(), Uuid::nil(), &mut bytes).unwrap();
        (*bytes.first_chunk().unwrap(), hash)
    }

    #[test]
    fn the_table_asks_for_a_restart_on_corruption() {
        let (start, hash) = tree();
        let tree = Tree::open(&start, DATA as u64, hash).unwrap();
        let [best, plain] = tree.targets("254:2", "254:3", hash);
        let fixed = format!("1 254:2 254:3 4096 4096 3 1 sha256 {hash} 05050505");
        assert_eq!(best.parameters, format!("{fixed} 2 restart_on_corruption restart_on_error"));
        assert_eq!(plain.parameters, format!("{fixed} 1 restart_on_corruption"));
        assert_eq!(plain.sectors, 24);
        assert_eq!(tree.dm_uuid("root"), "CRYPT-VERITY-00000000000000000000000000000000-root");
    }

    #[test]
    fn a_foreign_or_short_root_is_told_before_the_kernel_reads_it() {
        let (start, hash) = tree();
        let foreign = Tree::open(&start, DATA as u64, RootHash::from_bytes([1; 32])).unwrap_err();
        assert_eq!(foreign.to_string(), "block 1 of the hash device doesn't match the root hash");
        assert!(matches!(Tree::open(&start, DATA as u64 - 1, hash), Err(VerityError::DataTooShort { .. })));
        assert!(matches!(Tree::open(&[0; START], DATA as u64, hash), Err(VerityError::NotVerity)));
    }

    proptest! {
        #[test]
        fn no_change_of_the_top_of_the_tree_is_taken(place in BLOCK..START, flip in 1..=255_u8) {
            let (mut start, hash) = tree();
            start[place] ^= flip;
            prop_assert!(Tree::open(&start, DATA as u64, hash).is_err());
        }
    }
}
