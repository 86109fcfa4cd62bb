//! Files that are larger than memory, and what the format cannot hold.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use slipway_images::content::{Content, ReadAt};
use slipway_images::digest::Digest;
use slipway_images::erofs::{ErofsError, Reader, write};
use slipway_images::tree::{Kind, Meta, RootTree};

use super::{add, file, noise, options, path};

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
