//! Whole roots: small ones, with the kinds of changes that updates bring.

#![allow(clippy::unwrap_used)]

use slipway_images::content::Content;
use slipway_images::erofs::{Layout, WriteOptions, write};
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreePath};
use slipway_images::verity::Salt;
use uuid::Uuid;

use super::*;
use crate::progress::Silent;

const SALT: &[u8] = b"salt";

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| byte()).collect()
}

fn source(files: &[(&str, Vec<u8>)], salt: &[u8]) -> RootSource {
    let mut tree = RootTree::new();
    for (path, content) in files {
        let kind = Kind::File(Content::from_bytes(content.clone()));
        let node = Node { meta: Meta::root_owned(0o644), kind, origin: Origin::Recipe };
        tree.insert(TreePath::new(path).unwrap(), node).unwrap();
    }
    let options = WriteOptions { epoch: 1, uuid: Uuid::nil(), volume_name: String::new(), layout: Layout::default() };
    let mut image = Vec::new();
    write(&tree, &options, &mut image, &mut |_| ()).unwrap();
    let tree = VerityTree::build(&image, image.len() as u64, &Salt::new(salt).unwrap(), Uuid::nil()).unwrap();
    RootSource { image: Arc::new(image), tree: Arc::new(tree) }
}

/// The length of a patch. That it works was tried by [`root`] itself.
fn cost(old: &RootSource, new: &RootSource) -> u64 {
    cost_within(COMPARE_MAX, old, new)
}

fn cost_within(compare_max: u64, old: &RootSource, new: &RootSource) -> u64 {
    let mut patch = Vec::new();
    let summary = root_within(compare_max, old, new, &mut patch, &Silent).unwrap();
    assert_eq!(summary.len, patch.len() as u64);
    assert_eq!(summary.digest, Digest::of(&patch));
    summary.len
}

fn before() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("/a/first", noise(10_000, 1)),
        ("/lib/6.12.107/module.ko", noise(200_000, 2)),
        ("/lib/libx.so.1.2", noise(90_000, 3)),
        ("/small", b"text".to_vec()),
        ("/usr/bin/tool", noise(300_000, 4)),
    ]
}

#[test]
fn what_did_not_change_costs_nothing() {
    let old = source(&before(), SALT);
    assert!(cost(&old, &old) < 500);
    // Another salt: the same blocks have other hashes, and are found all the same.
    let salted = source(&before(), b"other");
    assert!(cost(&old, &salted) < 700, "{}", cost(&old, &salted));
}

#[test]
fn moved_renamed_and_changed_files_are_found() {
    let old = source(&before(), SALT);
    let mut code = noise(200_000, 2);
    code.iter_mut().step_by(1000).for_each(|byte| *byte = byte.wrapping_add(4));
    let mut tool = noise(300_000, 4);
    tool.splice(1000..1000, noise(100, 9));
    let after = vec![
        ("/a/first", noise(10_000, 1)),
        ("/a/inserted", noise(5000, 10)),
        // Another version's folder, and bytes that changed a little.
        ("/lib/6.12.117/module.ko", code),
        ("/lib/libx.so.1.3", noise(90_000, 3)),
        ("/small", b"text!".to_vec()),
        // Nothing but its content says where it came from.
        ("/usr/libexec/renamed", tool),
    ];
    let new = source(&after, SALT);
    let cost = cost(&old, &new);
    assert!((5100..7500).contains(&cost), "{cost}");
}

#[test]
fn roots_without_anything_in_common_cost_what_is_new() {
    let old = source(&[("/only", noise(9000, 1))], SALT);
    let new = source(&[("/other", noise(50_000, 2))], SALT);
    let cost = cost(&old, &new);
    assert!((50_000..52_000).contains(&cost), "{cost}");
}

/// A window of a patch is read at once, and holds no more that is new.
const SHORT: u64 = 3 << 20;

/// An image of which nobody reads so much at once that it would hold a file that is too long to compare.
struct Short(Arc<dyn ReadAt>);

impl ReadAt for Short {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        assert!(bytes.len() as u64 <= SHORT, "{} bytes are read at once", bytes.len());
        self.0.read_exact_at(bytes, offset)
    }
}

/// Files of more than 2 GiB, but that the limit is lower here.
#[test]
fn files_that_are_too_long_to_compare_are_taken_block_by_block() {
    let large = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut content = noise(3_500_000, 20);
        change(&mut content);
        [before(), vec![("/var-lib/large", content)]].concat()
    };
    let source = |files: &[(&str, Vec<u8>)]| {
        let RootSource { image, tree } = source(files, SALT);
        RootSource { image: Arc::new(Short(image)), tree }
    };
    let old = source(&large(&|_| ()));
    let cost = |after: &[(&str, Vec<u8>)]| cost_within(SHORT, &old, &source(after));
    // Changed in two places, and longer.
    let changed = cost(&large(&|content| {
        content[700_000] ^= 1;
        content[2_000_000] ^= 1;
        content.extend(noise(9000, 21));
    }));
    assert!((17_000..27_000).contains(&changed), "{changed}");
    // Shortened until it could be compared, but for what it came from.
    let shortened = cost(&large(&|content| content.truncate(500_001)));
    assert!((700..2000).contains(&shortened), "{shortened}");
    // Grown until it can't be compared.
    let mut grown = before();
    grown[4].1.extend(noise(3_000_000, 23));
    let grown = cost(&grown);
    assert!((3_000_000..3_010_000).contains(&grown), "{grown}");
    // Without anything like it in the old root.
    let new = cost(&[before(), vec![("/other", noise(3_300_000, 22))]].concat());
    assert!((3_300_000..3_310_000).contains(&new), "{new}");
    // Unchanged, while another file is looked for by its content, and found.
    let mut tool = noise(300_000, 4);
    tool.splice(1000..1000, noise(100, 9));
    let unchanged = cost(&[large(&|_| ()), vec![("/usr/libexec/renamed", tool)]].concat());
    assert!(unchanged < 2000, "{unchanged}");
}

#[test]
fn the_same_pair_makes_the_same_patch_on_any_number_of_threads() {
    let old = source(&before(), SALT);
    let mut after = before();
    for (_, content) in &mut after {
        content.insert(content.len() / 2, 7);
    }
    let new = source(&after, SALT);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut patch = Vec::new();
        pool.install(|| root(&old, &new, &mut patch, &Silent)).unwrap();
        patch
    };
    assert!(on(1) == on(3));
}

#[test]
fn an_old_image_that_is_not_what_its_tree_says_makes_no_patch() {
    let old = source(&before(), SALT);
    let RootSource { image, tree } = source(&before(), SALT);
    let mut bytes = vec![0; usize::try_from(tree.data_len()).unwrap()];
    image.read_exact_at(&mut bytes, 0).unwrap();
    let last = bytes.len() - 4096;
    bytes[last] ^= 1;
    let damaged = RootSource { image: Arc::new(bytes), tree };
    let mut patch = Vec::new();
    assert!(matches!(root(&damaged, &old, &mut patch, &Silent), Err(MakeError::Wrong(_))));
    assert!(patch.is_empty());
}

#[test]
fn any_file_can_be_patched() {
    let old = noise(100_000, 1);
    let mut new = [&old[..50_000], b"more", &old[50_000..]].concat();
    new[7] ^= 1;
    for (old, new, most) in [(&old[..], &new[..], 500), (&old, b"", 200), (b"", &new, 101_000), (b"", b"", 200)] {
        let mut patch = Vec::new();
        let summary = file(old, new, &mut patch).unwrap();
        assert!(summary.len < most, "{} of {}", summary.len, new.len());
    }
}
