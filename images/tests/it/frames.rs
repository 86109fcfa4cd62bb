//! Images in frames: whole, in part, and damaged.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use slipway_images::digest::Digest;
use slipway_images::frames::{BlockPlan, FrameIndex, FramesError, FramesSummary, Index, write};
use slipway_images::verity::{BLOCK_SIZE, BlockIndex, Salt, VerityTree};
use uuid::Uuid;

const BLOCK: usize = 4096;

/// An image whose block number `n` is all of `contents[n]`, but for some text that compresses less well.
fn image(contents: &[u8]) -> Vec<u8> {
    let block = |byte: &u8| {
        let text = (0..64_u32).flat_map(|word| (word * u32::from(*byte)).wrapping_mul(2_654_435_761).to_le_bytes());
        text.chain(std::iter::repeat(*byte)).take(BLOCK).collect::<Vec<u8>>()
    };
    contents.iter().flat_map(block).collect()
}

fn tree(image: &[u8], salt: &[u8]) -> VerityTree {
    VerityTree::build(&image.to_vec(), image.len() as u64, &Salt::new(salt).unwrap(), Uuid::nil()).unwrap()
}

fn framed(image: &[u8], frame_blocks: u32) -> (Vec<u8>, FramesSummary) {
    let mut frames = Vec::new();
    let root_hash = tree(image, b"s").root_hash();
    let len = image.len() as u64;
    let summary = write(&image.to_vec(), len, root_hash, frame_blocks, &mut frames, &|_| ()).unwrap();
    assert_eq!((summary.len, summary.digest), (frames.len() as u64, Digest::of(&frames)));
    (frames, summary)
}

fn stored(frames: &[u8], offset: u64, len: u64) -> &[u8] {
    &frames[usize::try_from(offset).unwrap()..][..usize::try_from(len).unwrap()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A host with `old` makes `new` of what it has and of the frames that the plan names, and needs all of them.
    #[test]
    fn what_is_missing_is_fetched_and_no_more(
        old in prop::collection::vec(0..30_u8, 1..200),
        new in prop::collection::vec(0..33_u8, 1..200),
        frame_blocks in 1..40_u32,
        gap in 0..5000_u64,
    ) {
        let (old, new) = (image(&old), image(&new));
        let (frames, summary) = framed(&new, frame_blocks);
        let index = Index::parse(&summary.index, &summary.index_digest).unwrap();
        prop_assert_eq!(index.frames_len(), summary.len);
        let plan = BlockPlan::new(&tree(&new, b"s"), &tree(&old, b"s"));
        let mut made = vec![0; new.len()];
        for run in plan.runs(&index, gap) {
            let mut rest = stored(&frames, run.offset, run.len);
            for number in run.first.0..run.first.0 + run.count {
                let frame = index.frames()[usize::try_from(number).unwrap()];
                let (this, after) = rest.split_at(usize::try_from(frame.len).unwrap());
                let blocks = index.decode(FrameIndex(number), this).unwrap();
                let start = usize::try_from(index.blocks_of(FrameIndex(number)).start * BLOCK_SIZE).unwrap();
                made[start..start + blocks.len()].copy_from_slice(&blocks);
                rest = after;
            }
            prop_assert!(rest.is_empty());
        }
        for (block, source) in plan.sources().iter().enumerate() {
            if let Some(BlockIndex(source)) = source {
                let source = usize::try_from(*source).unwrap() * BLOCK;
                made[block * BLOCK..][..BLOCK].copy_from_slice(&old[source..][..BLOCK]);
            }
        }
        prop_assert!(made == new);
        let named: u64 = plan.runs(&index, 0).iter().map(|run| run.count).sum();
        prop_assert!(named <= plan.missing() as u64);
    }

    #[test]
    fn damage_is_noticed(contents in prop::collection::vec(any::<u8>(), 1..60), at: prop::sample::Index, bit in 0..8) {
        let (mut frames, summary) = framed(&image(&contents), 8);
        let mut index = summary.index.clone();
        let byte = at.index(index.len());
        index[byte] ^= 1_u8 << bit;
        let is_refused = matches!(Index::parse(&index, &summary.index_digest), Err(FramesError::WrongIndex { .. }));
        prop_assert!(is_refused);
        // With a digest that fits, as if an attacker had the key: no panic, and no more blocks than there are.
        if let Ok(hostile) = Index::parse_unverified(&index) {
            prop_assert_eq!(hostile.frames().len(), summary.index.len() / 36 - 1);
        }
        let index = Index::parse(&summary.index, &summary.index_digest).unwrap();
        let byte = at.index(frames.len());
        frames[byte] ^= 1_u8 << bit;
        let bad = index.frames().iter().zip(0..).filter(|(frame, number)| {
            index.decode(FrameIndex(*number), stored(&frames, frame.offset, u64::from(frame.len))).is_err()
        });
        prop_assert_eq!(bad.count(), 1);
    }
}

#[test]
fn a_frame_that_is_longer_than_its_blocks_can_be_is_refused() {
    let (_, summary) = framed(&image(&[1; 40]), 8);
    let mut index = summary.index.clone();
    let last = index.len() - 36;
    for (len, is_good) in [(8 * 4096 + 8, true), (8 * 4096 + 4096, false), (u32::MAX, false)] {
        index[last..last + 4].copy_from_slice(&len.to_le_bytes());
        assert_eq!(Index::parse_unverified(&index).is_ok(), is_good, "{len}");
    }
}

#[test]
fn the_frames_are_a_zstd_file_of_the_image() {
    let image = image(&(0..=255).collect::<Vec<u8>>());
    let (frames, _) = framed(&image, 16);
    let mut zstd = Command::new("zstd").args(["-d", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let zstd = zstd.as_mut().expect("zstd is installed");
    let mut stdin = zstd.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&frames));
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut zstd.stdout.take().unwrap(), &mut read).unwrap();
    writer.join().unwrap().unwrap();
    assert!(zstd.wait().unwrap().success());
    assert!(read == image);
}

#[test]
fn blocks_of_another_salt_are_not_taken_for_ours() {
    let image = image(&[1, 2, 3]);
    assert_eq!(BlockPlan::new(&tree(&image, b"s"), &tree(&image, b"t")).missing(), 3);
    assert_eq!(BlockPlan::new(&tree(&image, b"s"), &tree(&image, b"s")).missing(), 0);
    assert_eq!(BlockPlan::from_nothing(&tree(&image, b"s")).missing(), 3);
}
