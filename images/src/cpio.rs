//! The archive that an initrd is: cpio in its `newc` form, as the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`
//! describes it, compressed with zstd.
//!
//! Nothing but what it is handed goes into the archive: times are 0, owners root, inode numbers count from 1.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::tree::TreePath;

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;
const TRAILER: &str = "TRAILER!!!";
/// The kernel takes no longer name (`N_ALIGN(PATH_MAX)`, including the NUL).
const MAX_NAME: usize = 4095;
const ZSTD_LEVEL: i32 = 19;

/// What can't be put into an archive.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CpioError {
    /// Something of this path is there already.
    #[error("`{0}` is in the archive already")]
    Duplicate(TreePath),
    /// The folder that it is in isn't in the archive yet: the kernel makes none by itself.
    #[error("the folder of `{0}` is not in the archive yet")]
    NoParent(TreePath),
    /// The root folder, which the kernel has already.
    #[error("the root folder can't be put into the archive")]
    Root,
    /// More than 4 GiB of content, or a path of more than 4095 bytes.
    #[error("`{0}` is too large for the archive")]
    TooLarge(TreePath),
}

/// An archive in the making.
#[derive(Debug, Default)]
pub struct Cpio {
    bytes: Vec<u8>,
    entries: BTreeMap<TreePath, bool>,
}

/// What an entry's header says beyond its name.
#[derive(Default)]
struct Entry<'a> {
    mode: u32,
    links: u32,
    device: (u32, u32),
    content: &'a [u8],
}

impl Cpio {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder with these permission bits.
    pub fn folder(&mut self, path: &TreePath, permissions: u16) -> Result<&mut Self, CpioError> {
        self.add(path, &Entry { mode: FOLDER | permission_bits(permissions), links: 2, ..Entry::default() })
    }

    /// Adds a regular file.
    pub fn file(&mut self, path: &TreePath, permissions: u16, content: &[u8]) -> Result<&mut Self, CpioError> {
        self.add(path, &Entry { mode: FILE | permission_bits(permissions), links: 1, content, ..Entry::default() })
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &TreePath, target: &str) -> Result<&mut Self, CpioError> {
        self.add(path, &Entry { mode: SYMLINK | 0o777, links: 1, content: target.as_bytes(), ..Entry::default() })
    }

    /// Adds a character device.
    pub fn char_device(
        &mut self,
        path: &TreePath,
        permissions: u16,
        major: u32,
        minor: u32,
    ) -> Result<&mut Self, CpioError> {
        let mode = CHAR_DEVICE | permission_bits(permissions);
        self.add(path, &Entry { mode, links: 1, device: (major, minor), content: &[] })
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.write(0, TRAILER, 0, &Entry { links: 1, ..Entry::default() });
        self.bytes
    }

    fn add(&mut self, path: &TreePath, entry: &Entry<'_>) -> Result<&mut Self, CpioError> {
        let name = path.as_str().trim_start_matches('/');
        let parent = name.rsplit_once('/').map(|(parent, _)| format!("/{parent}"));
        let has_parent = parent.is_none_or(|parent| {
            TreePath::new(&parent).is_ok_and(|parent| self.entries.get(&parent).is_some_and(|&folder| folder))
        });
        let size = u32::try_from(entry.content.len()).ok().filter(|_| name.len() < MAX_NAME);
        match size {
            _ if name.is_empty() => Err(CpioError::Root),
            _ if self.entries.contains_key(path) => Err(CpioError::Duplicate(path.clone())),
            _ if !has_parent => Err(CpioError::NoParent(path.clone())),
            None => Err(CpioError::TooLarge(path.clone())),
            Some(size) => {
                self.entries.insert(path.clone(), entry.mode & FOLDER == FOLDER);
                self.write(self.entries.len(), name, size, entry);
                Ok(self)
            }
        }
    }

    fn write(&mut self, inode: usize, name: &str, size: u32, entry: &Entry<'_>) {
        let (mode, links, (major, minor)) = (entry.mode, entry.links, entry.device);
        let name_size = name.len() + 1;
        // Magic, inode, mode, uid, gid, links, time, size, device of the archive, of the entry, name size, checksum.
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}{0:08x}{0:08x}{major:08x}{minor:08x}{name_size:08x}{0:08x}",
            0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(entry.content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn permission_bits(permissions: u16) -> u32 {
    u32::from(permissions & 0o7777)
}

/// Compresses an archive for the kernel's built-in zstd: one frame, on one thread, so that the bytes depend on nothing
/// but the archive and the version of zstd that is linked in.
pub fn compress(archive: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(archive.len() as u64))?;
    encoder.write_all(archive)?;
    encoder.finish()
}
