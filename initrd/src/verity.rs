//! The verified device: what its table says, and a first look at the hash tree that tells a wrong root hash in words.
//!
//! The superblock is whatever is on the disk. Nothing of it is trusted: the shape must be the one that Slipway writes,
//! sizes must fit the partitions, and salt and counts only take part in a hash that must give the signed root hash.

use slipway_images::digest::Digest;
use uuid::Uuid;

use crate::cmdline::RootHash;
use crate::dm::Target;

/// Bytes of a block, of data and of hashes.
pub const BLOCK: usize = 4096;
const SECTORS_PER_BLOCK: u64 = 8;

/// Bytes of the superblock that are used.
const SUPERBLOCK: usize = 512;

/// What is wrong with a hash tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerityError {
    /// No superblock at the start of the partition.
    #[error("the verity partition {0} has no verity superblock")]
    NoSuperblock(String),
    /// A tree of another shape than the one that Slipway makes.
    #[error("the verity partition {0} has a tree that is not version 1, SHA-256, with blocks of 4096 bytes")]
    Shape(String),
    /// Data or hashes beyond the end of a partition.
    #[error("the tree on {device} is of {blocks} blocks, which the partitions don't hold")]
    Size {
        /// The verity partition.
        device: String,
        /// Data blocks that it counts.
        blocks: u64,
    },
    /// The top of the tree has another hash.
    #[error("the tree on {0} is not the one of this kernel's roothash=")]
    RootHash(String),
}

/// What the superblock says (cryptsetup, `lib/verity/verity.c`, `struct verity_sb`), all little endian:
/// signature 8, version 4, hash type 4, UUID 16, algorithm 32, data block size 4, hash block size 4, data blocks 8,
/// salt size 2, padding 6, salt 256, padding 168.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    uuid: Uuid,
    data_blocks: u64,
    salt: Vec<u8>,
}

impl Tree {
    /// Reads the first two blocks of the verity partition, and checks the topmost hash block against the root hash.
    /// `root_bytes` is the size of the root partition.
    pub fn open(device: &str, start: &[u8; 2 * BLOCK], root_bytes: u64, root: RootHash) -> Result<Self, VerityError> {
        let (superblock, top) = start.split_at(BLOCK);
        let tree = Self::parse(device, superblock)?;
        let fits = tree.data_blocks.checked_mul(BLOCK as u64).is_some_and(|bytes| bytes <= root_bytes);
        if !fits || tree.data_blocks == 0 {
            return Err(VerityError::Size { device: device.to_owned(), blocks: tree.data_blocks });
        }
        // A tree over one block has no hash block: its root hash is the data's.
        let salted = [tree.salt.as_slice(), top].concat();
        if tree.data_blocks > 1 && Digest::of(&salted) != root.digest() {
            return Err(VerityError::RootHash(device.to_owned()));
        }
        Ok(tree)
    }

    fn parse(device: &str, bytes: &[u8]) -> Result<Self, VerityError> {
        let none = || VerityError::NoSuperblock(device.to_owned());
        let bytes: &[u8; SUPERBLOCK] = bytes.first_chunk().ok_or_else(none)?;
        if bytes[..8] != *b"verity\0\0" {
            return Err(none());
        }
        let u32_at = |offset: usize| u32::from_le_bytes(field(bytes, offset));
        let algorithm = &bytes[32..64];
        let salt_len = usize::from(u16::from_le_bytes(field(bytes, 80)));
        let expected = [u32_at(8), u32_at(12), u32_at(64), u32_at(68)] == [1, 1, 4096, 4096]
            && algorithm.starts_with(b"sha256\0")
            && salt_len <= 256;
        if !expected {
            return Err(VerityError::Shape(device.to_owned()));
        }
        Ok(Self {
            uuid: Uuid::from_bytes(field(bytes, 16)),
            data_blocks: u64::from_le_bytes(field(bytes, 72)),
            salt: bytes[88..88 + salt_len].to_vec(),
        })
    }

    /// The device's name for udev and systemd, in the form that libcryptsetup gives it.
    pub fn dm_uuid(&self, name: &str) -> String {
        format!("CRYPT-VERITY-{}-{name}", self.uuid.simple())
    }

    /// The tables to try, best first (kernel documentation, `device-mapper/verity`). A block that is not what the tree
    /// says restarts the machine, so that boot counting or the watchdog can act; a newer kernel does so as well when the
    /// disk can't be read. Devices are given as `MAJOR:MINOR`.
    pub fn targets(&self, data: &str, hashes: &str, root: RootHash) -> [Target; 2] {
        let salt = if self.salt.is_empty() { "-".to_owned() } else { hex(&self.salt) };
        let blocks = self.data_blocks;
        let fixed = format!("1 {data} {hashes} 4096 4096 {blocks} 1 sha256 {} {salt}", root.digest());
        ["2 restart_on_corruption restart_on_error", "1 restart_on_corruption"].map(|options| Target {
            kind: "verity",
            sectors: blocks * SECTORS_PER_BLOCK,
            parameters: format!("{fixed} {options}"),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn field<const N: usize>(bytes: &[u8; SUPERBLOCK], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}
