#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::compose::fixture::path;

const RELEASE: &str = "6.12-test";

/// An ELF object for x86-64 with a `.modinfo` section, exported symbols (`__crc_*`) and undefined ones.
fn module(info: &[&str], exports: &[&str], needs: &[&str]) -> Vec<u8> {
    let modinfo: Vec<u8> = info.iter().flat_map(|field| [field.as_bytes(), b"\0"].concat()).collect();
    let (mut strings, mut symbols) = (vec![0_u8], vec![0_u8; 24]);
    let exported = exports.iter().map(|name| (format!("__crc_{name}"), 0xfff1_u16));
    for (name, section) in exported.chain(needs.iter().map(|name| ((*name).to_owned(), 0))) {
        symbols.extend(u32::try_from(strings.len()).unwrap().to_le_bytes());
        symbols.extend([0x10, 0]);
        symbols.extend(section.to_le_bytes());
        symbols.extend([0; 16]);
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    let names = b"\0.modinfo\0.symtab\0.strtab\0.shstrtab\0".to_vec();
    // Name offset, type, link, first global, entry size, bytes.
    let sections: [(u32, u32, u32, u32, u64, Vec<u8>); 4] =
        [(1, 1, 0, 0, 0, modinfo), (10, 2, 3, 1, 24, symbols), (18, 3, 0, 0, 0, strings), (26, 3, 0, 0, 0, names)];
    let mut bytes = vec![0_u8; 64];
    let mut headers = vec![0_u8; 64];
    for (name, kind, link, info, entry, data) in sections {
        headers.extend(name.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        headers.extend([0; 16]);
        headers.extend((bytes.len() as u64).to_le_bytes());
        headers.extend((data.len() as u64).to_le_bytes());
        headers.extend(link.to_le_bytes());
        headers.extend(info.to_le_bytes());
        headers.extend(1_u64.to_le_bytes());
        headers.extend(entry.to_le_bytes());
        bytes.extend(&data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    let table = bytes.len() as u64;
    bytes.extend(headers);
    bytes[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0");
    bytes[20] = 1;
    bytes[40..48].copy_from_slice(&table.to_le_bytes());
    bytes[52] = 64;
    bytes[58] = 64;
    bytes[60] = 5;
    bytes[62] = 4;
    bytes
}

fn put(tree: &mut RootTree, relative: &str, bytes: impl Into<Vec<u8>>) {
    let file = path(&format!("/usr/lib/modules/{RELEASE}/{relative}"));
    tree.insert_file(file, 0o644, bytes, Origin::Package("linux".into())).unwrap();
}

fn tree() -> RootTree {
    let mut tree = RootTree::new();
    tree.insert_file(path(&format!("/boot/vmlinuz-{RELEASE}")), 0o644, *b"kernel", Origin::Recipe).unwrap();
    let xz = |bytes: Vec<u8>| liblzma::encode_all(&bytes[..], 1).unwrap();
    let verity =
        module(&["depends=dm-mod,reed_solomon", "softdep=pre: sha256-ssse3 post: nothing"], &[], &["dm_x", "rs_x"]);
    put(&mut tree, "kernel/drivers/md/dm-verity.ko.xz", xz(verity));
    let dm = module(&["depends=", "alias=devname:mapper/control", "alias=char-major-10-236"], &["dm_x", "dm_y"], &[]);
    put(&mut tree, "kernel/drivers/md/dm-mod.ko.xz", xz(dm));
    put(&mut tree, "kernel/lib/reed_solomon.ko", module(&["depends="], &["rs_x"], &[]));
    put(&mut tree, "kernel/arch/x86/crypto/sha256-ssse3.ko", module(&["depends=", "alias=crypto-sha256"], &[], &[]));
    let net =
        ["depends=", "alias=pci:v00001AF4d00001000sv*sd*bc*sc*i*", "alias=pci:v0000[0-9a-f]-x*", "alias=bad]bracket"];
    put(&mut tree, "kernel/net/a-net.ko", module(&net, &[], &[]));
    put(&mut tree, "kernel/net/b.ko", module(&["depends=a_net"], &["net_b"], &[]));
    put(&mut tree, "kernel/net/unwanted.ko", module(&["depends="], &[], &[]));
    put(&mut tree, "modules.order", "kernel/net/b.ko\nkernel/drivers/md/dm-mod.ko\nkernel/drivers/md/dm-verity.ko\n");
    put(&mut tree, "modules.builtin", "kernel/fs/ext4/ext4.ko\nkernel/drivers/nvme/host/nvme-core.ko\n");
    put(&mut tree, "modules.builtin.modinfo", "ext4.alias=fs-ext4\0ext4.license=GPL\0nvme_core.alias=pci:x-[a-b]*\0");
    tree
}

fn section(modules: &[&str], initrd: &[&str]) -> KernelSection {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    KernelSection {
        package: "linux".to_owned(),
        modules: owned(modules),
        initrd_modules: owned(initrd),
        load_ahead: Vec::new(),
        command_line: Vec::new(),
    }
}

#[test]
fn what_is_loaded_ahead_is_in_the_root_with_what_it_depends_on() {
    let mut tree = tree();
    let kernel =
        install(&mut tree, &KernelSection { load_ahead: vec!["dm-verity".into()], ..section(&[], &[]) }).unwrap();
    let names: Vec<_> = kernel.load_ahead.iter().map(TreePath::name).collect();
    assert_eq!(names.last(), Some(&"dm-verity.ko"));
    assert!(names.contains(&"dm-mod.ko"), "{names:?}");
    assert!(kernel.load_ahead.iter().all(|path| tree.file(path).is_some()));
    assert!(kernel.initrd_modules.is_empty());
}

#[test]
fn the_initrd_loads_dependencies_first_and_only_accelerators_are_optional() {
    let mut tree = tree();
    let kernel = install(&mut tree, &section(&["ext4"], &["dm-verity"])).unwrap();
    let order: Vec<(&str, bool)> =
        kernel.initrd_modules.iter().map(|module| (module.file_name.as_str(), module.optional)).collect();
    assert_eq!(
        order,
        [("sha256-ssse3.ko", true), ("dm-mod.ko", false), ("reed_solomon.ko", false), ("dm-verity.ko", false)]
    );
    assert!(kernel.initrd_modules[1].content.to_vec().unwrap().starts_with(b"\x7fELF"));
    assert!(tree.children(&path("/boot")).next().is_none());
}

#[test]
fn what_nobody_asked_for_goes_with_its_folders() {
    let mut tree = tree();
    install(&mut tree, &section(&["drivers/md/*"], &[])).unwrap();
    let folder = path(&format!("/usr/lib/modules/{RELEASE}/kernel"));
    let left: Vec<&str> = tree.below(&folder).map(|(path, _)| path.name()).filter(|name| name.contains('.')).collect();
    assert_eq!(left, ["sha256-ssse3.ko", "dm-mod.ko", "dm-verity.ko", "reed_solomon.ko"]);
    assert!(tree.get(&folder.join("net").unwrap()).is_none());
}

#[test]
fn a_name_that_is_wrong_gets_a_suggestion() {
    let error = install(&mut tree(), &section(&["dm-verty"], &[])).unwrap_err().to_string();
    assert_eq!(error, "no module `dm-verty` in kernel 6.12-test; did you mean `dm_verity`?");
    assert!(matches!(install(&mut tree(), &section(&["net/x*"], &[])), Err(KernelError::UnknownModule { .. })));
}

#[test]
fn a_dependency_that_is_not_there_is_an_error() {
    let mut tree = tree();
    put(&mut tree, "kernel/net/c.ko", module(&["depends=gone"], &[], &[]));
    let error = install(&mut tree, &section(&["c"], &[])).unwrap_err().to_string();
    assert_eq!(error, "module `c` depends on `gone`, which is neither there nor built in");
}

#[test]
fn modules_in_a_ring_are_an_error() {
    let mut tree = tree();
    put(&mut tree, "kernel/net/c.ko", module(&["depends=d"], &[], &[]));
    put(&mut tree, "kernel/net/d.ko", module(&["depends=c"], &[], &[]));
    assert!(matches!(install(&mut tree, &section(&["c"], &[])), Err(KernelError::Cycle(_))));
}

#[test]
fn the_indexes_are_those_of_depmod() {
    let mut tree = tree();
    // depmod sees dependencies by symbols, so `b` must not claim one that it has no symbol of.
    put(&mut tree, "kernel/net/b.ko", module(&["depends="], &["net_b"], &[]));
    // Modules that the order doesn't list come as the folder yields them: all are listed here.
    let order = "kernel/net/b.ko\nkernel/drivers/md/dm-mod.ko\nkernel/drivers/md/dm-verity.ko\n\
                 kernel/lib/reed_solomon.ko\nkernel/net/unwanted.ko\nkernel/net/a-net.ko\n\
                 kernel/arch/x86/crypto/sha256-ssse3.ko\n";
    put(&mut tree, "modules.order", order);
    install(&mut tree, &section(&["**"], &[])).unwrap();
    let folder = path(&format!("/usr/lib/modules/{RELEASE}"));
    let scratch = tempfile::tempdir().unwrap();
    let base = scratch.path().join("lib/modules").join(RELEASE);
    for (file, node) in tree.below(&folder) {
        let Kind::File(content) = &node.kind else { continue };
        let target = base.join(file.as_str().strip_prefix(&format!("{}/", folder.as_str())).unwrap());
        let is_input = file.as_str().contains("/kernel/")
            || ["order", "builtin", "modinfo"].iter().any(|end| file.name().ends_with(end));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        if is_input {
            std::fs::write(target, content.to_vec().unwrap()).unwrap();
        }
    }
    let depmod = ["depmod", "/usr/sbin/depmod", "/sbin/depmod"]
        .into_iter()
        .find_map(|program| Command::new(program).arg("-b").arg(scratch.path()).arg(RELEASE).output().ok())
        .expect("depmod of package kmod is an oracle of this test");
    assert!(depmod.status.success(), "{depmod:?}");
    let ours = |name: &str| tree.file(&folder.join(name).unwrap()).unwrap().to_vec().unwrap();
    let theirs = |name: &str| std::fs::read(base.join(name)).unwrap();
    for name in ["modules.alias", "modules.softdep", "modules.devname", "modules.symbols", "modules.dep"] {
        assert_eq!(lines(&ours(name)), lines(&theirs(name)), "{name}");
    }
    let tries = [
        "modules.alias.bin",
        "modules.symbols.bin",
        "modules.builtin.bin",
        "modules.builtin.alias.bin",
        "modules.dep.bin",
    ];
    for name in tries {
        assert_eq!(dump(&ours(name)), dump(&theirs(name)), "{name}");
    }
    assert_eq!(dump(&ours("modules.alias.bin")).len(), 5);
    assert!(looks_up(&base, "dm-verity").contains("dm-mod.ko"), "the oracle itself looks things up");
}

/// Lines in any order, each with the words after its colon in any order: depmod takes both from a hash table.
fn lines(text: &[u8]) -> BTreeSet<Vec<String>> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    text.lines().map(words).collect()
}

fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    words[1..].sort();
    words
}

/// `(key, priority, value)` of a binary index, read as libkmod reads it.
fn dump(file: &[u8]) -> Vec<(String, u32, Vec<String>)> {
    let word = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(4)), (0xB007_F457, 0x0002_0001));
    let text = |at: usize| {
        let end = at + file[at..].iter().position(|byte| *byte == 0).unwrap();
        (String::from_utf8(file[at..end].to_vec()).unwrap(), end + 1)
    };
    let mut found = Vec::new();
    let mut pending = vec![(word(8), String::new())];
    while let Some((offset, mut key)) = pending.pop() {
        let mut at = (offset & 0x0fff_ffff) as usize;
        if offset & 0x8000_0000 != 0 {
            let (prefix, next) = text(at);
            key.push_str(&prefix);
            at = next;
        }
        if offset & 0x2000_0000 != 0 {
            let (first, last) = (file[at], file[at + 1]);
            at += 2;
            for letter in first..=last {
                if word(at) != 0 {
                    pending.push((word(at), format!("{key}{}", char::from(letter))));
                }
                at += 4;
            }
        }
        if offset & 0x4000_0000 != 0 {
            let count = word(at);
            at += 4;
            for _ in 0..count {
                let (value, next) = text(at + 4);
                found.push((key.clone(), word(at), words(&value)));
                at = next;
            }
        }
    }
    found.sort();
    found
}

fn looks_up(base: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(base.join("modules.dep")).unwrap();
    text.lines().find(|line| line.contains(&format!("{name}.ko:"))).unwrap_or_default().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_module_is_an_error_or_a_module(place in 0_usize..400, byte in any::<u8>(), cut in 0_usize..600) {
        let mut bytes = module(&["depends=a,b", "alias=x"], &["x"], &["y"]);
        let place = place % bytes.len();
        bytes[place] = byte;
        bytes.truncate(bytes.len() - cut % bytes.len());
        let _ = ModuleInfo::parse(&bytes);
    }

    #[test]
    fn an_index_gives_back_every_key(entries in prop::collection::btree_map("[a-c]{0,6}", 0_u32..9, 0..20)) {
        let bytes = index::of_entries(&entries);
        let found: Vec<(String, u32)> = dump(&bytes).into_iter().map(|(key, priority, _)| (key, priority)).collect();
        prop_assert_eq!(found, entries.into_iter().collect::<Vec<_>>());
    }
}
