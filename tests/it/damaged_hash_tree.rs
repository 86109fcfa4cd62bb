//! The hash tree isn't that of the root: the initrd says so in one line, and restarts the machine.

use slipway_images::disk::TypeGuid;

use crate::machines::{console_until_restart, copy, overwrite, partition};

/// Behind the superblock's block: the top of the tree.
const TOP: u64 = 4096;

#[test]
fn an_initrd_that_fails_says_why_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let disk = copy(folder.path());
    overwrite(&disk, partition(&disk, TypeGuid::ROOT_VERITY_X86_64).start + TOP, &[0; 64]);
    let console = console_until_restart("damaged-hash-tree", &disk);
    let said: Vec<&String> = console.iter().filter(|line| line.contains("slipway-initrd")).collect();
    let expected = "hash tree on /dev/vda3: block 1 of the hash device doesn't match the root hash; restarting";
    assert!(matches!(*said, [line] if line.ends_with(expected)), "{console:#?}");
}
