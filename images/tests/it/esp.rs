//! The EFI system partition, judged by `fsck.vfat`.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Cursor, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use slipway_images::content::Content;
use slipway_images::disk::Region;
use slipway_images::esp::{
    EspEntry, EspOptions, FALLBACK_LOADER, FormatError, LOADER_CONF, ReadError, SYSTEMD_BOOT, VolumeLabel, format,
    list, read,
};

const MIB: u64 = 1 << 20;

fn options() -> EspOptions {
    let kernel: Vec<u8> = (0..3072_u32).flat_map(|block| [block.to_le_bytes()[0] | 1; 4096]).collect();
    let loader = Content::from_bytes(vec![0x5a; 120_000]);
    let files = vec![
        (FALLBACK_LOADER.to_owned(), loader.clone()),
        (SYSTEMD_BOOT.to_owned(), loader),
        (LOADER_CONF.to_owned(), Content::from_bytes(*b"timeout 0\n")),
        ("EFI/Linux/edge-web_2026.11.22+3.efi".to_owned(), Content::from_bytes(kernel)),
        ("EFI/Linux/a_1.efi".to_owned(), Content::from_bytes(*b"")),
    ];
    EspOptions { serial: 0x1234_abcd, label: VolumeLabel::ESP, files }
}

fn made(path: &Path, size: u64, options: &EspOptions) -> File {
    let mut file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(size).unwrap();
    format(&mut file, size, options).unwrap();
    file
}

#[test]
fn fsck_finds_no_fault_and_all_files_are_there() {
    let folder = tempfile::tempdir().unwrap();
    for mib in [34, 64, 128, 300, 512, 1024] {
        let path = folder.path().join(format!("esp-{mib}"));
        let mut esp = made(&path, mib * MIB, &options());
        let output = Command::new("fsck.vfat").arg("-nv").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{mib} MiB: {said}");
        assert!(!said.contains("Dirty") && !said.contains("differences"), "{said}");
        assert!(said.contains("32 bit entries") || said.contains("FAT32") || said.contains("32 bits"), "{said}");
        if mib == 512 {
            assert!(said.contains("4096 bytes per cluster"), "{said}");
        }
        let mut expected: Vec<EspEntry> =
            options().files.into_iter().map(|(path, content)| EspEntry { path, size: content.len() }).collect();
        expected.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(list(&mut esp).unwrap(), expected);
        for (path, content) in options().files {
            assert!(read(&mut esp, &path, 20 * MIB).unwrap() == content.to_vec().unwrap(), "{path}");
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn it_is_the_same_whenever_it_is_made_and_stays_sparse() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1"), folder.path().join("2"));
    let esp = made(&first, 64 * MIB, &options());
    made(&second, 64 * MIB, &options());
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap());
    assert!(esp.metadata().unwrap().blocks() * 512 < 14 * MIB);

    let bytes = std::fs::read(&first).unwrap();
    assert_eq!(bytes[67..71], 0x1234_abcd_u32.to_le_bytes());
    assert_eq!(&bytes[71..82], b"ESP        ");
    let entry = bytes.windows(11).position(|window| window == b"LOADER~1CON").unwrap();
    // Times of creation, access and writing, in DOS form: 1980-01-01 is 0x0021.
    assert_eq!(bytes[entry + 13..entry + 20], [0, 0, 0, 0x21, 0, 0x21, 0]);
    assert_eq!(bytes[entry + 22..entry + 26], [0, 0, 0x21, 0]);
}

#[test]
fn in_a_region_of_a_disk_nothing_else_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let mut disk = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    disk.write_all(&vec![0xee; 1 << 20]).unwrap();
    disk.set_len(70 * MIB).unwrap();
    disk.seek(std::io::SeekFrom::Start(65 * MIB)).unwrap();
    disk.write_all(&[0xee; 4096]).unwrap();
    format(&mut Region::new(&mut disk, MIB..65 * MIB), 64 * MIB, &options()).unwrap();
    assert_eq!(list(&mut Region::new(&mut disk, MIB..65 * MIB)).unwrap().len(), 5);
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes[..1 << 20].iter().chain(&bytes[65 << 20..(65 << 20) + 4096]).all(|&byte| byte == 0xee));
}

#[test]
fn what_would_not_fit_or_not_be_found_again_is_refused() {
    let try_with = |size, files: &[(&str, usize)]| {
        let content = |&(path, len): &(&str, usize)| (path.to_owned(), Content::from_bytes(vec![1; len]));
        let options = EspOptions { files: files.iter().map(content).collect(), ..options() };
        format(&mut Cursor::new(Vec::new()), size, &options).unwrap_err()
    };
    for bad in ["/EFI", "EFI//x", "EFI/../x", "EFI/x.", "EFI/a:b", "EFI/\\x", "", "EFI/ü"] {
        assert!(matches!(try_with(64 * MIB, &[(bad, 1)]), FormatError::Path(_)), "{bad}");
    }
    assert!(matches!(try_with(64 * MIB, &[("EFI/x", 1), ("efi/X", 1)]), FormatError::Path(_)));
    assert!(matches!(try_with(16 * MIB, &[]), FormatError::Size(_)));
    assert!(matches!(try_with(64 * MIB + 1, &[]), FormatError::Size(_)));
    let error = try_with(40 * MIB, &[("EFI/Linux/a_1.efi", 20 << 20), ("EFI/Linux/a_2.efi", 20 << 20)]);
    assert!(matches!(&error, FormatError::Full { path, .. } if path == "EFI/Linux/a_2.efi"), "{error}");
}

#[test]
fn a_file_is_read_up_to_the_limit_and_no_further() {
    let mut esp = Cursor::new(vec![0; 64 << 20]);
    format(&mut esp, 64 * MIB, &options()).unwrap();
    assert!(matches!(read(&mut esp, SYSTEMD_BOOT, 119_999), Err(ReadError::TooLarge { size: 120_000, .. })));
    assert!(matches!(read(&mut esp, "EFI/none", 10), Err(ReadError::Path { .. })));
    assert!(matches!(list(&mut Cursor::new(vec![0; 1 << 20])), Err(ReadError::BootSector(_))));
}

#[test]
fn a_folder_that_runs_in_a_circle_has_an_end() {
    let mut esp = Cursor::new(vec![0; 64 << 20]);
    let many =
        (0..40).map(|index| (format!("a-long-name-that-takes-several-entries-{index}"), Content::from_bytes(*b"x")));
    format(&mut esp, 64 * MIB, &EspOptions { files: many.collect(), ..options() }).unwrap();
    let mut bytes = esp.into_inner();
    let reserved = usize::from(u16::from_le_bytes([bytes[14], bytes[15]]));
    // The root folder's first cluster follows itself; at first with its files, then with nothing but deleted entries.
    let entry = reserved * 512 + 4 * 2;
    bytes[entry..entry + 4].copy_from_slice(&2_u32.to_le_bytes());
    assert!(matches!(list(&mut Cursor::new(bytes.clone())), Err(ReadError::TooMany)));
    let per_table = u32::from_le_bytes(bytes[36..40].try_into().unwrap()) as usize;
    let root = (reserved + 2 * per_table) * 512;
    for index in 0..usize::from(bytes[13]) * 512 / 32 {
        bytes[root + 32 * index] = 0xe5;
    }
    let error = list(&mut Cursor::new(bytes)).unwrap_err();
    assert!(matches!(error, ReadError::Path { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_the_reader_panic_or_hang(
        boot in prop::collection::vec((0_usize..96, any::<u8>()), 0..4),
        body in prop::collection::vec((0_usize..1_200_000, any::<u8>()), 0..200),
    ) {
        static ESP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let esp = ESP.get_or_init(|| {
            let mut esp = Cursor::new(vec![0; 36 << 20]);
            let files = options().files.into_iter().filter(|(_, content)| content.len() < MIB).collect();
            format(&mut esp, 36 * MIB, &EspOptions { files, ..options() }).unwrap();
            esp.into_inner()
        });
        let mut bytes = esp.clone();
        for (place, byte) in boot.into_iter().chain(body) {
            bytes[place] = byte;
        }
        let mut device = Cursor::new(bytes);
        let _ = list(&mut device);
        let _ = read(&mut device, SYSTEMD_BOOT, MIB);
    }
}
