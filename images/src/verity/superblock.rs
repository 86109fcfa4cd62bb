//! The superblock: 512 bytes at the start of the hash device, and what follows from it for the kernel's table.
//!
//! It is read from an untrusted device. What is expected, and what stops it: sizes that ask for memory (the number of
//! blocks is compared with the length of the device before anything is allocated, in [`super::VerityTree::read`]);
//! weaker parameters (only SHA-256 over 4096-byte blocks is accepted); a false salt or number of blocks (the tree then
//! fails against the root hash, or has hashes where there should be none).

use std::fmt::Write as _;

use uuid::Uuid;

use super::{BLOCK_SIZE, RootHash, VerityError};
use crate::digest::Digest;
use crate::names::ImageId;

/// Length of a superblock, in bytes.
const SUPERBLOCK_LEN: usize = 512;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const ALGORITHM: &[u8; 32] = b"sha256\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const SALT_MAX: usize = 256;
const SECTOR_SIZE: u64 = 512;
/// The tree starts one block after the superblock.
const HASH_START_BLOCK: u64 = 1;

/// Bytes that go before every block into its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salt(Vec<u8>);

impl Salt {
    /// At most 256 bytes, possibly none.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, VerityError> {
        let bytes = bytes.into();
        if bytes.len() > SALT_MAX { Err(VerityError::SaltTooLong(bytes.len())) } else { Ok(Self(bytes)) }
    }

    /// The salt of all versions of the image with this id: equal blocks then have equal hashes in each of them.
    pub fn for_image(id: &ImageId) -> Self {
        Self(Digest::of(format!("slipway verity salt v1\0{id}").as_bytes()).as_bytes().to_vec())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As in the kernel's table: hexadecimal digits, or `-` for none.
    pub fn to_hex(&self) -> String {
        if self.0.is_empty() { "-".to_owned() } else { hex::encode(&self.0) }
    }
}

/// What a hash device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Identifier of the hash device.
    pub uuid: Uuid,
    /// Length of the data, in blocks of 4096 bytes.
    pub data_blocks: u64,
    /// The salt.
    pub salt: Salt,
}

impl Superblock {
    /// The first block of a hash device.
    pub fn encode(&self) -> Vec<u8> {
        let mut sb = Vec::with_capacity(4096);
        let block_size = 4096_u32.to_le_bytes();
        sb.extend_from_slice(SIGNATURE);
        sb.extend_from_slice(&1_u32.to_le_bytes()); // version
        sb.extend_from_slice(&1_u32.to_le_bytes()); // hash type: the salt goes first
        sb.extend_from_slice(self.uuid.as_bytes());
        sb.extend_from_slice(ALGORITHM);
        sb.extend_from_slice(&block_size);
        sb.extend_from_slice(&block_size);
        sb.extend_from_slice(&self.data_blocks.to_le_bytes());
        let salt = self.salt.as_bytes();
        sb.extend_from_slice(&u16::try_from(salt.len()).unwrap_or_default().to_le_bytes());
        sb.extend_from_slice(&[0; 6]);
        sb.extend_from_slice(salt);
        sb.resize(4096, 0);
        sb
    }

    /// Reads the superblock that a hash device starts with. Of `bytes` the first 512 are looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, VerityError> {
        let sb: &[u8; SUPERBLOCK_LEN] = bytes.first_chunk().ok_or(VerityError::NotVerity)?;
        let le32 = |at: usize| u32::from_le_bytes([sb[at], sb[at + 1], sb[at + 2], sb[at + 3]]);
        if !sb.starts_with(SIGNATURE) {
            return Err(VerityError::NotVerity);
        }
        let wanted = [
            (le32(8) == 1, "a version other than 1"),
            (le32(12) == 1, "a hash type other than 1"),
            (sb[32..64] == *ALGORITHM, "an algorithm other than SHA-256"),
            (le32(64) == 4096, "data blocks of a size other than 4096"),
            (le32(68) == 4096, "hash blocks of a size other than 4096"),
        ];
        if let Some((_, what)) = wanted.iter().find(|(holds, _)| !holds) {
            return Err(VerityError::Unsupported(what));
        }
        let salt_len = usize::from(u16::from_le_bytes([sb[80], sb[81]]));
        let salt = sb[88..88 + SALT_MAX].get(..salt_len).ok_or(VerityError::SaltTooLong(salt_len))?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&sb[16..32]);
        let data_blocks = u64::from(le32(72)) | u64::from(le32(76)) << 32;
        Ok(Self { uuid: Uuid::from_bytes(uuid), data_blocks, salt: Salt(salt.to_vec()) })
    }

    /// What the kernel wants to know to open the device.
    pub fn table(&self, root_hash: &RootHash) -> TableParameters {
        TableParameters {
            sectors: self.data_blocks.saturating_mul(BLOCK_SIZE / SECTOR_SIZE),
            data_blocks: self.data_blocks,
            hash_start_block: HASH_START_BLOCK,
            root_hash: root_hash.to_hex(),
            salt: self.salt.to_hex(),
        }
    }
}

/// Parameters of a `verity` target of the kernel's device mapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableParameters {
    /// Length of the opened device, in sectors of 512 bytes.
    pub sectors: u64,
    /// Length of the data, in blocks of 4096 bytes.
    pub data_blocks: u64,
    /// Where the tree starts on the hash device, in blocks of 4096 bytes.
    pub hash_start_block: u64,
    /// The root hash, in hexadecimal digits.
    pub root_hash: String,
    /// The salt, in hexadecimal digits, or `-`.
    pub salt: String,
}

impl TableParameters {
    /// The target's parameter string. Devices are paths or `major:minor`; options are as in the kernel's document
    /// (`restart_on_corruption`).
    pub fn line(&self, data_device: &str, hash_device: &str, options: &[&str]) -> String {
        let Self { data_blocks, hash_start_block, root_hash, salt, .. } = self;
        let mut line = format!("1 {data_device} {hash_device} {BLOCK_SIZE} {BLOCK_SIZE} {data_blocks}");
        // Writing to a text can't fail.
        let _ = write!(line, " {hash_start_block} sha256 {root_hash} {salt}");
        if !options.is_empty() {
            let _ = write!(line, " {} {}", options.len(), options.join(" "));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn salt() -> Salt {
        Salt::for_image(&ImageId::new("edge").unwrap())
    }

    fn superblock() -> Superblock {
        Superblock { uuid: Uuid::from_u128(7), data_blocks: 1 << 33, salt: salt() }
    }

    #[test]
    fn a_superblock_comes_back() {
        assert_eq!(Superblock::parse(&superblock().encode()).unwrap(), superblock());
        let longest = Superblock { salt: Salt::new([9; 256]).unwrap(), ..superblock() };
        assert_eq!(Superblock::parse(&longest.encode()).unwrap(), longest);
        assert!(Salt::new([9; 257]).is_err());
    }

    #[test]
    fn other_parameters_are_refused() {
        let good = superblock().encode();
        for at in [0, 8, 12, 33, 38, 65, 69, 81] {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(Superblock::parse(&bad).is_err(), "byte {at}");
        }
        assert!(Superblock::parse(&good[..511]).is_err());
    }

    #[test]
    fn the_salt_of_an_id_never_changes() {
        // A changed salt would make every host fetch the whole image anew.
        assert_eq!(salt().to_hex(), "09d86f1c1ecf114a5641a87484a045ef5231571bbe967460678a3e45e25956f9");
    }

    #[test]
    fn the_table_is_what_the_kernel_document_shows() {
        let table = Superblock { data_blocks: 262_144, ..superblock() }.table(&RootHash::from_bytes([0xab; 32]));
        assert_eq!(table.sectors, 2_097_152);
        let line = table.line("/dev/sda1", "/dev/sda2", &["restart_on_corruption"]);
        let [hash, salt] = ["ab".repeat(32), salt().to_hex()];
        let expected = "1 /dev/sda1 /dev/sda2 4096 4096 262144 1 sha256";
        assert_eq!(line, format!("{expected} {hash} {salt} 1 restart_on_corruption"));
        assert_eq!(Salt::new([]).unwrap().to_hex(), "-");
    }
}
