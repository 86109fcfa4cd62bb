#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use slipway_images::tree::{Meta, Origin};

use super::*;

/// A small library: one segment that loads the whole file at address 0, a loader, a dynamic section and a note.
fn library(interpreter: &str, dynamic: &[(i64, &str)], note: &str) -> Vec<u8> {
    let mut strings = vec![0u8];
    let mut entries: Vec<(i64, u64)> = Vec::new();
    for (tag, text) in dynamic {
        entries.push((*tag, strings.len() as u64));
        strings.extend(text.bytes().chain([0]));
    }
    let mut notes: Vec<u8> = [4, u32::try_from(note.len()).unwrap() + 1, NOTE_DLOPEN]
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect();
    notes.extend(NOTE_NAME.iter().copied().chain(note.bytes()).chain([0]));
    notes.resize(notes.len().next_multiple_of(4), 0);
    let interpreter: Vec<u8> = interpreter.bytes().chain([0]).collect();
    let start = 64 + 4 * 56u64;
    let strings_at = start + interpreter.len() as u64;
    let notes_at = strings_at + strings.len() as u64;
    let dynamic_at = notes_at + notes.len() as u64;
    entries.push((elf::DT_STRTAB.0, strings_at));
    entries.push((0, 0));
    let dynamic: Vec<u8> =
        entries.iter().flat_map(|(tag, value)| tag.to_le_bytes().into_iter().chain(value.to_le_bytes())).collect();
    let total = dynamic_at + dynamic.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64, 0);
    file[16] = 3;
    file[18] = 62;
    file[32] = 64;
    file[54] = 56;
    file[56] = 4;
    for (kind, offset, len) in [
        (elf::PT_LOAD, 0, total),
        (elf::PT_INTERP, start, interpreter.len() as u64),
        (elf::PT_NOTE, notes_at, notes.len() as u64),
        (elf::PT_DYNAMIC, dynamic_at, dynamic.len() as u64),
    ] {
        file.extend(kind.0.to_le_bytes().into_iter().chain([0; 4]));
        for word in [offset, offset, offset, len, len, 1] {
            file.extend(word.to_le_bytes());
        }
    }
    for part in [interpreter, strings, notes, dynamic] {
        file.extend(part);
    }
    file
}

fn full() -> Vec<u8> {
    let note = r#"[{"soname":["liba.so.1","liba.so.2"],"priority":"required","feature":"a"},{"soname":["libb.so.1"],"priority":"suggested"}]"#;
    library(
        "/lib64/ld.so",
        &[
            (elf::DT_NEEDED.0, "libx.so.1"),
            (elf::DT_NEEDED.0, "libprivate.so"),
            (elf::DT_RUNPATH.0, "$ORIGIN/../lib/private:/opt"),
        ],
        note,
    )
}

fn findings(tree: &RootTree, bytes: &[u8]) -> Vec<(Severity, String)> {
    let node =
        Node { meta: Meta::root_owned(0o755), kind: Kind::File(Content::from_bytes(bytes)), origin: Origin::Recipe };
    let Kind::File(content) = &node.kind else { unreachable!() };
    let path = TreePath::new("/usr/bin/x").unwrap();
    let found = check(tree, &Libraries::of(tree), &path, &node, content).unwrap();
    found.into_iter().map(|finding| (finding.severity, finding.what)).collect()
}

fn tree(paths: &[&str]) -> RootTree {
    let mut tree = RootTree::new();
    for path in paths {
        tree.insert_file(TreePath::new(path).unwrap(), 0o755, *b"", Origin::Recipe).unwrap();
    }
    tree
}

#[test]
fn all_that_is_missing_is_found() {
    let severities: Vec<Severity> = findings(&tree(&[]), &full()).into_iter().map(|(severity, _)| severity).collect();
    assert_eq!(
        severities,
        [Severity::Error, Severity::Error, Severity::Error, Severity::Error, Severity::Note],
        "loader, two libraries, what must be opened, what may be"
    );
}

#[test]
fn what_is_there_is_found_where_a_loader_looks() {
    let mut paths = vec!["/lib64/ld.so", "/usr/lib/x86_64-linux-gnu/libx.so.1", "/usr/lib/private/libprivate.so"];
    paths.extend(["/usr/lib/liba.so.2", "/lib64/libb.so.1"]);
    assert_eq!(findings(&tree(&paths), &full()), []);
    paths[2] = "/usr/lib/elsewhere/libprivate.so";
    let elsewhere = findings(&tree(&paths), &full());
    assert_eq!(elsewhere[0].0, Severity::Warning);
    assert!(elsewhere[0].1.contains("not where it is looked for"));
}

#[test]
fn this_test_itself_needs_the_c_library() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let found = findings(&tree(&[]), &own);
    assert!(found.iter().any(|(_, what)| what.contains("library libc.so.6")), "{found:?}");
    assert!(found.iter().any(|(_, what)| what.contains("loader `/lib64/ld-linux-x86-64.so.2`")), "{found:?}");
}

proptest! {
    #[test]
    fn damaged_files_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut file = full();
        for (at, to) in changes {
            let at = at.index(file.len());
            file[at] = to;
        }
        findings(&tree(&[]), &file);
        file.truncate(cut.index(file.len()));
        findings(&tree(&[]), &file);
    }
}
