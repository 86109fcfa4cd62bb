//! The initrd's archive, read back field by field. That the kernel takes it is seen when it boots.

#![allow(clippy::unwrap_used)]

use slipway_images::cpio::{Cpio, CpioError, compress};
use slipway_images::tree::TreePath;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn archive() -> Vec<u8> {
    let mut cpio = Cpio::new();
    cpio.folder(&path("/dev"), 0o755).unwrap();
    cpio.char_device(&path("/dev/console"), 0o600, 5, 1).unwrap();
    cpio.file(&path("/init"), 0o755, b"#!hello").unwrap();
    cpio.symlink(&path("/dev/link"), "../init").unwrap();
    cpio.finish()
}

/// Lists `mode links size major:minor name content` of each entry, as the specification of the form has it.
fn listing(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(&bytes[..6], b"070701");
        let field = |index: usize| {
            let text = std::str::from_utf8(&bytes[6 + 8 * index..14 + 8 * index]).unwrap();
            usize::from_str_radix(text, 16).unwrap()
        };
        let [inode, mode, uid, gid, nlink, time, size] = std::array::from_fn(field);
        let (major, minor, name_size) = (field(9), field(10), field(11));
        assert_eq!((uid, gid, time, field(7), field(8), field(12)), (0, 0, 0, 0, 0, 0));
        let name = std::str::from_utf8(&bytes[110..110 + name_size]).unwrap().strip_suffix('\0').unwrap();
        let start = (110 + name_size).next_multiple_of(4);
        let content = String::from_utf8_lossy(&bytes[start..start + size]).into_owned();
        lines.push(format!("{inode} {mode:o} {nlink} {major}:{minor} {name} {content}"));
        bytes = &bytes[(start + size).next_multiple_of(4)..];
    }
    lines
}

#[test]
fn the_archive_says_what_was_put_in() {
    assert_eq!(
        listing(&archive()),
        [
            "1 40755 2 0:0 dev ",
            "2 20600 1 5:1 dev/console ",
            "3 100755 1 0:0 init #!hello",
            "4 120777 1 0:0 dev/link ../init",
            "0 0 1 0:0 TRAILER!!! ",
        ]
    );
}

#[test]
fn the_compressed_archive_is_always_the_same_and_unpacks_to_the_archive() {
    let compressed = compress(&archive()).unwrap();
    assert_eq!(compressed, compress(&archive()).unwrap());
    assert_eq!(zstd::decode_all(compressed.as_slice()).unwrap(), archive());
}

#[test]
fn what_the_kernel_would_drop_silently_is_refused() {
    let mut cpio = Cpio::new();
    assert_eq!(cpio.file(&path("/a/b"), 0o644, b"").unwrap_err(), CpioError::NoParent(path("/a/b")));
    cpio.file(&path("/a"), 0o644, b"").unwrap();
    assert_eq!(cpio.file(&path("/a/b"), 0o644, b"").unwrap_err(), CpioError::NoParent(path("/a/b")));
    assert_eq!(cpio.folder(&path("/a"), 0o755).unwrap_err(), CpioError::Duplicate(path("/a")));
    assert_eq!(cpio.folder(&TreePath::root(), 0o755).unwrap_err(), CpioError::Root);
    let long = path(&format!("/{}", "x".repeat(4095)));
    assert_eq!(cpio.file(&long, 0o644, b"").unwrap_err(), CpioError::TooLarge(long));
}
