//! Unified kernel images, judged by `objdump`, `sbsign` and `sbverify`.
//!
//! The stub and the kernel are small PE files made here; the real ones are put together and booted in the end-to-end tests.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use proptest::prelude::*;
use slipway_images::uki::{AssembleError, UkiError, UkiParts, assemble, sections};

/// A PE32+ EFI application for x86-64 with these sections, one page of addresses each, headers of `headers` bytes.
fn pe(sections: &[(&str, &[u8])], headers: usize) -> Vec<u8> {
    let mut file = vec![0; headers];
    let mut put = |offset: usize, bytes: &[u8]| file[offset..offset + bytes.len()].copy_from_slice(bytes);
    let count = u16::try_from(sections.len()).unwrap();
    put(0, b"MZ");
    put(0x3c, &0x80_u32.to_le_bytes());
    put(0x80, b"PE\0\0");
    put(0x84, &0x8664_u16.to_le_bytes());
    put(0x86, &count.to_le_bytes());
    put(0x94, &240_u16.to_le_bytes());
    put(0x96, &0x22e_u16.to_le_bytes());
    let optional = 0x98;
    put(optional, &0x20b_u16.to_le_bytes());
    put(optional + 16, &0x1000_u32.to_le_bytes());
    put(optional + 32, &0x1000_u32.to_le_bytes());
    put(optional + 36, &0x200_u32.to_le_bytes());
    put(optional + 56, &(0x1000 * (u32::from(count) + 1)).to_le_bytes());
    put(optional + 60, &u32::try_from(headers).unwrap().to_le_bytes());
    put(optional + 68, &10_u16.to_le_bytes());
    put(optional + 108, &16_u32.to_le_bytes());
    let table = optional + 240;
    let mut data = Vec::new();
    for (index, (name, content)) in sections.iter().enumerate() {
        let raw = content.len().next_multiple_of(0x200);
        let mut header = [0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let address = 0x1000 * (index + 1);
        for (offset, value) in [(8, content.len()), (12, address), (16, raw), (20, headers + data.len())] {
            header[offset..offset + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
        }
        header[36..40].copy_from_slice(&0x4000_0040_u32.to_le_bytes());
        put(table + 40 * index, &header);
        data.extend_from_slice(content);
        data.resize(data.len().next_multiple_of(0x200), 0);
    }
    file.extend(data);
    file
}

fn stub() -> Vec<u8> {
    let sbat = b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\nsystemd-stub,1,x\n";
    pe(&[(".text", &[0xcc; 700]), (".sbat", sbat), (".reloc", &[1; 12])], 0x400)
}

fn kernel() -> Vec<u8> {
    pe(&[(".text", &[0x90; 5000][..4000])], 0x400)
}

struct Made {
    stub: Vec<u8>,
    kernel: Vec<u8>,
}

impl Made {
    fn new() -> Self {
        Self { stub: stub(), kernel: kernel() }
    }

    fn parts(&self) -> UkiParts<'_> {
        UkiParts {
            stub: &self.stub,
            kernel: &self.kernel,
            initrd: &[7; 10_001],
            os_release: "ID=debian\nIMAGE_ID=web\nIMAGE_VERSION=1\n",
            command_line: "roothash=00 console=ttyS0",
            kernel_release: "6.12.1-amd64",
        }
    }
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

#[test]
fn every_part_is_found_again() {
    let made = Made::new();
    let uki = assemble(&made.parts()).unwrap();
    let read = sections(uki.as_bytes()).unwrap();
    let names: Vec<String> = read.all.iter().map(|section| section.name.to_string()).collect();
    assert_eq!(names, [".text", ".sbat", ".reloc", ".osrel", ".cmdline", ".uname", ".initrd", ".linux"]);
    assert_eq!(read.find(".text").unwrap(), [0xcc; 700]);
    assert_eq!(read.find(".cmdline").unwrap(), b"roothash=00 console=ttyS0");
    assert_eq!(read.find(".initrd").unwrap(), [7; 10_001]);
    assert_eq!(read.find(".linux").unwrap(), made.kernel);
    let sbat = String::from_utf8(read.find(".sbat").unwrap().to_vec()).unwrap();
    let components: Vec<&str> = sbat.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(components, ["sbat", "systemd-stub", "uki"]);
    assert_eq!((read.authenticode_digest, read.signatures), (uki.authenticode_digest(), 0));
    for pair in read.all.windows(2) {
        assert!(pair[1].address % 0x1000 == 0 && pair[1].address >= pair[0].address + pair[0].size);
    }
}

#[test]
fn objdump_reads_the_headers_as_we_meant_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uki.efi");
    let uki = assemble(&Made::new().parts()).unwrap();
    std::fs::write(&path, uki.as_bytes()).unwrap();
    let headers = output_of(Command::new("objdump").arg("-x").arg(&path));
    let line = |word: &str| headers.lines().find(|line| line.contains(word)).unwrap().to_owned();
    assert!(line("SizeOfImage").ends_with("0000c000"), "{headers}");
    assert!(line("SizeOfHeaders").ends_with("00000400"), "{headers}");
    assert!(line(" .initrd ").contains("00002711"), "{headers}");
    assert!(headers.contains("EFI application"), "{headers}");
}

#[test]
fn the_signed_image_is_the_one_whose_digest_we_give() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let uki = assemble(&Made::new().parts()).unwrap();
    std::fs::write(at("uki.efi"), uki.as_bytes()).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2"]);
    output_of(openssl.arg("-keyout").arg(at("key")).arg("-out").arg(at("cert")));
    let mut sbsign = Command::new("sbsign");
    sbsign.arg("--key").arg(at("key")).arg("--cert").arg(at("cert")).arg("--output").arg(at("signed.efi"));
    let said = output_of(sbsign.arg(at("uki.efi")));
    assert!(!said.contains("warning"), "{said}");
    output_of(Command::new("sbverify").arg("--cert").arg(at("cert")).arg(at("signed.efi")));

    let signed = std::fs::read(at("signed.efi")).unwrap();
    let read = sections(&signed).unwrap();
    assert_eq!(read.authenticode_digest, uki.authenticode_digest());
    assert!(read.signatures > 0);
    let digest = uki.authenticode_digest();
    let signature = &signed[uki.as_bytes().len()..];
    assert!(signature.windows(32).any(|window| window == digest.as_bytes()), "sbsign signed another digest");
}

#[test]
fn the_section_table_grows_into_the_first_page_and_no_further() {
    let many: Vec<(String, Vec<u8>)> = (0..17).map(|index| (format!(".s{index}"), vec![index; 3])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
    let grown = Made { stub: pe(&many, 0x600), kernel: kernel() };
    let uki = assemble(&grown.parts()).unwrap();
    let read = sections(uki.as_bytes()).unwrap();
    assert_eq!((read.all.len(), read.find(".s16").unwrap()), (23, &[16; 3][..]));

    let full: Vec<(String, Vec<u8>)> = (0..88).map(|index| (format!(".s{index}"), vec![index; 3])).collect();
    let full: Vec<(&str, &[u8])> = full.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
    let full = Made { stub: pe(&full, 0x1000), kernel: kernel() };
    let error = assemble(&full.parts()).unwrap_err();
    assert!(matches!(error, AssembleError::HeaderSpace { needed: 0x1200, available: 0x1000 }), "{error}");
}

#[test]
fn parts_that_make_no_image_are_refused_by_name() {
    let made = Made::new();
    let parts = made.parts();
    let refused = |parts: UkiParts<'_>| assemble(&parts).unwrap_err().to_string();
    assert!(refused(UkiParts { kernel: b"\x1f\x8b", ..parts }).contains("kernel can't be used"));
    assert!(refused(UkiParts { stub: &made.stub[..300], ..parts }).contains("stub can't be used"));
    assert!(refused(UkiParts { command_line: "a\nb", ..parts }).contains("command line"));
    assert!(refused(UkiParts { kernel_release: "", ..parts }).contains("kernel release"));
    let uki = assemble(&parts).unwrap();
    assert!(refused(UkiParts { stub: uki.as_bytes(), ..parts }).contains("already has a section .osrel"));
    let crowded = pe(&[(".sbat", &[b'x'; 4090]), (".text", b"x")], 0x400);
    assert!(refused(UkiParts { stub: &crowded, ..parts }).contains("has room for 4096"));
}

#[test]
fn of_two_sections_with_one_name_neither_is_found() {
    let file = pe(&[(".cmdline", b"good"), (".cmdline", b"bad")], 0x400);
    let error = sections(&file).unwrap().find(".cmdline").unwrap_err();
    assert!(matches!(error, UkiError::Ambiguous(".cmdline")));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(
        changes in prop::collection::vec((0_usize..0x240, any::<u8>()), 1..8),
        keep in 0_usize..3000,
    ) {
        let mut file = stub();
        for (place, byte) in changes {
            file[place] = byte;
        }
        for file in [&file[..], &file[..keep.min(file.len())]] {
            if let Ok(read) = sections(file) {
                prop_assert!(read.all.iter().all(|section| section.data.len() <= file.len()));
            }
            let made = Made { stub: file.to_vec(), kernel: kernel() };
            if let Ok(uki) = assemble(&made.parts()) {
                let read = sections(uki.as_bytes()).unwrap();
                prop_assert_eq!(read.find(".linux").unwrap(), &made.kernel[..]);
            }
        }
    }
}
