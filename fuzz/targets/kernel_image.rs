//! PE files: the boot stub and the kernel that come with packages, and what lies on an ESP. What is put together from them, if
//! anything is, has all its parts again when it is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_fuzz::damaged;
use slipway_images::uki::{UkiParts, assemble, sections};

const HEADERS: usize = 0x400;

fuzz_target!(|input: &[u8]| {
    let _ = sections(input);
    let Some((kind, changes)) = input.split_first() else { return };
    let (stub, kernel) = (pe(&[(b".text", 700), (b".sbat", 80), (b".reloc", 12)]), pe(&[(b".text", 4000)]));
    let (stub, kernel) = match kind % 3 {
        0 => (damaged(&stub, changes), kernel),
        1 => (stub, damaged(&kernel, changes)),
        _ => {
            let good = assemble(&parts(&stub, &kernel)).expect("both are good");
            read_whatever(&damaged(good.as_bytes(), changes));
            return;
        }
    };
    read_whatever(&stub);
    let Ok(made) = assemble(&parts(&stub, &kernel)) else { return };
    let read = sections(made.as_bytes()).expect("it was made here");
    assert_eq!(read.authenticode_digest, made.authenticode_digest());
    assert_eq!(read.find(".linux").expect("it was put in"), kernel);
    assert_eq!(read.find(".cmdline").expect("it was put in"), b"roothash=00");
    assert_eq!(read.find(".initrd").expect("it was put in"), [7; 1001]);
});

fn parts<'a>(stub: &'a [u8], kernel: &'a [u8]) -> UkiParts<'a> {
    let os_release = "ID=debian\nIMAGE_ID=web\nIMAGE_VERSION=1\n";
    UkiParts { stub, kernel, initrd: &[7; 1001], os_release, command_line: "roothash=00", kernel_release: "6.12" }
}

fn read_whatever(file: &[u8]) {
    let Ok(read) = sections(file) else { return };
    for section in &read.all {
        assert!(section.data.len() <= section.size as usize && section.data.len() <= file.len());
    }
    let _ = read.find(".cmdline");
}

/// A PE32+ EFI application for x86-64 with these sections of so many bytes.
fn pe(sections: &[(&[u8], usize)]) -> Vec<u8> {
    let mut file = vec![0; HEADERS];
    let mut put = |offset: usize, bytes: &[u8]| file[offset..offset + bytes.len()].copy_from_slice(bytes);
    let count = sections.len();
    put(0, b"MZ");
    put(0x3c, &0x80_u32.to_le_bytes());
    put(0x80, b"PE\0\0\x64\x86");
    put(0x86, &[count as u8, 0]);
    put(0x94, &[240, 0, 0x2e, 2]);
    put(0x98, &0x20b_u16.to_le_bytes());
    for (offset, value) in
        [(16, 0x1000), (32, 0x1000), (36, 0x200), (56, 0x1000 * (count + 1)), (60, HEADERS), (68, 10), (108, 16)]
    {
        put(0x98 + offset, &(value as u32).to_le_bytes());
    }
    let mut data = Vec::new();
    for (index, (name, len)) in sections.iter().enumerate() {
        let header = 0x98 + 240 + 40 * index;
        put(header, name);
        let raw = len.next_multiple_of(0x200);
        for (offset, value) in [(8, *len), (12, 0x1000 * (index + 1)), (16, raw), (20, HEADERS + data.len())] {
            put(header + offset, &(value as u32).to_le_bytes());
        }
        put(header + 36, &0x4000_0040_u32.to_le_bytes());
        let text = b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n";
        data.extend(text.iter().copied().chain(std::iter::repeat(0xcc)).take(*len));
        data.resize(data.len().next_multiple_of(0x200), 0);
    }
    file.extend(data);
    file
}
