//! Hash trees of a hostile device: never a panic, and a tree that is accepted has the very hashes that were made.
//!
//! The input's first byte chooses how much data a good tree is made of; the rest patches the tree, four bytes each
//! (offset, value). The input is read as a device, too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_images::verity::{RootHash, Salt, Superblock, VerityTree};
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
    if let Ok(read) = VerityTree::read(&device, device.len() as u64, &good.root_hash()) {
        let shared = read.leaves().len().min(good.leaves().len());
        assert_eq!(read.leaves()[..shared], good.leaves()[..shared]);
        assert!(read.leaves().len() >= good.leaves().len(), "blocks were taken away");
    }
});
