//! Patches: what is written is applied, whatever the versions and instructions; damage is refused.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use slipway_images::content::ReadAt;
use slipway_images::digest::Digest;
use slipway_images::patch::{Head, Op, Pair, PatchError, PatchSummary, STORED_MAX, plan_windows, write};
use slipway_images::verity::{
    BLOCK_SIZE, GROUP_LEN, GroupIndex, GroupWriter, Salt, TreeHead, VerityError, VerityTree, head_len,
};
use uuid::Uuid;

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| byte()).collect()
}

fn made(old: &[u8], new: &[u8], ops: &[Op], tree: &[u8], names: [Digest; 2]) -> (Vec<u8>, PatchSummary) {
    let pair = Pair { old: names[0], old_len: old.len() as u64, new: names[1], new_len: new.len() as u64 };
    let mut patch = Vec::new();
    let summary = write(pair, &plan_windows(ops), &old.to_vec(), &new.to_vec(), tree, &mut patch, &|_| ()).unwrap();
    assert_eq!(summary.len, patch.len() as u64);
    assert_eq!(summary.digest, Digest::of(&patch));
    (patch, summary)
}

fn names(old: &[u8], new: &[u8]) -> [Digest; 2] {
    [Digest::of(old), Digest::of(new)]
}

/// What a host does.
fn applied(patch: &[u8], head_digest: &Digest, old: &dyn ReadAt) -> Result<Vec<u8>, PatchError> {
    let (head, mut rest) = patch.split_at(Head::len_from(patch)?.min(patch.len()));
    let head = Head::parse(head, head_digest)?;
    let mut new = Vec::new();
    for (number, window) in head.windows().iter().enumerate() {
        let (stored, after) = rest.split_at(usize::try_from(window.stored_len()).unwrap().min(rest.len()));
        assert!(window.stored_len() <= STORED_MAX);
        assert_eq!(window.new_offset, new.len() as u64);
        head.apply(number, stored, old, &mut new)?;
        rest = after;
    }
    Ok(new)
}

/// Instructions that make something of `old`, and what they make. Added and inserted bytes come from the seed.
fn versions() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<Op>)> {
    let op = (0..3_u8, any::<prop::sample::Index>(), 1..20_000_usize);
    (1..60_000_usize, any::<u64>(), prop::collection::vec(op, 0..24)).prop_map(|(old_len, seed, wanted)| {
        let old = noise(old_len, seed);
        let (mut new, mut ops) = (Vec::new(), Vec::new());
        for (kind, place, len) in wanted {
            let at = place.index(old.len());
            let len = if kind == 2 { len } else { len.min(old.len() - at) };
            let from = |delta: u8| old[at..at + len].iter().map(move |byte| byte.wrapping_add(delta));
            match kind {
                0 => new.extend(from(0)),
                1 => new.extend(from(3)),
                _ => new.extend(noise(len, seed ^ 1)),
            }
            let (old, len) = (at as u64, len as u64);
            ops.push([Op::Copy { old, len }, Op::Add { old, len }, Op::Insert { len }][usize::from(kind)]);
        }
        (old, new, ops)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_applied((old, new, ops) in versions()) {
        let (patch, summary) = made(&old, &new, &ops, &[], names(&old, &new));
        prop_assert_eq!(applied(&patch, &summary.head_digest, &old).unwrap(), new);
    }

    #[test]
    fn a_changed_byte_is_noticed_before_it_is_used((old, new, ops) in versions(), at: prop::sample::Index, bit in 0..8) {
        let (mut patch, summary) = made(&old, &new, &ops, &[], names(&old, &new));
        let at = at.index(patch.len());
        patch[at] ^= 1_u8 << bit;
        prop_assert!(applied(&patch, &summary.head_digest, &old).is_err());
    }

    /// As if an attacker had the key: the digests fit, so that it is the parsers that are tried.
    #[test]
    fn hostile_windows_make_no_more_than_they_may((old, new, ops) in versions(), control in prop::collection::vec(any::<u8>(), 0..64)) {
        let (patch, _) = made(&old, &new, &ops, &[], names(&old, &new));
        let head_len = Head::len_from(&patch).unwrap();
        if head_len == patch.len() {
            return Ok(());
        }
        let stored = zstd::bulk::compress(&control, 1).unwrap();
        let mut head = patch[..104 + 52].to_vec();
        head[12..16].copy_from_slice(&1_u32.to_le_bytes());
        head[104..112].copy_from_slice(&(new.len() as u64).to_le_bytes());
        head[112..116].copy_from_slice(&u32::try_from(stored.len()).unwrap().to_le_bytes());
        head[116..124].fill(0);
        head[124..156].copy_from_slice(Digest::of(&stored).as_bytes());
        let head = Head::parse_unverified(&head).unwrap();
        let mut out = Vec::new();
        let result = head.apply(0, &stored, &old, &mut out);
        prop_assert!(out.len() <= new.len());
        prop_assert!(result.is_err() || out.len() == new.len());
    }

    #[test]
    fn damaged_heads_never_panic((old, new, ops) in versions(), damage in prop::collection::vec((0..260_usize, any::<u8>()), 1..6)) {
        let (patch, _) = made(&old, &new, &ops, &[], names(&old, &new));
        let mut head = patch[..Head::len_from(&patch).unwrap()].to_vec();
        for (at, value) in damage {
            let at = at % head.len();
            head[at] = value;
        }
        if let Ok(head) = Head::parse_unverified(&head) {
            prop_assert_eq!(head.windows().iter().map(|window| window.new_len).sum::<u64>(), head.pair().new_len);
        }
    }
}

#[test]
fn much_new_content_is_cut_into_windows_that_stand_alone() {
    let old = noise(9 << 20, 1);
    let mut new = noise(4 << 20, 2);
    new.extend(old.iter().map(|byte| byte.wrapping_add(1)));
    let ops = [Op::Insert { len: 4 << 20 }, Op::Add { old: 0, len: 9 << 20 }];
    let (patch, summary) = made(&old, &new, &ops, &[], names(&old, &new));
    assert!(summary.windows > 2, "{} windows", summary.windows);
    let head = Head::parse(&patch[..Head::len_from(&patch).unwrap()], &summary.head_digest).unwrap();
    // The last first: none needs another.
    for (number, window) in head.windows().iter().enumerate().rev() {
        assert!(window.new_offset.is_multiple_of(GROUP_LEN));
        let range = |start: u64, len: u64| usize::try_from(start).unwrap()..usize::try_from(start + len).unwrap();
        let mut out = Vec::new();
        head.apply(number, &patch[range(window.offset, window.stored_len())], &old, &mut out).unwrap();
        assert!(out == new[range(window.new_offset, window.new_len)]);
    }
    assert_eq!(head.patch_len(summary.head_len), summary.len);
}

#[test]
fn the_same_instructions_make_the_same_bytes_on_any_number_of_threads() {
    let old = noise(1 << 20, 1);
    let new: Vec<u8> = noise(4 << 20, 7);
    let ops = [Op::Insert { len: 7 << 19 }, Op::Add { old: 5, len: 1 << 19 }];
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| made(&old, &new, &ops, &[], names(&old, &new)))
    };
    assert!(on(1) == on(3));
}

#[test]
fn instructions_that_do_not_make_the_new_version_are_not_written() {
    let (old, new) = (vec![0; 100], vec![0; 50]);
    let [old_name, new_name] = names(&old, &new);
    let pair = Pair { old: old_name, old_len: 100, new: new_name, new_len: 50 };
    for ops in [
        vec![Op::Copy { old: 60, len: 50 }],
        vec![Op::Add { old: u64::MAX, len: 50 }],
        vec![Op::Insert { len: 49 }],
        vec![Op::Insert { len: 51 }],
    ] {
        let written = write(pair, &plan_windows(&ops), &old, &new, &[], &mut Vec::new(), &|_| ());
        assert!(matches!(written, Err(PatchError::BadOp { .. })), "{ops:?}");
    }
}

fn image(blocks: u64) -> (Vec<u8>, VerityTree) {
    let data = noise(usize::try_from(blocks * BLOCK_SIZE).unwrap(), blocks);
    let tree = VerityTree::build(&data, data.len() as u64, &Salt::new(*b"salt").unwrap(), Uuid::nil()).unwrap();
    (data, tree)
}

#[test]
fn a_root_is_made_with_its_tree_from_the_head_alone() {
    for blocks in [1, 2, 127, 128, 129, 300] {
        let (new, tree) = image(blocks);
        let mut device = Vec::new();
        tree.write_to(&mut device).unwrap();
        let head = TreeHead::read(&device, device.len() as u64, &tree.root_hash()).unwrap();
        let mut begin = Vec::new();
        head.write_to(&mut begin).unwrap();
        assert_eq!(begin.len() as u64, head_len(new.len() as u64));
        assert!(device.starts_with(&begin));

        let old = noise(5000, 3);
        let new_name = Digest::from_bytes(*tree.root_hash().as_bytes());
        let ops = [Op::Insert { len: new.len() as u64 }];
        let (patch, summary) = made(&old, &new, &ops, &begin, [Digest::of(&old), new_name]);
        let parsed = Head::parse(&patch[..Head::len_from(&patch).unwrap()], &summary.head_digest).unwrap();
        let head = parsed.tree_head().unwrap();
        let (mut root, mut hash) = (Vec::new(), begin.clone());
        let mut groups = GroupWriter::new(&head, GroupIndex(0), |group, leaves, bytes| {
            assert_eq!(group.offset(), root.len() as u64);
            root.extend_from_slice(bytes);
            if let Some(offset) = head.leaf_offset(group) {
                assert_eq!(offset, hash.len() as u64);
                assert!(head.accepts(group, leaves.as_bytes()));
                hash.extend_from_slice(leaves.as_bytes());
            }
            Ok(())
        });
        let mut rest = &patch[usize::try_from(summary.head_len).unwrap()..];
        for (number, window) in parsed.windows().iter().enumerate() {
            let (stored, after) = rest.split_at(usize::try_from(window.stored_len()).unwrap());
            parsed.apply(number, stored, &old, &mut groups).unwrap();
            rest = after;
        }
        assert_eq!(groups.next_group().0, head.groups());
        assert!(root == new, "{blocks} blocks");
        assert!(hash == device, "{blocks} blocks");
    }
}

#[test]
fn a_wrong_block_never_leaves_the_group_writer() {
    let (data, tree) = image(300);
    let mut device = Vec::new();
    tree.write_to(&mut device).unwrap();
    let head = TreeHead::read(&device, device.len() as u64, &tree.root_hash()).unwrap();
    let mut bad = data.clone();
    bad[200 * 4096 + 9] ^= 1;
    let mut taken = 0;
    let mut groups = GroupWriter::new(&head, GroupIndex(0), |_, _, bytes| {
        taken += bytes.len();
        Ok(())
    });
    assert!(std::io::Write::write_all(&mut groups, &bad).is_err());
    assert_eq!(taken, 128 * 4096);
    let group = |number: usize| &data[number * 128 * 4096..data.len().min((number + 1) * 128 * 4096)];
    assert!(head.check(GroupIndex(2), group(2)).is_ok());
    for (number, bytes) in [(0, group(1)), (2, &group(1)[..group(2).len()]), (2, group(1)), (3, group(2)), (1, &[])] {
        assert!(matches!(head.check(GroupIndex(number), bytes), Err(VerityError::BadGroup { .. })));
    }
    // From the middle on, as after an interruption.
    let mut rest = Vec::new();
    let mut groups = GroupWriter::new(&head, GroupIndex(1), |_, _, bytes| {
        rest.extend_from_slice(bytes);
        Ok(())
    });
    std::io::Write::write_all(&mut groups, &data[128 * 4096..]).unwrap();
    assert!(std::io::Write::write_all(&mut groups, &[0]).is_err(), "nothing comes after the last block");
    assert!(rest == data[128 * 4096..]);
}

#[test]
fn a_damaged_head_of_a_tree_is_refused() {
    let (_, tree) = image(300);
    let mut device = Vec::new();
    tree.write_to(&mut device).unwrap();
    let len = head_len(300 * BLOCK_SIZE);
    for at in [9, 88, 4096, 4096 + 32 * 2] {
        let mut bad = device.clone();
        bad[at] ^= 1;
        assert!(TreeHead::read(&bad, len, &tree.root_hash()).is_err(), "byte {at}");
    }
    assert!(TreeHead::read(&device, len - 1, &tree.root_hash()).is_err());
    assert!(TreeHead::read(&device, len, &tree.root_hash()).is_ok());
}
