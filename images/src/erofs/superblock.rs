//! The superblock: `struct erofs_super_block`, 128 bytes at byte 1024 of the image.

use uuid::Uuid;

use super::BLOCK_SIZE;
use super::crc32c::crc32c;
use super::format::{le16, le32, le64};

/// Where the superblock starts, in bytes.
pub(super) const SUPERBLOCK_OFFSET: usize = 1024;
const BLOCK_LEN: usize = 4096;
const MAGIC: u32 = 0xe0f5_e1e2;
const COMPAT_CHECKSUM: u32 = 1;
/// `LZ4_0PADDING`: says how compressed data would be padded if there were any.
const INCOMPAT_ZERO_PADDING: u32 = 1;

/// What the superblock says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Inode number of `/`.
    pub root_nid: u16,
    /// How many inodes there are.
    pub inodes: u64,
    /// Time of all inodes in the short form, in seconds since 1970 UTC.
    pub epoch: u64,
    /// Length of the image, in blocks of 4096 bytes.
    pub blocks: u32,
    /// Block from which inode numbers count.
    pub meta_block: u32,
    /// Block from which shared attributes count.
    pub xattr_block: u32,
    /// Identifier of the file system.
    pub uuid: Uuid,
    /// Label, padded with NULs.
    pub volume_name: [u8; 16],
}

/// Why bytes hold no superblock that we read.
pub(super) enum BadSuperblock {
    Magic,
    Checksum,
    Unsupported(&'static str),
}

impl Superblock {
    /// The first block of an image, with its checksum.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut sb = Vec::with_capacity(BLOCK_LEN);
        sb.resize(SUPERBLOCK_OFFSET, 0);
        let mut put = |bytes: &[u8]| sb.extend_from_slice(bytes);
        put(&MAGIC.to_le_bytes());
        put(&[0; 4]); // checksum
        put(&COMPAT_CHECKSUM.to_le_bytes());
        put(&[12, 0]); // 2^12 bytes per block, no extension slots
        put(&self.root_nid.to_le_bytes());
        put(&self.inodes.to_le_bytes());
        put(&self.epoch.to_le_bytes());
        put(&[0; 4]); // nanoseconds
        put(&self.blocks.to_le_bytes());
        put(&self.meta_block.to_le_bytes());
        put(&self.xattr_block.to_le_bytes());
        put(self.uuid.as_bytes());
        put(&self.volume_name);
        put(&0_u32.to_le_bytes()); // incompatible features: none
        sb.resize(BLOCK_LEN, 0);
        let checksum = crc32c(!0, &sb[SUPERBLOCK_OFFSET..]);
        sb[SUPERBLOCK_OFFSET + 4..SUPERBLOCK_OFFSET + 8].copy_from_slice(&checksum.to_le_bytes());
        sb
    }

    /// Reads and checks the first block of an image.
    pub(super) fn decode(block: &[u8; BLOCK_LEN]) -> Result<Self, BadSuperblock> {
        let sb = &block[SUPERBLOCK_OFFSET..];
        if le32(sb, 0) != MAGIC {
            return Err(BadSuperblock::Magic);
        }
        if u64::from(sb[12]) != u64::from(BLOCK_SIZE.trailing_zeros()) {
            return Err(BadSuperblock::Unsupported("blocks of a size other than 4096"));
        }
        if le32(sb, 8) & COMPAT_CHECKSUM != 0 {
            let without = [&sb[..4], &[0; 4], &sb[8..]];
            if without.iter().fold(!0, |crc, part| crc32c(crc, part)) != le32(sb, 4) {
                return Err(BadSuperblock::Checksum);
            }
        }
        if le32(sb, 80) & !INCOMPAT_ZERO_PADDING != 0 {
            return Err(BadSuperblock::Unsupported("an incompatible feature flag"));
        }
        if sb[90] != 0 {
            return Err(BadSuperblock::Unsupported("folder blocks of a size of their own"));
        }
        let (mut uuid, mut volume_name) = ([0; 16], [0; 16]);
        uuid.copy_from_slice(&sb[48..64]);
        volume_name.copy_from_slice(&sb[64..80]);
        Ok(Self {
            root_nid: le16(sb, 14),
            inodes: le64(sb, 16),
            epoch: le64(sb, 24),
            blocks: le32(sb, 36),
            meta_block: le32(sb, 40),
            xattr_block: le32(sb, 44),
            uuid: Uuid::from_bytes(uuid),
            volume_name,
        })
    }

    /// The label, up to its first NUL; what is no UTF-8 is replaced.
    pub fn label(&self) -> String {
        let end = self.volume_name.iter().position(|byte| *byte == 0).unwrap_or(self.volume_name.len());
        String::from_utf8_lossy(&self.volume_name[..end]).into_owned()
    }
}
