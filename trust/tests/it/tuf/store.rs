//! Trusted metadata on a disk that fails.

use std::fs;
use std::path::Path;

use slipway_trust::tuf::{Change, DirStore, RoleName, Store as _, StoreError};

use super::repo::*;

const ROLES: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

/// A host that trusts version 2 of everything, and what it had trusted before.
fn settled() -> (Host, Repo, tempfile::TempDir) {
    let (host, repo) = (Host::new(), Repo::new());
    host.refresh(&repo).unwrap();
    let before = tempfile::tempdir().unwrap();
    copy(host.path(), before.path());
    repo.put("metadata/2.root.json", signed(&root_json(2), &[&key(1)]));
    repo.publish(2, &targets_json(2), &[]);
    host.refresh(&repo).unwrap();
    (host, repo, before)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn what_is_damaged_or_missing_is_never_a_fresh_start() {
    let files: Vec<String> = ROLES.iter().map(|role| format!("{role}.json")).chain(["index".to_owned()]).collect();
    for file in &files {
        for damage in ["emptied", "cut", "flipped", "removed", "older"] {
            let (host, repo, before) = settled();
            let path = host.path().join(file);
            let bytes = fs::read(&path).unwrap();
            match damage {
                "emptied" => fs::write(&path, b"").unwrap(),
                "cut" => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                "flipped" => {
                    let mut bytes = bytes;
                    bytes[20] ^= 1;
                    fs::write(&path, bytes).unwrap();
                }
                "removed" => fs::remove_file(&path).unwrap(),
                _ => drop(fs::copy(before.path().join(file), &path).unwrap()),
            }
            repo.asked();
            let error = host.refresh(&repo).err().unwrap_or_else(|| panic!("{file} {damage} went unnoticed"));
            assert!(chain(&error).contains("is damaged"), "{file} {damage}: {}", chain(&error));
            assert_eq!(repo.asked(), [""; 0], "{file} {damage}");
            // Nor does a second try, or making it anew, help.
            assert!(host.refresh(&repo).is_err(), "{file} {damage}");
            let root = signed(&root_json(1), &[&key(1)]);
            assert!(matches!(DirStore::create(host.path(), &root), Err(StoreError::Exists(_))), "{file} {damage}");
        }
    }
}

/// Without its checksum, an index that lost a line would let the role of that line start anew.
#[test]
fn an_index_that_lost_a_line_is_damaged() {
    let (host, repo, _) = settled();
    let path = host.path().join("index");
    let text = fs::read_to_string(&path).unwrap();
    let kept: String =
        text.lines().filter(|line| !line.starts_with("timestamp")).flat_map(|line| [line, "\n"]).collect();
    assert_ne!(kept, text);
    fs::write(&path, kept).unwrap();
    fails(host.refresh(&repo), "index is damaged: its checksum is wrong");
    assert!(host.kept("timestamp").is_some());
}

#[test]
fn an_empty_folder_is_nothing_to_start_from() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(DirStore::open(folder.path()), Err(StoreError::NotThere(_))));
    assert!(matches!(DirStore::open(&folder.path().join("none")), Err(StoreError::NotThere(_))));
}

#[test]
fn metadata_that_does_not_verify_is_damage_even_if_the_index_agrees() {
    let (host, repo) = (Host::new(), Repo::new());
    host.refresh(&repo).unwrap();
    let forged = signed(&timestamp_json(1, 1), &[&key(9)]);
    let mut store = DirStore::open(host.path()).unwrap();
    store.commit(&[Change::keep(RoleName::timestamp(), &forged)]).unwrap();
    drop(store);
    fails(host.refresh(&repo), "trusted timestamp metadata on this machine is damaged");
}

#[test]
fn bytes_are_kept_as_they_came() {
    let (host, repo) = (Host::new(), Repo::new());
    let mut bytes = signed(&timestamp_json(1, 1), &[&key(4)]);
    bytes.extend(b" \n\t ");
    repo.put("metadata/timestamp.json", bytes.clone());
    host.refresh(&repo).unwrap();
    assert_eq!(host.kept("timestamp"), Some(bytes));
}

/// Power is cut at each step of a change of three files, one of which is dropped.
#[test]
fn a_change_that_is_cut_short_happened_or_did_not() {
    let role = |name| RoleName::new(name).unwrap();
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = [Change::keep(role("a"), b"a1"), Change::keep(role("b"), b"b1"), Change::keep(role("c"), b"c1")];
    let second = [Change::keep(role("a"), b"a2"), Change::keep(role("b"), b"b2"), Change::drop(role("c"))];
    let mut store = DirStore::create(old.path(), b"r").unwrap();
    store.commit(&first).unwrap();
    drop(store);
    copy(old.path(), new.path());
    let mut store = DirStore::open(new.path()).unwrap();
    store.commit(&second).unwrap();
    drop(store);
    assert!(!new.path().join("c.json").exists());

    let read = |folder: &Path| {
        let store = DirStore::open(folder).unwrap();
        ["a", "b", "c"].map(|name| store.read(&role(name)).unwrap().map(|bytes| String::from_utf8(bytes).unwrap()))
    };
    let old_state = ["a1", "b1", "c1"].map(|text| Some(text.to_owned()));
    let new_state = [Some("a2".to_owned()), Some("b2".to_owned()), None];
    let index = fs::read(new.path().join("index")).unwrap();
    // The steps of a commit, in order: new files, new index, index in place, files in place, dropped ones removed.
    let steps: [&dyn Fn(&Path); 7] = [
        &|folder| fs::write(folder.join("a.json.new"), "a").unwrap(),
        &|folder| fs::write(folder.join("a.json.new"), "a2").unwrap(),
        &|folder| fs::write(folder.join("b.json.new"), "b2").unwrap(),
        &|folder| fs::write(folder.join("index.new"), &index[..9]).unwrap(),
        &|folder| fs::write(folder.join("index"), &index).unwrap(),
        &|folder| fs::rename(folder.join("a.json.new"), folder.join("a.json")).unwrap(),
        &|folder| fs::rename(folder.join("b.json.new"), folder.join("b.json")).unwrap(),
    ];
    for done in 0..=steps.len() {
        let cut = tempfile::tempdir().unwrap();
        copy(old.path(), cut.path());
        for step in &steps[..done] {
            step(cut.path());
        }
        let expected = if done < 5 { &old_state } else { &new_state };
        assert_eq!(&read(cut.path()), expected, "after {done} steps");
        let left: Vec<_> = fs::read_dir(cut.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let whole = left.iter().filter(|name| name.to_string_lossy().ends_with(".json")).count();
        assert_eq!(whole, if done < 5 { 4 } else { 3 }, "after {done} steps: {left:?}");
        let mut store = DirStore::open(cut.path()).unwrap();
        store.commit(&second).unwrap();
        drop(store);
        assert_eq!(read(cut.path()), new_state, "again after {done} steps");
    }
}

#[test]
fn a_first_start_that_is_cut_short_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("root.json.new"), b"half").unwrap();
    fs::write(folder.path().join("index.new"), b"half").unwrap();
    assert!(matches!(DirStore::open(folder.path()), Err(StoreError::NotThere(_))));
    let store = DirStore::create(folder.path(), b"r").unwrap();
    assert_eq!(store.read(&RoleName::root()).unwrap().as_deref(), Some(&b"r"[..]));
}

#[test]
fn two_at_once_do_not_share_a_folder() {
    let host = Host::new();
    let _first = DirStore::open(host.path()).unwrap();
    assert!(matches!(DirStore::open(host.path()), Err(StoreError::Busy(_))));
}

#[test]
fn a_full_or_read_only_disk_changes_nothing() {
    let (host, repo) = (Host::new(), Repo::new());
    host.refresh(&repo).unwrap();
    let mut store = DirStore::open(host.path()).unwrap();
    // A folder where a new file should go is what root can't write over either.
    fs::create_dir(host.path().join("timestamp.json.new")).unwrap();
    let change = Change::keep(RoleName::timestamp(), b"{}");
    assert!(store.commit(&[change]).is_err());
    fs::remove_dir(host.path().join("timestamp.json.new")).unwrap();
    drop(store);
    host.refresh(&repo).unwrap();
}
