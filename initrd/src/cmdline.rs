//! What the kernel command line asks for.

use slipway_images::digest::Digest;
use slipway_images::disk::PartGuid;
use uuid::Uuid;

/// The root that is to be booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootHash(Digest);

/// A command line that names no root.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CmdlineError {
    /// No `roothash=`.
    #[error("the kernel command line has no roothash=")]
    Missing,
    /// A `roothash=` that is no SHA-256 digest.
    #[error("the kernel command line says roothash={0}, which is not 64 hexadecimal digits")]
    Malformed(String),
    /// Two of them, and they differ. Taking either would be a guess.
    #[error("the kernel command line has two roothash= that differ")]
    Contradiction,
}

impl RootHash {
    /// Finds `roothash=` before a `--`, after which the words are the init's.
    pub fn from_cmdline(cmdline: &str) -> Result<Self, CmdlineError> {
        let words = cmdline.split_ascii_whitespace().take_while(|word| *word != "--");
        let mut found = None;
        for text in words.filter_map(|word| word.strip_prefix("roothash=")) {
            let hash = text.parse().map_err(|_| CmdlineError::Malformed(text.to_owned()))?;
            if found.is_some_and(|other| other != hash) {
                return Err(CmdlineError::Contradiction);
            }
            found = Some(hash);
        }
        found.map(Self).ok_or(CmdlineError::Missing)
    }

    /// The hash itself.
    pub fn digest(self) -> Digest {
        self.0
    }

    /// The root partition's GUID: the first 128 bits of the hash (UAPI discoverable partitions specification).
    pub fn root_guid(self) -> PartGuid {
        self.guid_at(0)
    }

    /// The verity partition's GUID: the last 128 bits.
    pub fn verity_guid(self) -> PartGuid {
        self.guid_at(16)
    }

    fn guid_at(self, start: usize) -> PartGuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0.as_bytes()[start..start + 16]);
        PartGuid(Uuid::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdeffedcba9876543210fedcba9876543210";

    #[test]
    fn the_halves_of_the_hash_are_the_partition_guids() {
        let hash = RootHash::from_cmdline(&format!("quiet roothash={HEX} panic=10\n")).unwrap();
        assert_eq!(hash.root_guid().to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(hash.verity_guid().to_string(), "fedcba98-7654-3210-fedc-ba9876543210");
        assert_eq!(hash.digest().to_hex(), HEX);
    }

    #[test]
    fn nothing_is_guessed() {
        let parse = RootHash::from_cmdline;
        let other = HEX.replace('0', "1");
        assert_eq!(parse("quiet"), Err(CmdlineError::Missing));
        assert_eq!(parse(&format!("quiet -- roothash={HEX}")), Err(CmdlineError::Missing));
        assert_eq!(parse("roothash=abc"), Err(CmdlineError::Malformed("abc".into())));
        assert_eq!(parse(&format!("roothash={HEX} roothash={other}")), Err(CmdlineError::Contradiction));
        assert!(parse(&format!("roothash={HEX} roothash={HEX}")).is_ok());
    }
}
