//! Small ELF files for x86-64, each with what the builder looks at.

/// A library: one segment that loads the whole file at address 0, a loader, a note of what it opens by name, a dynamic section.
pub fn library() -> Vec<u8> {
    let strings = b"\0libx.so.1\0$ORIGIN/../lib/private:/opt\0";
    let loader = b"/lib64/ld-linux-x86-64.so.2\0";
    let wanted = br#"[{"soname":["liba.so.1","liba.so.2"],"priority":"required","feature":"a"}]"#;
    let mut note = Vec::new();
    for word in [4, wanted.len() as u32, 0x407c_0c0a] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"FDO\0");
    note.extend(wanted);
    note.resize(note.len().next_multiple_of(4), 0);
    let loader_at = 64 + 4 * 56;
    let strings_at = loader_at + loader.len();
    let note_at = strings_at + strings.len();
    let dynamic_at = note_at + note.len();
    // Needed library, search path, place of the strings, end.
    let dynamic = words(&[1, 1, 29, 11, 5, strings_at as u64, 0, 0]);
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64, 0);
    (file[16], file[18], file[32], file[54], file[56]) = (3, 62, 64, 56, 4);
    let all = dynamic_at + dynamic.len();
    for (kind, start, len) in
        [(1_u32, 0, all), (3, loader_at, loader.len()), (4, note_at, note.len()), (2, dynamic_at, dynamic.len())]
    {
        file.extend(kind.to_le_bytes());
        file.extend([0; 4]);
        file.extend(words(&[start, start, start, len, len, 1].map(|word| word as u64)));
    }
    file.extend(loader);
    file.extend(strings);
    file.extend(note);
    file.extend(dynamic);
    file
}

/// A kernel module: `.modinfo`, and a symbol that it exports.
pub fn module() -> Vec<u8> {
    let info = b"depends=crc32c,lib-x\0alias=pci:v*d*\0softdep=pre: a post: b\0weakdep=c\0".to_vec();
    let strings = b"\0__crc_thing\0".to_vec();
    let mut symbols = vec![0; 24];
    symbols.extend([1, 0, 0, 0, 0x10, 0, 0xf1, 0xff]);
    symbols.resize(48, 0);
    let names = b"\0.modinfo\0.symtab\0.strtab\0.shstrtab\0".to_vec();
    let mut file = vec![0; 64];
    let mut headers = vec![0; 64];
    // Name, type, link, number of the first global symbol, bytes of an entry.
    for (name, kind, link, first, entry, data) in [
        (1_u32, 1_u32, 0_u32, 0_u32, 0_u64, info),
        (10, 2, 3, 1, 24, symbols),
        (18, 3, 0, 0, 0, strings),
        (26, 3, 0, 0, 0, names),
    ] {
        headers.extend([name, kind].iter().flat_map(|word| word.to_le_bytes()));
        headers.extend(words(&[0, 0, file.len() as u64, data.len() as u64]));
        headers.extend([link, first].iter().flat_map(|word| word.to_le_bytes()));
        headers.extend(words(&[1, entry]));
        file.extend(data);
        file.resize(file.len().next_multiple_of(8), 0);
    }
    let table = file.len() as u64;
    file[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0");
    file[20] = 1;
    file[40..48].copy_from_slice(&table.to_le_bytes());
    (file[52], file[58], file[60], file[62]) = (64, 64, 5, 4);
    file.extend(headers);
    file
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
