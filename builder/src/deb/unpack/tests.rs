#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::process::Command;

use md5::Digest as _;
use proptest::prelude::*;
use slipway_images::tree::{Kind, TreePath};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::progress::Silent;

struct Workshop {
    folder: TempDir,
    cache: UnpackedCache,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = UnpackedCache::open(&folder.path().join("cache")).unwrap();
        Self { folder, cache }
    }

    fn write(&self, deb: &[u8]) -> (PathBuf, Digest) {
        let path = self.folder.path().join("x.deb");
        fs::write(&path, deb).unwrap();
        (path, Digest::of(deb))
    }

    fn open(&self, deb: &[u8]) -> Result<Package, DebError> {
        let (path, sha256) = self.write(deb);
        Package::open(&path, sha256, &self.cache, &Silent)
    }

    fn refusal(&self, deb: &[u8]) -> String {
        self.open(deb).unwrap_err().to_string()
    }
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, data) in members {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len()).bytes());
        bytes.extend(*data);
        bytes.extend(std::iter::repeat_n(b'\n', data.len() % 2));
    }
    bytes
}

/// A tar of (kind, name, content or link text).
fn tar_of(members: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, text) in members {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
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

const CONTROL: &str = "Package: demo\nVersion: 1:2-3\nDescription: short\n more\n .\n end\n";

fn deb(data: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let control = tar_of(&[
        (EntryType::Regular, "./control", CONTROL),
        (EntryType::Regular, "./postinst", "#!/bin/sh\n"),
        (EntryType::Regular, "./conffiles", "/etc/x\n"),
    ]);
    let control = liblzma::encode_all(&control[..], 1).unwrap();
    let data = zstd::encode_all(&tar_of(data)[..], 1).unwrap();
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &control), ("data.tar.zst", &data)])
}

fn kinds(package: &Package) -> Vec<(&str, &Kind)> {
    package.entries.iter().map(|(path, node)| (path.as_str(), &node.kind)).collect()
}

#[test]
fn every_file_of_a_package_by_dpkg_deb_has_the_md5_that_it_says() {
    let workshop = Workshop::new();
    let root = workshop.folder.path().join("root");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    fs::create_dir_all(root.join("usr/share/demo")).unwrap();
    let mut sums = String::new();
    for (index, len) in [0usize, 1, 511, 512, 4096, 300_000].into_iter().enumerate() {
        let data: Vec<u8> = (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let path = format!("usr/share/demo/{index}");
        fs::write(root.join(&path), &data).unwrap();
        sums.push_str(&[&hex::encode(md5::Md5::digest(&data)), "  ", &path, "\n"].concat());
    }
    fs::hard_link(root.join("usr/share/demo/5"), root.join("usr/share/demo/hard")).unwrap();
    symlink("5", root.join("usr/share/demo/soft")).unwrap();
    fs::set_permissions(root.join("usr/share/demo/1"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::write(root.join("DEBIAN/md5sums"), &sums).unwrap();
    let control = "Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n";
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    for compression in ["none", "gzip", "xz", "zstd"] {
        let path = workshop.folder.path().join(format!("{compression}.deb"));
        let status = Command::new("dpkg-deb")
            .args(["--root-owner-group", "-b", &format!("-Z{compression}"), "--uniform-compression"])
            .args([&root, &path])
            .output();
        let Ok(output) = status else { return };
        assert!(output.status.success(), "{output:?}");
        let sha256 = Digest::of(&fs::read(&path).unwrap());
        // Once from the `.deb`, once from the cache.
        let cold = Package::open(&path, sha256, &workshop.cache, &Silent).unwrap();
        fs::remove_file(&path).unwrap();
        let warm = Package::open(&path, sha256, &workshop.cache, &Silent).unwrap();
        assert_eq!(cold.entries, warm.entries);
        assert_eq!(cold.control, warm.control);
        let files: HashMap<&str, _> = warm.entries.iter().map(|(path, node)| (path.as_str(), node)).collect();
        for line in warm.control_files["md5sums"].lines() {
            let (md5, name) = line.split_once("  ").unwrap();
            let mut kind = &files[format!("/{name}").as_str()].kind;
            if let Kind::HardLink(target) = kind {
                kind = &files[target.as_str()].kind;
            }
            let Kind::File(content) = kind else { panic!("{name}") };
            assert_eq!(hex::encode(md5::Md5::digest(content.to_vec().unwrap())), md5, "{name}");
        }
        assert_eq!(files["/usr/share/demo/1"].meta.mode, 0o4750);
        assert_eq!(files["/usr/share/demo/soft"].kind, Kind::Symlink("5".into()));
        let links = files.values().filter(|node| matches!(node.kind, Kind::HardLink(_))).count();
        assert_eq!(links, 1);
    }
}

#[test]
fn control_files_and_scripts_are_told_apart() {
    let package = Workshop::new().open(&deb(&[])).unwrap();
    assert_eq!((&*package.name, package.version.as_str()), ("demo", "1:2-3"));
    assert_eq!(package.control["Description"], "short\n more\n .\n end");
    assert_eq!(package.scripts.keys().collect::<Vec<_>>(), ["postinst"]);
    assert_eq!(package.control_files["conffiles"], "/etc/x\n");
}

#[test]
fn what_lies_in_lib_and_bin_goes_to_usr() {
    let package = Workshop::new()
        .open(&deb(&[
            (EntryType::Directory, "./", ""),
            (EntryType::Directory, "./lib/", ""),
            (EntryType::Directory, "./lib/x/", ""),
            (EntryType::Regular, "./lib/x/a", "1"),
            (EntryType::Link, "./sbin/b", "./lib/x/a"),
            (EntryType::Symlink, "./lib64", "usr/lib64"),
            (EntryType::Directory, "./usr/lib/x/", ""),
            (EntryType::Regular, "./library", ""),
        ]))
        .unwrap();
    let found = kinds(&package);
    let names: Vec<&str> = found.iter().map(|(path, _)| *path).collect();
    assert_eq!(names, ["/", "/usr/lib/x", "/usr/lib/x/a", "/usr/sbin/b", "/lib64", "/library"]);
    assert_eq!(found[3].1, &Kind::HardLink(TreePath::new("/usr/lib/x/a").unwrap()));
}

#[test]
fn archives_that_contradict_themselves_are_refused() {
    let workshop = Workshop::new();
    let through_link = deb(&[(EntryType::Symlink, "./x", "/etc"), (EntryType::Regular, "./x/passwd", "")]);
    assert!(workshop.refusal(&through_link).contains("below `/x`, which is no folder"));
    let twice = deb(&[(EntryType::Regular, "./lib/a", ""), (EntryType::Regular, "./usr/lib/a", "")]);
    assert!(workshop.refusal(&twice).contains("`/usr/lib/a` twice"));
    let kinds = deb(&[(EntryType::Directory, "./a", ""), (EntryType::Regular, "./a", "")]);
    assert!(workshop.refusal(&kinds).contains("twice"));
    let nothing = deb(&[(EntryType::Link, "./a", "./b")]);
    assert!(workshop.refusal(&nothing).contains("no file before it"));
    let climbs = deb(&[(EntryType::Regular, "./../a", "")]);
    assert!(matches!(workshop.open(&climbs), Err(DebError::Archive { .. })));
}

#[test]
fn files_that_are_no_package_are_refused() {
    let workshop = Workshop::new();
    assert!(workshop.refusal(b"hello, this is no package").contains("no Debian package"));
    let old = ar(&[("debian-binary", b"0.939000\n")]);
    assert!(workshop.refusal(&old).contains("other than 2.0"));
    let no_data =
        ar(&[("debian-binary", b"2.0\n"), ("control.tar", &tar_of(&[(EntryType::Regular, "control", CONTROL)]))]);
    assert!(workshop.refusal(&no_data).contains("no `data.tar`"));
    let foreign = ar(&[("debian-binary", b"2.0\n"), ("control.tar.lz", b""), ("data.tar", b"")]);
    assert!(matches!(workshop.open(&foreign), Err(DebError::Archive { .. })));
    let (path, _) = workshop.write(&deb(&[]));
    let wrong = Package::open(&path, Digest::of(b""), &workshop.cache, &Silent).unwrap_err();
    assert!(matches!(wrong, DebError::Digest { .. }));
}

#[test]
fn a_damaged_cache_is_noticed_and_made_again() {
    let workshop = Workshop::new();
    let bytes = deb(&[(EntryType::Regular, "./a", "content of a file")]);
    let package = workshop.open(&bytes).unwrap();
    let cached = workshop.cache.path_of(Digest::of(&bytes));
    let whole = fs::read(&cached).unwrap();
    for at in [0, 40, whole.len() - 50, whole.len() - 1] {
        let file = File::options().write(true).open(&cached).unwrap();
        file.write_all_at(&[whole[at] ^ 1], at as u64).unwrap();
        assert!(workshop.cache.load(Digest::of(&bytes)).is_err(), "damage at {at}");
        assert_eq!(workshop.open(&bytes).unwrap().entries, package.entries);
        assert_eq!(fs::read(&cached).unwrap(), whole);
    }
    for len in [0, 47, whole.len() / 2] {
        fs::write(&cached, &whole[..len]).unwrap();
        assert_eq!(workshop.open(&bytes).unwrap().entries, package.entries);
    }
    // Another package under this name.
    fs::write(workshop.cache.path_of(Digest::of(b"other")), &whole).unwrap();
    assert!(workshop.cache.load(Digest::of(b"other")).is_err());
}

#[test]
fn many_are_opened_at_once_in_the_order_asked_for_and_one_bad_stops_all() {
    let workshop = Workshop::new();
    let mut debs: Vec<(PathBuf, Digest)> = Vec::new();
    for index in 0..20usize {
        let bytes = deb(&[(EntryType::Regular, "./a", &"x".repeat(index * 1000 % 7777))]);
        let path = workshop.folder.path().join(format!("{index}.deb"));
        fs::write(&path, &bytes).unwrap();
        debs.push((path, Digest::of(&bytes)));
    }
    let packages = unpack_all(&debs, &workshop.cache, &Silent).unwrap();
    for (index, package) in packages.iter().enumerate() {
        let Kind::File(content) = &package.entries[0].1.kind else { panic!() };
        assert_eq!(content.len(), index as u64 * 1000 % 7777);
    }
    debs[7].1 = Digest::of(b"wrong");
    assert!(unpack_all(&debs, &workshop.cache, &Silent).is_err());
}

#[test]
fn what_a_killed_build_left_is_swept_after_a_day() {
    let workshop = Workshop::new();
    let left = workshop.cache.path_of(Digest::of(b"")).with_file_name(".partial-old");
    let file = File::create(&left).unwrap();
    UnpackedCache::open(&workshop.folder.path().join("cache")).unwrap();
    assert!(left.exists());
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_hours(25)).unwrap();
    UnpackedCache::open(&workshop.folder.path().join("cache")).unwrap();
    assert!(!left.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn damaged_packages_never_panic(at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let workshop = Workshop::new();
        let control = tar_of(&[(EntryType::Regular, "./control", CONTROL)]);
        let data = tar_of(&[(EntryType::Regular, "./a", "1"), (EntryType::Link, "./b", "./a")]);
        let mut bytes = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)]);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = workshop.open(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = workshop.open(&bytes);
    }
}
