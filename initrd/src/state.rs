//! The state partition, where it needs neither making nor checking: an ext4 that was unmounted in good order is mounted here, and
//! userspace finds it in its place. Whatever else is there (another file system, one that a power cut left, none yet) is for
//! userspace, which has the programs for it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use rustix::mount::{MountFlags, mount};

use crate::failure::{Severity, say};
use crate::root::SYSROOT;

/// Mounts the state partition `node` below the root that is being put together, if it is a clean ext4.
pub fn mount_if_clean(node: &Path) {
    // It may just be unreadable: userspace says so, and why.
    if !read_superblock(node).is_ok_and(|superblock| is_clean_ext4(&superblock)) {
        return;
    }
    if let Err(error) = mount(node, format!("{SYSROOT}/var"), "ext4", MountFlags::NOATIME, None) {
        say(Severity::Warning, &format!("can't mount {} on /var: {error}; left to userspace", node.display()));
    }
}

/// The part of a superblock that [`is_clean_ext4`] looks at.
const SUPERBLOCK: usize = 0x64;

fn read_superblock(node: &Path) -> io::Result<[u8; SUPERBLOCK]> {
    const AT: u64 = 1024;
    let mut superblock = [0; SUPERBLOCK];
    let mut device = File::open(node)?;
    device.seek(SeekFrom::Start(AT))?;
    device.read_exact(&mut superblock)?;
    Ok(superblock)
}

/// Whether an ext4 superblock (<https://docs.kernel.org/filesystems/ext4/super.html>) says that nothing is to be checked and no
/// journal to be replayed.
fn is_clean_ext4(superblock: &[u8; SUPERBLOCK]) -> bool {
    const MAGIC: u16 = 0xef53;
    const CLEANLY_UNMOUNTED: u16 = 1;
    const HAS_JOURNAL: u32 = 4;
    const RECOVER: u32 = 4;
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| superblock[at + byte]));
    let [magic, state] = [0x38, 0x3a].map(|at: usize| u16::from_le_bytes([superblock[at], superblock[at + 1]]));
    let (compatible, incompatible) = (number(0x5c), number(0x60));
    magic == MAGIC && state == CLEANLY_UNMOUNTED && compatible & HAS_JOURNAL != 0 && incompatible & RECOVER == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::io::Write as _;
    use std::process::Command;

    use super::*;

    /// A file system as mke2fs makes it, which must be installed, with bytes of its superblock changed.
    fn ext4(changes: &[(u64, &[u8])]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        let made = Command::new("/sbin/mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(file.path()).status();
        assert!(made.expect("e2fsprogs is installed").success());
        for (at, bytes) in changes {
            file.seek(SeekFrom::Start(1024 + at)).unwrap();
            file.write_all(bytes).unwrap();
        }
        file
    }

    fn is_clean(changes: &[(u64, &[u8])]) -> bool {
        is_clean_ext4(&read_superblock(ext4(changes).path()).unwrap())
    }

    #[test]
    fn only_what_was_unmounted_in_good_order_is_clean() {
        assert!(is_clean(&[]));
        let incompatible = read_superblock(ext4(&[]).path()).unwrap()[0x60];
        assert!(!is_clean(&[(0x60, &[incompatible | 4])]), "a journal to replay");
        assert!(!is_clean(&[(0x3a, &[0])]), "mounted, without a journal");
        assert!(!is_clean(&[(0x3a, &[3])]), "errors were seen");
        assert!(!is_clean(&[(0x38, &[0])]), "another file system");
        assert!(!is_clean(&[(0x5c, &[0])]), "ext2");
    }

    #[test]
    fn a_partition_that_is_too_short_is_no_file_system() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024).unwrap();
        assert_eq!(read_superblock(file.path()).map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
    }
}
