//! Hash trees of a hostile device: never a panic, and a tree that is accepted has the very hashes that were made.
//!
//! The input's first byte chooses how much data a good tree is made of; the rest patches the tree, four bytes each
//! (offset, value). The input is read as a device, too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_images::verity::{GroupIndex, RootHash, Salt, Superblock, TreeHead, VerityTree};
use uuid::Uuid;

fuzz_target!(|input: &[u8]| {
    let _ = Superblock::parse(input);
    let device = input.to_vec();
    let _ = VerityTree::read(&device, device.len() as u64, &RootHash::from_bytes([0; 32]));

    let Some((blocks, patches)) = input.split_first() else { return };
    let data: Vec<u8> = (0..=*blocks).flat_map(|number| [number; 4096]).collect();
    let salt = Salt::new(*b"salt").expect("the salt is short");
    let good = VerityTree::build(&data, data.len() as u64, &salt, Uuid::nil()).expect("the data is whole blocks");
    let mut device = Vec::new();
    good.write_to(&mut device).expect("memory takes it");
    for patch in patches.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % device.len();
        device[at] ^= patch[2];
    }
    if let Ok(head) = TreeHead::read(&device, device.len() as u64, &good.root_hash()) {
        let len = usize::try_from(head.group_len(GroupIndex(0))).unwrap_or(usize::MAX);
        // Lies about the length, and of a single block the salt, are found out when the data is checked.
        let honest = head.data_len() == data.len() as u64 && head.superblock().salt == salt;
        assert!(!honest || head.check(GroupIndex(0), &data[..len]).is_ok());
        let mut other = data[..len.min(data.len())].to_vec();
        other[0] ^= 1;
        assert!(head.check(GroupIndex(0), &other).is_err());
    }
    if let Ok(read) = VerityTree::read(&device, device.len() as u64, &good.root_hash()) {
        let shared = read.leaves().len().min(good.leaves().len());
        assert_eq!(read.leaves()[..shared], good.leaves()[..shared]);
        assert!(read.leaves().len() >= good.leaves().len(), "blocks were taken away");
    }
});
