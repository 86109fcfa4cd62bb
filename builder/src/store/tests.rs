#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;

use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree};

use super::*;

const EPOCH: u64 = 1_750_000_000;

fn tree(motd: &str) -> RootTree {
    let mut tree = RootTree::new();
    tree.insert_folder("/etc".parse().unwrap(), 0o755, Origin::Recipe).unwrap();
    tree.insert_file("/etc/motd".parse().unwrap(), 0o644, motd, Origin::Recipe).unwrap();
    tree.insert_symlink("/motd".parse().unwrap(), "etc/motd", Origin::Recipe).unwrap();
    let mut shadow = Meta::root_owned(0o640);
    shadow.gid = 42;
    let kind = Kind::File(slipway_images::content::Content::from_bytes("root:*::0:99999:7:::\n"));
    tree.insert("/etc/shadow".parse().unwrap(), Node { meta: shadow, kind, origin: Origin::Recipe }).unwrap();
    let kind = Kind::HardLink("/etc/motd".parse().unwrap());
    let node = Node { meta: Meta::root_owned(0o644), kind, origin: Origin::Recipe };
    tree.insert("/etc/motd2".parse().unwrap(), node).unwrap();
    tree
}

fn seal(store: &Store, tree: &RootTree, version: &str, libc: &str) -> SealedTree {
    let packages = BTreeMap::from([("libc6".to_owned(), libc.to_owned())]);
    store.stage(tree, "test", version, EPOCH, &packages, &|_| {}).unwrap().commit().unwrap()
}

#[test]
fn the_same_tree_gives_the_same_commit_in_any_store_and_ostree_finds_no_fault() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let commits = folders.each_ref().map(|folder| {
        let store = Store::open_or_create(folder.path()).unwrap();
        let commit = seal(&store, &tree("hello"), "1~rc1", "2.41");
        assert_eq!(commit, seal(&store, &tree("hello"), "1~rc1", "2.41"), "sealed twice");
        commit
    });
    assert_eq!(commits[0], commits[1]);
    let repo = format!("--repo={}", folders[0].path().display());
    let fsck = Command::new("ostree").args(["fsck", &repo]).output().unwrap();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stderr));
    let list = Command::new("ostree").args(["ls", &repo, commits[0].commit(), "/etc/shadow"]).output().unwrap();
    assert!(String::from_utf8_lossy(&list.stdout).starts_with("-00640 0 42 "), "{list:?}");
}

#[test]
fn a_diff_names_packages_and_paths() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(folder.path()).unwrap();
    seal(&store, &tree("hello"), "1", "2.41-1");
    seal(&store, &tree("goodbye"), "2", "2.41-2");
    let diff = store.diff("1", "test@2").unwrap();
    let version = |text: &str| text.to_owned();
    assert_eq!(
        diff.packages,
        [Changed { name: "libc6".into(), change: Change::Changed(version("2.41-1"), version("2.41-2")) }]
    );
    let names: Vec<&str> = diff.files.iter().map(|changed| changed.name.as_str()).collect();
    assert_eq!(names, ["/etc/motd", "/etc/motd2"]);
    assert_eq!(diff.files[0].change, Change::Changed(5, 7));
    assert!(matches!(store.diff("1", "3"), Err(StoreError::Unknown(name)) if name == "3"));
}

#[test]
fn gc_keeps_the_newest_builds_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(folder.path()).unwrap();
    for version in ["1", "2", "3"] {
        seal(&store, &tree(version), version, "2.41");
    }
    assert_eq!(store.log(Some("test")).unwrap().len(), 3);
    assert!(store.gc(1).unwrap().objects > 0);
    let log = store.log(None).unwrap();
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(log[0].version, "3");
    assert!(store.resolve("1").is_err());
    assert!(store.diff("3", &log[0].commit[..8]).unwrap().files.is_empty());
    // What gc freed can be sealed again: the hints of earlier builds don't mislead.
    seal(&store, &tree("1"), "1", "2.41");
    assert!(!store.diff("3", "1").unwrap().files.is_empty());
}
