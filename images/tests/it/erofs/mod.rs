//! The EROFS writer against `fsck.erofs` and an independent reader, our reader against `mkfs.erofs`, both against
//! each other, and our reader against damage.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod limits;
mod random;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use erofs_rs::EroFS;
use erofs_rs::backend::SliceImage;
use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::erofs::{BLOCK_SIZE, ErofsSummary, Layout, ReadError, Reader, WriteOptions, measure, write};
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreePath};
use uuid::Uuid;

const EPOCH: u64 = 1_760_000_000;
const NO_LIMIT: u64 = u64::MAX;

fn options() -> WriteOptions {
    let layout = Layout { inline_align: 4096, data_align: 4096, ..Layout::default() };
    WriteOptions { epoch: EPOCH, uuid: Uuid::from_u128(0x1234), volume_name: "slipway-test".into(), layout }
}

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn add(tree: &mut RootTree, at: &str, meta: Meta, kind: Kind) {
    tree.insert(path(at), Node { meta, kind, origin: Origin::Recipe }).unwrap();
}

fn file(tree: &mut RootTree, at: &str, content: impl Into<Vec<u8>>) {
    tree.insert_file(path(at), 0o644, content, Origin::Recipe).unwrap();
}

/// Bytes that repeat in no block.
fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

fn image_of(tree: &RootTree, options: &WriteOptions) -> (Vec<u8>, ErofsSummary) {
    let mut image = Vec::new();
    let mut progress = 0;
    let summary = write(tree, options, &mut image, &mut |written| progress = written).unwrap();
    assert_eq!(image.len() as u64, summary.len);
    assert_eq!(progress, summary.len);
    assert_eq!(measure(tree, options).unwrap(), summary);
    (image, summary)
}

fn reader_of(image: Vec<u8>) -> Result<Reader, ReadError> {
    let len = image.len() as u64;
    Reader::open(Arc::new(image), len)
}

/// Runs `fsck.erofs` on `image`; extracts it into `folder` if there is one.
fn fsck(image: &Path, folder: Option<&Path>) {
    let mut fsck = Command::new("fsck.erofs");
    match folder {
        Some(folder) => fsck.arg(format!("--extract={}", folder.display())).arg("--no-preserve-owner"),
        None => fsck.arg("--extract"),
    };
    let output = fsck.arg(image).output().expect("fsck.erofs of erofs-utils is installed");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

fn fsck_bytes(image: &[u8]) {
    let place = tempfile::NamedTempFile::new().unwrap();
    fs::write(place.path(), image).unwrap();
    fsck(place.path(), None);
}

/// What a path is, in a form that trees can be compared by: links by the content they lead to, not by which name is
/// the file.
fn described(tree: &RootTree) -> BTreeMap<TreePath, (Meta, String)> {
    let mut groups: HashMap<TreePath, Vec<TreePath>> = HashMap::new();
    for (path, node) in tree.iter() {
        let target = if let Kind::HardLink(target) = &node.kind { target } else { path };
        groups.entry(target.clone()).or_default().push(path.clone());
    }
    tree.iter()
        .map(|(path, node)| {
            let target = if let Kind::HardLink(target) = &node.kind { target } else { path };
            let node = tree.get(target).unwrap();
            (path.clone(), (node.meta.clone(), format!("{:?}, names {:?}", node.kind, groups[target])))
        })
        .collect()
}

/// One of everything, at the borders where forms change.
fn menagerie() -> RootTree {
    let mut tree = RootTree::new();
    for len in [0, 1, 2047, 2048, 2049, 4063, 4064, 4095, 4096, 4097, 8192, 12_345, 1 << 20, (1 << 20) + 1] {
        file(&mut tree, &format!("/files/of-{len}"), noise(len, 1));
    }
    for len in [1, 59, 4000, 4063, 4064, 4065, 4095] {
        tree.insert_symlink(path(&format!("/links/of-{len}")), &"x".repeat(len), Origin::Recipe).unwrap();
    }
    for name in ["!before-dots", "-", ".hidden", "..more", "~", "ümlaut"] {
        file(&mut tree, &format!("/names/{name}"), name.as_bytes());
    }
    file(&mut tree, &format!("/names/{}", "n".repeat(255)), *b"long");
    for number in 0..2000 {
        file(&mut tree, &format!("/many/a-file-among-many-{number}"), number.to_string());
    }
    for number in 0..60 {
        tree.insert_folder(path(&format!("/folders/{number}/in/deep")), 0o750, Origin::Recipe).unwrap();
    }
    tree.insert_folder(path("/empty"), 0o1777, Origin::Recipe).unwrap();

    let mut meta = Meta::root_owned(0o4755);
    meta.xattrs.insert("security.capability".into(), noise(20, 2));
    meta.xattrs.insert("user.note".into(), b"for the reader".to_vec());
    add(&mut tree, "/owners/capable", meta.clone(), Kind::File(Content::from_bytes(noise(5000, 3))));
    add(&mut tree, "/owners/capable-small", meta.clone(), Kind::File(Content::from_bytes(noise(50, 3))));
    add(&mut tree, "/owners/capable-empty", meta.clone(), Kind::File(Content::from_bytes(*b"")));
    meta.xattrs.insert("user.large".into(), noise(9000, 4));
    meta.xattrs.insert("trusted.overlay.opaque".into(), b"y".to_vec());
    add(&mut tree, "/owners/large-attributes", meta.clone(), Kind::File(Content::from_bytes(noise(50, 3))));
    add(&mut tree, "/owners/large-attributes-folder", meta.clone(), Kind::Folder);
    add(&mut tree, "/owners/large-attributes-link", meta, Kind::Symlink("somewhere".into()));
    for (name, uid, gid) in [("a", 65535, 65535), ("b", 65536, 0), ("c", 0, 65536), ("d", u32::MAX, u32::MAX)] {
        let meta = Meta { uid, gid, ..Meta::root_owned(0o600) };
        add(&mut tree, &format!("/owners/{name}"), meta.clone(), Kind::File(Content::from_bytes(noise(100, 5))));
        add(&mut tree, &format!("/owners/{name}-folder/x"), meta, Kind::Fifo);
    }
    for (name, major, minor) in [("null", 1, 3), ("large", 4095, 0xf_ffff), ("loop", 7, 300)] {
        let meta = Meta::root_owned(0o666);
        add(&mut tree, &format!("/dev/c-{name}"), meta.clone(), Kind::CharDevice { major, minor });
        add(&mut tree, &format!("/dev/b-{name}"), meta, Kind::BlockDevice { major, minor });
    }
    file(&mut tree, "/hard/m-file", noise(10_000, 6));
    for name in ["a-link", "z-link"] {
        add(&mut tree, &format!("/hard/{name}"), Meta::root_owned(0o644), Kind::HardLink(path("/hard/m-file")));
    }
    tree
}

#[test]
fn everything_comes_back_through_our_reader() {
    let tree = menagerie();
    let (image, summary) = image_of(&tree, &options());
    let reader = reader_of(image).unwrap();
    assert_eq!(described(&reader.to_tree(NO_LIMIT).unwrap()), described(&tree));
    assert_eq!(reader.superblock().inodes, summary.inodes);
    assert_eq!(reader.superblock().label(), "slipway-test");
    for step in reader.walk() {
        assert_eq!(step.unwrap().1.mtime(), EPOCH);
    }
    assert!(matches!(reader.to_tree(1000), Err(ReadError::TooLarge { .. })));
}

#[test]
fn links_are_counted_as_the_kernel_shows_them() {
    let (image, _) = image_of(&menagerie(), &options());
    let reader = reader_of(image).unwrap();
    let inode = |at: &str| reader.lookup(&path(at)).unwrap().unwrap();
    assert_eq!(inode("/hard/m-file").links(), 3);
    assert_eq!(inode("/hard/m-file").nid(), inode("/hard/a-link").nid());
    assert_eq!(inode("/empty").links(), 2);
    assert_eq!(inode("/folders").links(), 62);
    assert_eq!(inode("/").links(), 2 + 9);
    assert!(!inode("/owners/a").is_extended() && inode("/owners/b").is_extended() && inode("/owners/c").is_extended());
    assert!(reader.lookup(&path("/empty/nothing")).unwrap().is_none());
    assert!(reader.lookup(&path("/hard/m-file/x")).unwrap().is_none());
}

#[test]
fn fsck_erofs_extracts_every_byte() {
    let tree = menagerie();
    let (image, _) = image_of(&tree, &options());
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("image"), image).unwrap();
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    // Extraction of devices and foreign attributes needs root: fsck reads all, then what is plain is compared.
    fsck(&place.path().join("image"), None);
    let mut plain = tree.clone();
    for special in ["/dev", "/owners"] {
        plain.remove(&path(special));
    }
    let (image, _) = image_of(&plain, &options());
    fs::write(place.path().join("image"), image).unwrap();
    fsck(&place.path().join("image"), Some(&root));
    for (at, node) in plain.iter() {
        let on_disk = root.join(at.as_str().trim_start_matches('/'));
        let found = fs::symlink_metadata(&on_disk).unwrap();
        match &node.kind {
            Kind::Folder => assert_eq!(fs::read_dir(&on_disk).unwrap().count(), plain.children(at).count()),
            Kind::File(content) => assert_eq!(Digest::of(&fs::read(&on_disk).unwrap()), content.digest(), "{at}"),
            Kind::Symlink(text) => assert_eq!(fs::read_link(&on_disk).unwrap().to_str(), Some(text.as_str())),
            Kind::HardLink(target) => {
                let content = plain.file(target).unwrap();
                assert_eq!(Digest::of(&fs::read(&on_disk).unwrap()), content.digest(), "{at}");
            }
            Kind::Fifo => assert!(found.file_type().is_fifo()),
            other => panic!("{at} is {other:?}"),
        }
        if !found.is_symlink() {
            assert_eq!(found.mtime(), i64::try_from(EPOCH).unwrap(), "{at}");
        }
    }
}

#[test]
fn an_independent_reader_sees_the_same() {
    let tree = menagerie();
    let (image, _) = image_of(&tree, &options());
    let erofs = EroFS::new(SliceImage::new(&image)).unwrap();
    for (at, node) in tree.iter() {
        let target = if let Kind::HardLink(target) = &node.kind { target } else { at };
        let node = tree.get(target).unwrap();
        if let Kind::File(content) = &node.kind {
            let mut opened = erofs.open(at.as_str()).unwrap();
            let mut bytes = Vec::new();
            opened.read_to_end(&mut bytes).unwrap();
            assert_eq!(Digest::of(&bytes), content.digest(), "{at}");
            let xattrs: BTreeMap<String, Vec<u8>> = erofs
                .xattrs(at.as_str())
                .unwrap()
                .iter()
                .map(|(name, value)| (String::from_utf8(name.clone()).unwrap(), value.clone()))
                .collect();
            assert_eq!(xattrs, node.meta.xattrs, "{at}");
        }
    }
}

#[test]
fn the_reader_reads_what_mkfs_erofs_writes() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    fs::create_dir_all(source.join("sub/deeper")).unwrap();
    for len in [0, 10, 4096, 5000, 70_000] {
        fs::write(source.join(format!("sub/of-{len}")), noise(len, 9)).unwrap();
    }
    fs::hard_link(source.join("sub/of-10"), source.join("sub/deeper/again")).unwrap();
    std::os::unix::fs::symlink("sub/of-10", source.join("link")).unwrap();
    for number in 0..500 {
        fs::write(source.join(format!("sub/deeper/{number}")), number.to_string()).unwrap();
    }
    let image = place.path().join("image");
    let made = Command::new("mkfs.erofs").args(["-T1", "--quiet"]).arg(&image).arg(&source).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let reader = reader_of(fs::read(&image).unwrap()).unwrap();
    let tree = reader.to_tree(NO_LIMIT).unwrap();
    assert_eq!(tree.len(), 1 + 2 + 5 + 2 + 500);
    assert_eq!(tree.file(&path("/sub/of-70000")).unwrap().to_vec().unwrap(), noise(70_000, 9));
    assert_eq!(tree.file(&path("/link")).unwrap().to_vec().unwrap(), noise(10, 9));
    assert_eq!(tree.file(&path("/sub/deeper/again")).unwrap().to_vec().unwrap(), noise(10, 9));
    assert_eq!(tree.file(&path("/sub/deeper/417")).unwrap().to_text().unwrap(), "417");
}

#[test]
fn extents_are_where_the_bytes_are() {
    let (image, summary) = image_of(&menagerie(), &options());
    let reader = reader_of(image.clone()).unwrap();
    let content = noise(12_345, 1);
    let inode = reader.lookup(&path("/files/of-12345")).unwrap().unwrap();
    let extents: Vec<_> = inode.extents().collect();
    assert_eq!((extents.len(), extents[0].len), (1, 12_345));
    assert!(extents[0].offset >= summary.data_start && extents[0].offset % BLOCK_SIZE == 0);
    let start = usize::try_from(extents[0].offset).unwrap();
    assert_eq!(image[start..start + content.len()], content);
    let mut middle = vec![0; 5000];
    reader.read_exact_at(&inode, &mut middle, 7000).unwrap();
    assert_eq!(middle, content[7000..12_000]);
    assert!(reader.read_exact_at(&inode, &mut middle, 7346).is_err());

    let small = reader.lookup(&path("/files/of-2048")).unwrap().unwrap();
    let extent = small.extents().next().unwrap();
    assert!(extent.len == 2048 && extent.offset < summary.data_start && extent.offset >= summary.inline_start);
    let mut text = String::new();
    reader
        .content(&reader.lookup(&path("/many/a-file-among-many-77")).unwrap().unwrap())
        .unwrap()
        .reader()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "77");
}

#[test]
fn a_small_change_dirties_few_blocks() {
    let tree = menagerie();
    let (old, _) = image_of(&tree, &WriteOptions { layout: Layout::default(), ..options() });
    let mut changed = tree.clone();
    file(&mut changed, "/files/new", *b"small");
    file(&mut changed, "/many/a-file-among-many-1000x", noise(9000, 20));
    let (new, _) = image_of(&changed, &WriteOptions { layout: Layout::default(), ..options() });
    let have: std::collections::HashSet<&[u8]> = old.chunks(4096).collect();
    let blocks: Vec<usize> = (0..new.len() / 4096).filter(|at| !have.contains(&new[at * 4096..][..4096])).collect();
    // Superblock, folders and addresses, the pieces of two zones around the new files, three blocks of new data.
    assert!(blocks.len() < 60, "{} of {} blocks: {blocks:?}", blocks.len(), new.len() / 4096);
}

#[test]
fn the_same_tree_gives_the_same_bytes_whatever_order_it_was_made_in() {
    let tree = menagerie();
    let mut backwards = RootTree::new();
    for (path, node) in tree.iter().collect::<Vec<_>>().into_iter().rev() {
        backwards.insert(path.clone(), node.clone()).unwrap();
    }
    for (path, node) in tree.iter() {
        backwards.get_mut(path).unwrap().meta = node.meta.clone();
    }
    assert_eq!(image_of(&tree, &options()).0, image_of(&backwards, &options()).0);
}

#[test]
fn foreign_bytes_are_refused() {
    assert!(matches!(reader_of(vec![0; 8192]), Err(ReadError::NotErofs)));
    assert!(matches!(reader_of(vec![0; 100]), Err(ReadError::NotErofs)));
    let (image, _) = image_of(&RootTree::new(), &options());
    let mut damaged = image.clone();
    damaged[1024 + 24] ^= 1;
    assert!(matches!(reader_of(damaged), Err(ReadError::Checksum)));
    assert!(matches!(reader_of(image[..image.len() - 4096].to_vec()), Err(ReadError::Truncated { .. })));
}

/// Takes the checksum flag away, so that damage gets past it.
fn without_checksum(image: &mut [u8]) {
    image[1024 + 8] = 0;
}

#[test]
fn folders_in_circles_end() {
    let mut tree = RootTree::new();
    tree.insert_folder(path("/a/b"), 0o755, Origin::Recipe).unwrap();
    let (mut image, _) = image_of(&tree, &options());
    without_checksum(&mut image);
    let reader = reader_of(image.clone()).unwrap();
    let [a, b] = ["/a", "/a/b"].map(|at| reader.lookup(&path(at)).unwrap().unwrap());
    // `/a` has the entries `.`, `..`, `b`: point the third to `/a` itself.
    let entry = usize::try_from(a.extents().next().unwrap().offset).unwrap() + 24;
    assert_eq!(image[entry..entry + 8], b.nid().value().to_le_bytes());
    image[entry..entry + 8].copy_from_slice(&a.nid().value().to_le_bytes());
    let reader = reader_of(image).unwrap();
    let steps: Vec<_> = reader.walk().collect();
    assert!(matches!(steps.last(), Some(Err(ReadError::BadFolder { .. }))), "{steps:?}");
    assert!(steps.len() == 3);
}
