#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::recipe::Ownership;

fn lock() -> Lock {
    Lock {
        lock_version: 1,
        request: Digest::of(b""),
        epoch: 0,
        users: BTreeMap::from([("web".to_owned(), 900)]),
        groups: BTreeMap::from([("web".to_owned(), 901)]),
        packages: Vec::new(),
    }
}

fn tar_of(members: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, text) in members {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o750);
        header.set_uid(77);
        header.set_gid(77);
        let content = if *kind == EntryType::Regular { text.as_bytes() } else { b"" };
        header.set_size(content.len() as u64);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name_literal(text).unwrap();
        }
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn extract(bytes: &[u8], strip: usize) -> Result<Vec<(TreePath, Node)>, DownloadError> {
    get(bytes, DownloadTarget::Extract { folder: TreePath::new("/opt/tool").unwrap(), strip }, "web")
}

fn get(bytes: &[u8], target: DownloadTarget, owner: &str) -> Result<Vec<(TreePath, Node)>, DownloadError> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, bytes).unwrap();
    let ownership = Ownership { owner: owner.to_owned(), group: "web".to_owned(), mode: 0o700 };
    let download = Download { url: "https://example.org/x".to_owned(), sha256: Digest::of(bytes), target, ownership };
    entries(&download, &file, &lock(), folder.path())
}

fn release() -> Vec<u8> {
    tar_of(&[
        (EntryType::Directory, "tool-1.0/", ""),
        (EntryType::Regular, "tool-1.0/bin/tool", "binary"),
        (EntryType::Link, "tool-1.0/bin/alias", "tool-1.0/bin/tool"),
        (EntryType::Symlink, "tool-1.0/current", "bin"),
    ])
}

#[test]
fn archives_of_every_compression_are_unpacked_and_stripped() {
    let plain = release();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let packed =
        [gzip.finish().unwrap(), liblzma::encode_all(&plain[..], 1).unwrap(), zstd::encode_all(&plain[..], 1).unwrap()];
    let expected = extract(&plain, 1).unwrap();
    let names: Vec<&str> = expected.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(names, ["/opt/tool/bin", "/opt/tool/bin/alias", "/opt/tool/bin/tool", "/opt/tool/current"]);
    let (_, tool) = &expected[2];
    assert_eq!((tool.meta.uid, tool.meta.gid, tool.meta.mode), (900, 901, 0o750));
    let Kind::File(content) = &tool.kind else { panic!() };
    assert_eq!(content.to_text().unwrap(), "binary");
    assert_eq!(expected[1].1.kind, Kind::HardLink(expected[2].0.clone()));
    assert_eq!(expected[1].1.meta, tool.meta);
    for bytes in packed {
        assert_eq!(extract(&bytes, 1).unwrap(), expected);
    }
}

#[test]
fn a_single_file_gets_the_mode_of_the_recipe() {
    let path = TreePath::new("/usr/bin/k3s").unwrap();
    let made = get(b"binary", DownloadTarget::File(path.clone()), "12").unwrap();
    assert_eq!(made[0].0, path);
    assert_eq!((made[0].1.meta.uid, made[0].1.meta.mode), (12, 0o700));
    let unknown = get(b"binary", DownloadTarget::File(path), "nobody-knows").unwrap_err().to_string();
    assert!(unknown.contains("`nobody-knows`"), "{unknown}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let refusal = |members: &[(EntryType, &str, &str)]| extract(&tar_of(members), 0).unwrap_err();
    let through = refusal(&[(EntryType::Symlink, "x", "/etc"), (EntryType::Regular, "x/passwd", "")]);
    assert!(matches!(through, DownloadError::Tree { .. }), "{through}");
    let climbs = refusal(&[(EntryType::Regular, "a/../../x", "")]);
    assert!(matches!(climbs, DownloadError::Archive { .. }), "{climbs}");
    assert!(refusal(&[(EntryType::Fifo, "x", "")]).to_string().contains("pipe"));
    assert!(refusal(&[(EntryType::Link, "x", "y")]).to_string().contains("no file before it"));
    assert!(extract(&release(), 9).unwrap_err().to_string().contains("strip = 9"));
    assert!(extract(b"PK\x03\x04 this is a zip archive", 0).unwrap_err().to_string().contains("tar archive"));
}

#[test]
fn another_file_than_the_recipe_names_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"other").unwrap();
    let ownership = Ownership { owner: "root".to_owned(), group: "root".to_owned(), mode: 0o755 };
    let target = DownloadTarget::File(TreePath::new("/x").unwrap());
    let download = Download { url: "file:///x".to_owned(), sha256: Digest::of(b"named"), target, ownership };
    assert!(matches!(entries(&download, &file, &lock(), folder.path()), Err(DownloadError::Digest { .. })));
}
