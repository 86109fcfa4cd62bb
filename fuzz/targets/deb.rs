//! Packages of a hostile repository, and a damaged cache of unpacked ones. What is unpacked has the digests that it says, and comes
//! out of the cache as it went in; a damaged cache is noticed.
//!
//! The first byte says what is damaged: the `.deb`, the tar of its data or of its control files, the cache.

#![no_main]

use std::fs;
use std::io::Write;

use libfuzzer_sys::fuzz_target;
use slipway_builder::deb::{Package, UnpackedCache};
use slipway_builder::progress::Silent;
use slipway_fuzz::{damaged, first};
use slipway_images::digest::Digest;
use slipway_images::tree::Kind;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

fuzz_target!(|input: &[u8]| {
    let Some((kind, changes)) = input.split_first() else { return };
    first(|| assert!([0, 4, 8, 12].iter().all(|kind| unpacked(*kind, &[]))));
    unpacked(*kind, changes);
});

/// Whether there was something to unpack.
fn unpacked(kind: u8, changes: &[u8]) -> bool {
    let hurt = |number: u8, good: Vec<u8>| if kind & 3 == number { damaged(&good, changes) } else { good };
    let (control, data) = (hurt(0, control()), hurt(1, data()));
    let (suffix, data) = match kind >> 2 & 3 {
        0 => ("", data),
        1 => (".gz", gzip(&data)),
        2 => (".xz", liblzma::encode_all(&data[..], 0).expect("memory takes it")),
        _ => (".zst", zstd::encode_all(&data[..], 1).expect("memory takes it")),
    };
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", gzip(&control)),
        (&format!("data.tar{suffix}"), data),
    ];
    let deb = hurt(2, ar(&members));

    // In memory, as nearly every machine has it.
    let folder = TempDir::new_in("/dev/shm").expect("there is a file system in memory");
    let (path, digest) = (folder.path().join("x.deb"), Digest::of(&deb));
    fs::write(&path, deb).expect("the file system has room");
    let cache = UnpackedCache::open(folder.path()).expect("the file system has room");
    let Ok(package) = Package::open(&path, digest, &cache, &Silent) else { return false };
    if kind & 3 == 3 {
        let kept = cache.path_of(digest);
        let bytes = damaged(&fs::read(&kept).expect("it is there"), changes);
        fs::write(kept, bytes).expect("the file system has room");
    }
    let again = Package::open(&path, digest, &cache, &Silent).expect("it was opened before");
    assert_eq!((&package.name, &package.control, &package.scripts), (&again.name, &again.control, &again.scripts));
    assert_eq!(package.entries.len(), again.entries.len());
    for ((path, node), (other_path, other)) in package.entries.iter().zip(&again.entries) {
        assert_eq!((path, &node.meta, &node.kind), (other_path, &other.meta, &other.kind));
        if let Kind::File(content) = &other.kind {
            assert_eq!(Digest::of(&content.to_vec().expect("it can be read")), content.digest());
        }
    }
    true
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn ar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, data) in members {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len()).bytes());
        bytes.extend(data);
        bytes.extend(std::iter::repeat_n(b'\n', data.len() % 2));
    }
    bytes
}

fn control() -> Vec<u8> {
    let control =
        "Package: demo\nVersion: 1:2-3\nArchitecture: amd64\nDepends: libc6 (>= 2.41)\nDescription: short\n more\n";
    tar_of(&[
        (EntryType::Directory, "./", ""),
        (EntryType::Regular, "./control", control),
        (EntryType::Regular, "./postinst", "#!/bin/sh\nset -e\nldconfig\n"),
        (EntryType::Regular, "./conffiles", "/etc/demo\n"),
    ])
}

fn data() -> Vec<u8> {
    tar_of(&[
        (EntryType::Directory, "./usr/bin/", ""),
        (EntryType::Regular, "./usr/bin/demo", "#!/bin/sh\n"),
        (EntryType::Link, "./usr/bin/other", "./usr/bin/demo"),
        (EntryType::Symlink, "./bin/link", "../usr/bin/demo"),
        (EntryType::XHeader, "./pax", "31 SCHILY.xattr.user.a=abcdefg\n"),
        (EntryType::Regular, "./etc/demo", "x=1\n"),
    ])
}

fn tar_of(members: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, text) in members {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        let content = if is_link { b"" } else { text.as_bytes() };
        if is_link {
            header.set_link_name_literal(text).expect("it is short");
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("memory takes it");
    }
    builder.into_inner().expect("memory takes it")
}
