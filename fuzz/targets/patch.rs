//! Patches and frames of a hostile server that holds a key, so that digests fit and the parsers are reached.
//!
//! The input is taken for a head, for an index of frames, and, in three parts, for the streams of a window: first as they are
//! decompressed, so that the fuzzer needn't know zstd.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_images::digest::Digest;
use slipway_images::frames::{FrameIndex, Index};
use slipway_images::patch::{HEAD_FIXED_LEN, Head};

const OLD_LEN: u64 = 1 << 16;
const NEW_LEN: u64 = 1 << 18;

fuzz_target!(|input: &[u8]| {
    if let Ok(head) = Head::parse_unverified(input) {
        let made: u64 = head.windows().iter().map(|window| window.new_len).sum();
        assert_eq!(made, head.pair().new_len);
        let _ = head.tree_head();
    }
    if let Ok(index) = Index::parse_unverified(input) {
        let _ = index.decode(FrameIndex(0), input);
        assert_eq!(index.blocks_of(FrameIndex(index.frames().len() as u64 - 1)).end, index.data_len() / 4096);
    }

    let (control, rest) = input.split_at(input.len() / 2);
    let (added, inserted) = rest.split_at(rest.len() / 2);
    let streams = [control, added, inserted].map(|stream| zstd::bulk::compress(stream, 1).expect("memory takes it"));
    let stored = streams.concat();
    let mut head = Vec::with_capacity(HEAD_FIXED_LEN + 52);
    head.extend_from_slice(b"slippat\n");
    head.extend_from_slice(&1_u32.to_le_bytes());
    head.extend_from_slice(&1_u32.to_le_bytes());
    head.extend_from_slice(&OLD_LEN.to_le_bytes());
    head.extend_from_slice(&NEW_LEN.to_le_bytes());
    head.resize(HEAD_FIXED_LEN, 0);
    head.extend_from_slice(&NEW_LEN.to_le_bytes());
    for stream in &streams {
        head.extend_from_slice(&u32::try_from(stream.len()).expect("inputs are short").to_le_bytes());
    }
    head.extend_from_slice(Digest::of(&stored).as_bytes());
    let head = Head::parse_unverified(&head).expect("the head is good");
    let old = vec![7; OLD_LEN as usize];
    let mut made = Vec::new();
    let applied = head.apply(0, &stored, &old, &mut made);
    assert!(made.len() as u64 <= NEW_LEN);
    assert!(applied.is_err() || made.len() as u64 == NEW_LEN);
});
