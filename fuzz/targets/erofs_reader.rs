//! The EROFS reader on damaged images: never panics, never loops, reads no more than it is allowed to.
//!
//! An input whose first byte is odd is a list of patches to a good image, three bytes each (offset, value), so that
//! the fuzzer starts behind the superblock. Any other input is an image itself.

#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use slipway_images::content::Content;
use slipway_images::erofs::{Layout, Reader, WriteOptions, write};
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreePath};
use uuid::Uuid;

const LIMIT: u64 = 1 << 22;

fn good_image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut tree = RootTree::new();
        let mut add = |path: String, kind: Kind| {
            let mut meta = Meta::root_owned(0o644);
            if path.contains('7') {
                meta.xattrs.insert("security.capability".into(), vec![1; 20]);
                meta.uid = 70_000;
            }
            let path = TreePath::new(&path).expect("the path is good");
            tree.insert(path, Node { meta, kind, origin: Origin::Recipe }).expect("the entry is good");
        };
        for number in 0..120 {
            add(format!("/folder/file-{number}"), Kind::File(Content::from_bytes(vec![number; 3])));
        }
        for number in 6..8 {
            add(format!("/{number}/deeper/x"), Kind::File(Content::from_bytes(vec![number; 5000])));
            add(format!("/{number}/link"), Kind::Symlink("deeper/x".into()));
            add(format!("/{number}/null"), Kind::CharDevice { major: 1, minor: 3 });
        }
        let layout = Layout { inline_align: 4096, data_align: 4096, ..Layout::default() };
        let options = WriteOptions { epoch: 1, uuid: Uuid::nil(), volume_name: String::new(), layout };
        let mut image = Vec::new();
        write(&tree, &options, &mut image, &mut |_| ()).expect("the tree is good");
        image[1024 + 8] = 0; // no checksum: damage to the superblock is to get through
        image
    })
}

fuzz_target!(|input: &[u8]| {
    let image = match input.split_first() {
        Some((kind, patches)) if kind & 1 == 1 => {
            let mut image = good_image().to_vec();
            for patch in patches.chunks_exact(3) {
                let at = 1024 + usize::from(u16::from_le_bytes([patch[0], patch[1]]));
                if let Some(byte) = image.get_mut(at) {
                    *byte = patch[2];
                }
            }
            image
        }
        _ => input.to_vec(),
    };
    let len = image.len() as u64;
    let Ok(reader) = Reader::open(Arc::new(image), len) else { return };
    let _ = reader.to_tree(LIMIT);
    for (_, inode) in reader.walk().flatten() {
        assert!(inode.extents().all(|extent| extent.offset + extent.len <= len));
        let _ = (reader.read(&inode, 1 << 16), reader.read_link(&inode), reader.xattrs(&inode));
    }
    let _ = reader.lookup(&TreePath::new("/folder/file-100").expect("the path is good"));
});
