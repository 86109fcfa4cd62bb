//! Random trees, whole and damaged.

use std::collections::BTreeMap;

use proptest::prelude::*;
use slipway_images::content::Content;
use slipway_images::erofs::FileType;
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreePath};

use super::{NO_LIMIT, described, fsck_bytes, image_of, noise, options, path, reader_of, without_checksum};

fn any_name() -> impl Strategy<Value = String> {
    let any = "[!-.0-~]{1,12}".prop_filter("dots are no names", |name| name != "." && name != "..");
    prop_oneof![3 => "[a-c]{1,2}", 1 => any, 1 => "[a-zü]{100,125}"]
}

fn any_meta() -> impl Strategy<Value = Meta> {
    let id = || prop_oneof![4 => Just(0_u32), 2 => 0_u32..70_000, 1 => any::<u32>()];
    let value = prop_oneof![4 => 0_usize..40, 1 => 0_usize..6000];
    let xattrs =
        prop::collection::btree_map("(user|trusted|security)\\.[a-z]{1,20}", value.prop_map(|len| noise(len, 7)), 0..3);
    let xattrs = prop_oneof![3 => Just(BTreeMap::new()), 1 => xattrs];
    (0_u16..0o10_000, id(), id(), xattrs).prop_map(|(mode, uid, gid, xattrs)| Meta { mode, uid, gid, xattrs })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let len = prop_oneof![3 => 0_usize..300, 2 => 3900_usize..4200, 1 => 0_usize..20_000];
    let file = || (len.clone(), any::<u8>()).prop_map(|(len, seed)| Kind::File(Content::from_bytes(noise(len, seed))));
    prop_oneof![
        3 => Just(Kind::Folder),
        6 => file(),
        2 => prop_oneof!["[a-z/.]{1,80}", "[a-z]{4000,4095}"].prop_map(Kind::Symlink),
        1 => (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        1 => (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
        1 => Just(Kind::Fifo),
        2 => Just(Kind::HardLink(TreePath::root())),
    ]
}

/// A tree of random entries; a hard link leads to one of the files before it. What contradicts is left out.
fn any_tree() -> impl Strategy<Value = RootTree> {
    let entry = (prop::collection::vec(any_name(), 1..4), any_meta(), any_kind(), any::<prop::sample::Index>());
    prop::collection::vec(entry, 0..80).prop_map(|entries| {
        let mut tree = RootTree::new();
        let mut files: Vec<(TreePath, Meta)> = Vec::new();
        for (parts, meta, kind, pick) in entries {
            let at = path(&format!("/{}", parts.join("/")));
            let (meta, kind) = match kind {
                Kind::HardLink(_) if files.is_empty() => continue,
                Kind::HardLink(_) => {
                    let (target, meta) = pick.get(&files).clone();
                    (meta, Kind::HardLink(target))
                }
                kind => (meta, kind),
            };
            if tree.contains(&at) {
                continue;
            }
            let is_file = matches!(kind, Kind::File(_));
            let node = Node { meta: meta.clone(), kind, origin: Origin::Recipe };
            if tree.insert(at.clone(), node).is_ok() && is_file {
                files.push((at, meta));
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back(tree in any_tree(), inline_limit in 0_u64..6000) {
        let mut options = options();
        options.layout.inline_limit = inline_limit;
        let (image, _) = image_of(&tree, &options);
        fsck_bytes(&image);
        let back = reader_of(image).unwrap().to_tree(NO_LIMIT).unwrap();
        prop_assert_eq!(described(&back), described(&tree));
    }

    #[test]
    fn damage_is_an_error_or_another_tree_and_never_a_panic(
        tree in any_tree(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (mut image, summary) = image_of(&tree, &options());
        without_checksum(&mut image);
        let metadata = usize::try_from(summary.data_start).unwrap() - 1024;
        for (at, value) in damage {
            image[1024 + at.index(metadata)] = value;
        }
        if let Some(cut) = cut {
            image.truncate(cut.index(image.len()));
        }
        if let Ok(reader) = reader_of(image) {
            let _ = reader.to_tree(1 << 24);
            for (_, inode) in reader.walk().flatten() {
                let _ = (reader.read(&inode, 1 << 20), reader.xattrs(&inode), inode.extents().count());
                prop_assert!(inode.file_type() == FileType::File || reader.content(&inode).is_err());
            }
        }
    }
}
