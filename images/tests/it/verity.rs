//! The hash tree against `veritysetup`, and against damage.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::process::Command;

use proptest::prelude::*;
use slipway_images::content::ReadAt;
use slipway_images::names::ImageId;
use slipway_images::verity::{
    BlockIndex, RootHash, Salt, Superblock, VerityError, VerityTree, format, tree_len, verify,
};
use uuid::Uuid;

const UUID: Uuid = Uuid::from_u128(0x0bad_c0de_0bad_c0de_0bad_c0de_0bad_c0de);

fn salt() -> Salt {
    Salt::for_image(&ImageId::new("edge").unwrap())
}

fn data(blocks: usize) -> Vec<u8> {
    (0..blocks * 1024).flat_map(|word| u32::try_from(word).unwrap().wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn formatted(data: &[u8], salt: &Salt) -> (Vec<u8>, RootHash) {
    let mut tree = Vec::new();
    let root_hash = format(&data.to_vec(), data.len() as u64, salt, UUID, &mut tree).unwrap();
    assert_eq!(tree.len() as u64, tree_len(data.len() as u64));
    (tree, root_hash)
}

fn verified(data: &[u8], tree: &[u8], root_hash: &RootHash) -> Result<VerityTree, VerityError> {
    verify(&data.to_vec(), data.len() as u64, &tree.to_vec(), tree.len() as u64, root_hash)
}

#[test]
fn veritysetup_makes_the_same_bytes_and_accepts_ours() {
    let place = tempfile::tempdir().unwrap();
    let [data_path, theirs, ours] = ["data", "theirs", "ours"].map(|name| place.path().join(name));
    // One block, part of a hash block, exactly full ones, one more, and three levels.
    for blocks in [1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1] {
        for salt in [salt(), Salt::new([]).unwrap(), Salt::new([5; 256]).unwrap()] {
            let data = data(blocks);
            fs::write(&data_path, &data).unwrap();
            let (tree, root_hash) = formatted(&data, &salt);
            let format = Command::new("veritysetup")
                .args(["format", "--uuid", &UUID.to_string(), "--salt", &salt.to_hex()])
                .args([&data_path, &theirs])
                .output()
                .expect("veritysetup of cryptsetup is installed");
            assert!(format.status.success(), "{}", String::from_utf8_lossy(&format.stderr));
            let report = String::from_utf8(format.stdout).unwrap();
            let their_hash = report.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim();
            assert_eq!(root_hash.to_hex(), their_hash, "{blocks} blocks, salt {}", salt.to_hex());
            assert!(fs::read(&theirs).unwrap() == tree, "{blocks} blocks, salt {}", salt.to_hex());
            fs::write(&ours, &tree).unwrap();
            let check = Command::new("veritysetup").arg("verify").args([&data_path, &ours]).arg(their_hash).output();
            assert!(check.unwrap().status.success());
            assert!(verified(&data, &tree, &root_hash).is_ok());
        }
    }
}

#[test]
fn the_first_bad_block_is_named() {
    let data = data(1000);
    let (tree, root_hash) = formatted(&data, &salt());
    let mut bad = data.clone();
    for block in [999, 700, 300, 301] {
        bad[block * 4096 + 17] ^= 1;
    }
    let error = verified(&bad, &tree, &root_hash).unwrap_err();
    assert!(matches!(error, VerityError::BadDataBlock { block: BlockIndex(300) }), "{error}");
    let short = verified(&data[..4096], &tree, &root_hash).unwrap_err();
    assert!(matches!(short, VerityError::DataTooShort { .. }), "{short}");
    let mut bad = tree.clone();
    bad[4096 * 3 + 5] ^= 1;
    let error = verified(&data, &bad, &root_hash).unwrap_err();
    assert!(matches!(error, VerityError::BadHashBlock { block: 3 }), "{error}");
    let other = RootHash::from_bytes([1; 32]);
    assert!(matches!(verified(&data, &tree, &other), Err(VerityError::BadHashBlock { block: 1 })));
}

#[test]
fn leaves_are_the_hashes_of_the_blocks() {
    for blocks in [1, 500] {
        let data = data(blocks);
        let (tree, root_hash) = formatted(&data, &salt());
        let tree = VerityTree::read(&tree, tree.len() as u64, &root_hash).unwrap();
        assert_eq!(tree.leaves().len(), blocks);
        for (index, block) in data.chunks(4096).enumerate() {
            assert!(tree.matches(BlockIndex(index as u64), block));
            assert!(!tree.matches(BlockIndex(index as u64), &block[1..]));
        }
        assert_eq!(tree.leaf(BlockIndex(blocks as u64)), None);
        assert!(!tree.matches(BlockIndex(blocks as u64), &data[..4096]));
        let rebuilt = VerityTree::build(&data, data.len() as u64, &salt(), UUID).unwrap();
        assert_eq!(tree, rebuilt);
    }
}

#[test]
fn fewer_blocks_than_were_hashed_are_noticed() {
    let data = data(300);
    let (mut tree, root_hash) = formatted(&data, &salt());
    // The tree of 290 blocks has the same shape.
    tree[72] = 34;
    assert_eq!(Superblock::parse(&tree).unwrap().data_blocks, 290);
    assert!(matches!(verified(&data, &tree, &root_hash), Err(VerityError::BadHashBlock { .. })));
}

#[test]
fn an_absurd_superblock_allocates_nothing() {
    let (tree, root_hash) = formatted(&data(300), &salt());
    for blocks in [0, 1 << 40, 1 << 52, u64::MAX] {
        let mut bad = tree.clone();
        bad[72..80].copy_from_slice(&blocks.to_le_bytes());
        assert!(VerityTree::read(&bad, bad.len() as u64, &root_hash).is_err());
        assert!(VerityTree::read(&Endless(bad), u64::MAX, &root_hash).is_err());
    }
}

/// A device that claims to be as long as one can be, and reads only at its start.
struct Endless(Vec<u8>);

impl ReadAt for Endless {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

#[test]
fn data_of_no_whole_blocks_has_no_tree() {
    for len in [0, 1, 4095, 4097] {
        let data = vec![0; len];
        let error = VerityTree::build(&data, len as u64, &salt(), UUID).unwrap_err();
        assert!(matches!(error, VerityError::BadDataLength(_)));
    }
    let error = VerityTree::build(&vec![0; 4096], 8192, &salt(), UUID).unwrap_err();
    assert!(matches!(error, VerityError::Read { device: "data", .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_bit_of_the_tree_survives(blocks in 1_usize..400, at: prop::sample::Index, bit in 0_u32..8) {
        let data = data(blocks);
        let (mut tree, root_hash) = formatted(&data, &salt());
        let at = at.index(tree.len());
        tree[at] ^= 1 << bit;
        // The identifier and the padding of the superblock are not covered by the root hash.
        let is_covered = !(16..32).contains(&at) && !(82..88).contains(&at) && !(120..4096).contains(&at);
        prop_assert_eq!(verified(&data, &tree, &root_hash).is_err(), is_covered, "byte {}", at);
    }

    #[test]
    fn random_bytes_are_no_superblock(mut bytes in prop::collection::vec(any::<u8>(), 0..600), signed: bool) {
        if signed && bytes.len() > 80 {
            let good = Superblock { uuid: UUID, data_blocks: 1, salt: salt() }.encode();
            bytes[..80].copy_from_slice(&good[..80]);
        }
        let _ = Superblock::parse(&bytes);
        let _ = VerityTree::read(&bytes, bytes.len() as u64, &RootHash::from_bytes([0; 32]));
    }
}
