//! Inodes as they are on disk: `struct erofs_inode_compact` and `struct erofs_inode_extended`.

use std::fmt;

/// Number of an inode: its distance from the start of the inode area in slots of 32 bytes. What `stat` calls inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nid(pub(super) u64);

impl Nid {
    /// The number itself.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Nid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A symbolic link.
    Symlink,
}

const TYPES: [(FileType, u16, u8); 7] = [
    (FileType::File, 0o10, 1),
    (FileType::Folder, 0o04, 2),
    (FileType::CharDevice, 0o02, 3),
    (FileType::BlockDevice, 0o06, 4),
    (FileType::Fifo, 0o01, 5),
    (FileType::Socket, 0o14, 6),
    (FileType::Symlink, 0o12, 7),
];

impl FileType {
    /// The top four bits of `st_mode`, shifted down.
    fn mode_type(self) -> u16 {
        TYPES.iter().find(|(this, ..)| *this == self).map_or(0, |(_, mode, _)| *mode)
    }

    fn from_mode(mode: u16) -> Option<Self> {
        TYPES.iter().find(|(_, this, _)| *this == mode >> 12).map(|(this, ..)| *this)
    }

    /// The code in a folder's entry.
    pub(super) fn dirent_code(self) -> u8 {
        TYPES.iter().find(|(this, ..)| *this == self).map_or(0, |(.., code)| *code)
    }

    pub(super) fn from_dirent_code(code: u8) -> Option<Self> {
        TYPES.iter().find(|(.., this)| *this == code).map(|(this, ..)| *this)
    }
}

/// Where the bytes of an inode are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataLayout {
    /// All in blocks.
    Plain,
    /// Whole blocks apart, the rest directly after inode and attributes.
    Inline,
}

/// Slots in which inodes are counted, in bytes.
pub(super) const SLOT: u64 = 32;
/// Length of an inode in the long form, in bytes.
pub(super) const EXTENDED_LEN: usize = 64;
/// Length of an inode in the short form, in bytes.
pub(super) const COMPACT_LEN: usize = 32;
/// Block address of an inode that has no blocks.
pub(super) const NO_BLOCK: u32 = u32::MAX;

/// An inode's own bytes, without attributes and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawInode {
    pub file_type: FileType,
    /// Permission bits, at most `0o7777`.
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub size: u64,
    pub layout: DataLayout,
    /// The field `i_u`: first block, or encoded device number.
    pub union: u32,
    /// `i_xattr_icount`.
    pub xattr_count: u16,
    /// Seconds since 1970; `None` in the short form, which has the epoch of the image.
    pub mtime: Option<u64>,
}

/// Why bytes are no inode that we read.
pub(super) enum BadInode {
    Damaged(&'static str),
    Unsupported(&'static str),
}

impl RawInode {
    /// Whether owner, links and size fit the short form.
    pub fn fits_compact(uid: u32, gid: u32, nlink: u32, size: u64) -> bool {
        u16::try_from(uid).is_ok()
            && u16::try_from(gid).is_ok()
            && u16::try_from(nlink).is_ok()
            && u32::try_from(size).is_ok()
    }

    /// Appends the inode to `out`; in the short form when it has no time of its own and all fits.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let short = (u16::try_from(self.uid), u16::try_from(self.gid), u16::try_from(self.nlink));
        let layout: u16 = match self.layout {
            DataLayout::Plain => 0,
            DataLayout::Inline => 2,
        };
        let mode = self.file_type.mode_type() << 12 | self.mode;
        let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
        // `i_ino` stays zero in both forms: no kernel reads it, and a running number would change every inode after
        // an added file.
        if let (None, (Ok(uid), Ok(gid), Ok(nlink)), Ok(size)) = (self.mtime, short, u32::try_from(self.size)) {
            put(&(layout << 1).to_le_bytes());
            put(&self.xattr_count.to_le_bytes());
            put(&mode.to_le_bytes());
            put(&nlink.to_le_bytes());
            put(&size.to_le_bytes());
            put(&[0; 4]);
            put(&self.union.to_le_bytes());
            put(&[0; 4]);
            put(&uid.to_le_bytes());
            put(&gid.to_le_bytes());
            put(&[0; 4]);
        } else {
            put(&(layout << 1 | 1).to_le_bytes());
            put(&self.xattr_count.to_le_bytes());
            put(&mode.to_le_bytes());
            put(&[0; 2]);
            put(&self.size.to_le_bytes());
            put(&self.union.to_le_bytes());
            put(&[0; 4]);
            put(&self.uid.to_le_bytes());
            put(&self.gid.to_le_bytes());
            put(&self.mtime.unwrap_or_default().to_le_bytes());
            put(&[0; 4]);
            put(&self.nlink.to_le_bytes());
            put(&[0; 16]);
        }
    }

    /// Whether the inode that starts with these bytes has the long form.
    pub fn is_extended(first: u8) -> bool {
        first & 1 == 1
    }

    /// Reads an inode; `bytes` beyond its own form are not looked at.
    pub fn decode(bytes: &[u8; EXTENDED_LEN]) -> Result<Self, BadInode> {
        let format = le16(bytes, 0);
        let layout = match format >> 1 & 7 {
            0 => DataLayout::Plain,
            2 => DataLayout::Inline,
            1 | 3 => return Err(BadInode::Unsupported("compressed data")),
            4 => return Err(BadInode::Unsupported("chunks")),
            _ => return Err(BadInode::Damaged("an unknown data layout")),
        };
        if format >> 4 != 0 {
            return Err(BadInode::Damaged("unknown format bits"));
        }
        let mode = le16(bytes, 4);
        let file_type = FileType::from_mode(mode).ok_or(BadInode::Damaged("an unknown file type"))?;
        let (mode, xattr_count, union) = (mode & 0o7777, le16(bytes, 2), le32(bytes, 16));
        Ok(if Self::is_extended(bytes[0]) {
            Self {
                file_type,
                mode,
                uid: le32(bytes, 24),
                gid: le32(bytes, 28),
                nlink: le32(bytes, 44),
                size: le64(bytes, 8),
                layout,
                union,
                xattr_count,
                mtime: Some(le64(bytes, 32)),
            }
        } else {
            Self {
                file_type,
                mode,
                uid: u32::from(le16(bytes, 24)),
                gid: u32::from(le16(bytes, 26)),
                nlink: u32::from(le16(bytes, 6)),
                size: u64::from(le32(bytes, 8)),
                layout,
                union,
                xattr_count,
                mtime: None,
            }
        })
    }
}

/// Encodes a device number as the kernel's `new_encode_dev()`; `None` when it is out of range.
pub(super) fn encode_device(major: u32, minor: u32) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20).then_some(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

/// Major and minor number of an encoded device.
pub(super) fn decode_device(encoded: u32) -> (u32, u32) {
    (encoded >> 8 & 0xfff, encoded & 0xff | encoded >> 12 & 0xf_ff00)
}

/// The little-endian number at `at`; callers hand in arrays that are long enough for the constant they pass.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// As [`le16`].
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

/// As [`le16`].
pub(super) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn device_numbers_survive_and_equal_what_makedev_gives() {
        assert_eq!(encode_device(1, 3), Some(0x103));
        assert_eq!(encode_device(8, 0x12345), Some(0x1230_0845));
        assert_eq!(decode_device(0x1230_0845), (8, 0x12345));
        assert_eq!(encode_device(4096, 0), None);
        assert_eq!(encode_device(0, 1 << 20), None);
    }

    #[test]
    fn both_forms_come_back_as_they_went() {
        let short = RawInode {
            file_type: FileType::Folder,
            mode: 0o1777,
            uid: 65535,
            gid: 3,
            nlink: 7,
            size: 12345,
            layout: DataLayout::Inline,
            union: 99,
            xattr_count: 4,
            mtime: None,
        };
        let long = RawInode { uid: 65536, size: 1 << 40, layout: DataLayout::Plain, mtime: Some(77), ..short };
        for (inode, len) in [(short, COMPACT_LEN), (long, EXTENDED_LEN)] {
            let mut bytes = Vec::new();
            inode.encode(&mut bytes);
            assert_eq!(bytes.len(), len);
            bytes.resize(EXTENDED_LEN, 0xff);
            let back = RawInode::decode(bytes[..].first_chunk().unwrap());
            assert_eq!(back.ok(), Some(inode));
        }
    }
}
