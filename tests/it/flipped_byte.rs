//! One bit of the root differs from what was built: the machine restarts, so that boot counting can act; it does not hang, and
//! nothing of that root is run.

use slipway_images::disk::TypeGuid;

use crate::machines::{console_until_restart, copy, overwrite, partition};

/// The magic number of EROFS, which every mount reads.
const SUPERBLOCK: u64 = 1024;

#[test]
fn a_root_with_a_flipped_byte_restarts_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let disk = copy(folder.path());
    overwrite(&disk, partition(&disk, TypeGuid::ROOT_X86_64).start + SUPERBLOCK, &[0xff]);
    let console = console_until_restart("flipped-byte", &disk);
    assert!(console.iter().any(|line| line.contains("data block 0 is corrupted")), "{console:#?}");
    assert!(!console.iter().any(|line| line.contains("login:")), "{console:#?}");
}
