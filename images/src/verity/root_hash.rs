//! The root hash, and the partition GUIDs that follow from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;

/// The hash that authenticates a whole image. Shown, read and serialised as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RootHash(Digest);

/// A text that is no root hash.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no root hash (64 hexadecimal digits)")]
pub struct RootHashError(String);

impl RootHash {
    /// The root hash with these 32 raw bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The 64 hexadecimal digits, as on the kernel command line.
    pub fn to_hex(&self) -> String {
        self.0.to_hex()
    }

    /// GUID of the root partition: the first 128 bits of the hash (UAPI Discoverable Partitions Specification).
    pub fn root_part_guid(&self) -> Uuid {
        self.half(0)
    }

    /// GUID of the verity partition: the last 128 bits of the hash (UAPI Discoverable Partitions Specification).
    pub fn verity_part_guid(&self) -> Uuid {
        self.half(16)
    }

    fn half(&self, start: usize) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.as_bytes()[start..start + 16]);
        Uuid::from_bytes(bytes)
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

impl FromStr for RootHash {
    type Err = RootHashError;

    fn from_str(text: &str) -> Result<Self, RootHashError> {
        text.parse().map(Self).map_err(|_| RootHashError(text.to_owned()))
    }
}

impl TryFrom<String> for RootHash {
    type Error = RootHashError;

    fn try_from(text: String) -> Result<Self, RootHashError> {
        text.parse()
    }
}

impl From<RootHash> for String {
    fn from(hash: RootHash) -> Self {
        hash.to_hex()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn partition_guids_are_the_halves_of_the_hash() {
        let text = "8b1a9953c4611296a827abf8c47804d7e5d1f6a0b3c24d5e6f708192a3b4c5d6";
        let hash: RootHash = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(hash.root_part_guid().to_string(), "8b1a9953-c461-1296-a827-abf8c47804d7");
        assert_eq!(hash.verity_part_guid().to_string(), "e5d1f6a0-b3c2-4d5e-6f70-8192a3b4c5d6");
        assert!("8b1a".parse::<RootHash>().is_err());
    }
}
