//! The EROFS writer against `fsck.erofs` and an independent reader, our reader against `mkfs.erofs`, both against
//! each other, and our reader against damage.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use erofs_rs::EroFS;
use erofs_rs::backend::SliceImage;
use proptest::prelude::*;
use slipway_images::content::{Content, ReadAt};
use slipway_images::digest::Digest;
use slipway_images::erofs::{
    BLOCK_SIZE, ErofsError, ErofsSummary, FileType, Layout, ReadError, Reader, WriteOptions, measure, write,
};
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
            io::Read::read_to_end(&mut opened, &mut bytes).unwrap();
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

/// Zeros without end, to make large files of.
struct Zeros;

impl ReadAt for Zeros {
    fn read_exact_at(&self, buf: &mut [u8], _: u64) -> io::Result<()> {
        buf.fill(0);
        Ok(())
    }
}

fn large(len: u64) -> Kind {
    Kind::File(Content::from_extent(Arc::new(Zeros), 0, len, Digest::from_bytes([0; 32])))
}

#[test]
fn a_file_of_five_gigabytes_moves_the_next_one_behind_it() {
    let mut tree = RootTree::new();
    let len = 5 * (1_u64 << 30) + 123;
    add(&mut tree, "/a-large", Meta::root_owned(0o644), large(len));
    file(&mut tree, "/b", noise(5000, 1));
    let place = tempfile::NamedTempFile::new().unwrap();
    let mut out = SparseWriter(place.reopen().unwrap());
    let summary = write(&tree, &options(), &mut out, &mut |_| ()).unwrap();
    out.0.set_len(summary.len).unwrap();
    fsck_metadata(place.path());
    let reader = Reader::open(Arc::new(place.reopen().unwrap()), summary.len).unwrap();
    let inode = reader.lookup(&path("/a-large")).unwrap().unwrap();
    assert!(inode.size() == len && inode.is_extended());
    let next = reader.lookup(&path("/b")).unwrap().unwrap();
    assert!(next.extents().next().unwrap().offset > 5 << 30);
    assert_eq!(reader.read(&next, 5000).unwrap(), noise(5000, 1));
}

/// `fsck.erofs` without reading the files.
fn fsck_metadata(image: &Path) {
    let output = Command::new("fsck.erofs").arg(image).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// Leaves holes for zeros.
struct SparseWriter(fs::File);

impl io::Write for SparseWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if ZEROS.starts_with(bytes) {
            io::Seek::seek_relative(&mut self.0, i64::try_from(bytes.len()).unwrap())?;
            return Ok(bytes.len());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn what_erofs_cannot_hold_is_refused_by_name() {
    let refused = |at: &str, meta: Meta, kind: Kind| {
        let mut tree = RootTree::new();
        add(&mut tree, at, meta, kind);
        write(&tree, &options(), &mut Vec::new(), &mut |_| ()).unwrap_err()
    };
    let meta = || Meta::root_owned(0o644);
    assert!(matches!(refused(&format!("/{}", "x".repeat(256)), meta(), Kind::Fifo), ErofsError::NameTooLong(_)));
    assert!(matches!(refused(&"/x".repeat(2048), meta(), Kind::Fifo), ErofsError::PathTooLong(_)));
    assert!(matches!(refused("/x", meta(), Kind::Symlink(String::new())), ErofsError::BadSymlink(_)));
    assert!(matches!(refused("/x", meta(), Kind::Symlink("x".repeat(4096))), ErofsError::BadSymlink(_)));
    assert!(matches!(refused("/x", Meta::root_owned(0o10_644), Kind::Fifo), ErofsError::BadMode { .. }));
    let device = Kind::CharDevice { major: 4096, minor: 0 };
    assert!(matches!(refused("/x", meta(), device), ErofsError::BadDevice { .. }));
    assert!(matches!(refused("/x", meta(), Kind::HardLink(path("/y"))), ErofsError::Tree(_)));
    assert!(matches!(refused("/x", meta(), large(u64::MAX)), ErofsError::TooLarge(_)));
    assert!(matches!(refused("/x", meta(), large(1 << 44)), ErofsError::TooLarge(_)));
    let mut odd = meta();
    odd.xattrs.insert("unknown.name".into(), Vec::new());
    let error = refused("/x", odd, Kind::Fifo);
    assert!(error.to_string().contains("unknown.name") && error.to_string().contains("/x"), "{error}");
    let short = Content::from_extent(Arc::new(vec![0_u8; 10]), 0, 5000, Digest::from_bytes([0; 32]));
    assert!(matches!(refused("/x", meta(), Kind::File(short)), ErofsError::Content { .. }));
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
