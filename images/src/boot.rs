//! What the initrd, the root and the agent agree on at boot: where the builder puts the initrd's modules, and the facts
//! that the initrd leaves for userspace.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::disk::{PartGuid, Slot};
use crate::verity::RootHash;

/// The initrd's list of kernel modules, each after those that it depends on. A line is a file name of
/// [`INITRD_MODULE_FOLDER`], and what the module says of itself: `depends=` with the names of others, and `alias=` for each
/// of its aliases. A line that begins with `-` names a module whose failure is only a warning.
pub const INITRD_MODULE_LIST: &str = "/modules";

/// The folder of the initrd that holds the modules, decompressed.
pub const INITRD_MODULE_FOLDER: &str = "/lib/modules-initrd";

/// Where the initrd leaves its [`BootFacts`], as JSON.
pub const BOOT_FACTS_PATH: &str = "/run/slipway/boot.json";

/// The root's list of what is to be done while its init starts, an [`Ahead`] in a line.
pub const AHEAD_LIST: &str = "/usr/lib/slipway/ahead";

/// Something that is done ahead of time, so that whoever needs it later doesn't wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead<'a> {
    /// A kernel module to load, by the path of its file.
    Load(&'a str),
    /// A file to have in memory.
    Read(&'a str),
}

impl<'a> Ahead<'a> {
    /// A line of the list; `None` for one that isn't understood.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (word, path) = line.split_once(' ')?;
        match word {
            "load" => Some(Self::Load(path)),
            "read" => Some(Self::Read(path)),
            _ => None,
        }
    }
}

impl fmt::Display for Ahead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(path) => write!(f, "load {path}"),
            Self::Read(path) => write!(f, "read {path}"),
        }
    }
}

/// Which copy of the partition table was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GptUsed {
    /// The one at the start of the disk.
    Primary,
    /// The one at its end, since the first is damaged.
    Backup,
}

/// A partition of the disk that was booted from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootPartition {
    /// Number in the table, from 1.
    pub number: u32,
    /// The kernel's name of its device: `vda2`.
    pub device: String,
    /// Its unique GUID, lower case.
    #[serde(with = "guid_text")]
    pub guid: PartGuid,
}

/// The partitions that Slipway knows of on the disk that was booted from; `None` for one that isn't there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BootPartitions {
    /// The EFI system partition.
    pub esp: Option<BootPartition>,
    /// Root of slot a.
    pub root_a: Option<BootPartition>,
    /// Hash tree of slot a.
    pub verity_a: Option<BootPartition>,
    /// Root of slot b.
    pub root_b: Option<BootPartition>,
    /// Hash tree of slot b.
    pub verity_b: Option<BootPartition>,
    /// The state partition; not there at the very first boot.
    pub state: Option<BootPartition>,
}

/// What the initrd found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFacts {
    /// The kernel's name of the disk that was booted from: `vda`.
    pub disk: String,
    /// The slot that runs.
    pub slot: Slot,
    /// The root hash that the kernel checks every block of the root against.
    pub root_hash: RootHash,
    /// Number of the root partition that runs.
    pub root_partition: u32,
    /// All partitions by their use.
    pub partitions: BootPartitions,
    /// Which copy of the partition table was good.
    pub gpt_used: GptUsed,
    /// When the initrd began, in milliseconds since the kernel started (`CLOCK_BOOTTIME`).
    pub initrd_started_ms: u64,
    /// When it handed over to the root's init, in the same count.
    pub switch_root_ms: u64,
}

/// A GUID as its lower-case text.
mod guid_text {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use uuid::Uuid;

    use crate::disk::PartGuid;

    pub fn serialize<S: Serializer>(guid: &PartGuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(guid)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PartGuid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Uuid::try_parse(&text).map(PartGuid).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn facts_are_read_back_as_they_were_written() {
        let guid = PartGuid(uuid::uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d"));
        let root = BootPartition { number: 2, device: "vda2".into(), guid };
        let facts = BootFacts {
            disk: "vda".into(),
            slot: Slot::A,
            root_hash: RootHash::from_bytes([7; 32]),
            root_partition: 2,
            partitions: BootPartitions { root_a: Some(root), ..BootPartitions::default() },
            gpt_used: GptUsed::Backup,
            initrd_started_ms: 1,
            switch_root_ms: 2,
        };
        let text = serde_json::to_string(&facts).unwrap();
        assert!(text.contains(r#""slot":"a""#) && text.contains(r#""gpt_used":"backup""#), "{text}");
        assert!(
            text.contains(r#""root-a":{"number":2,"device":"vda2","guid":"4d21b016-b534-45c2-a9fb-5c16e091fd2d"}"#)
        );
        assert_eq!(serde_json::from_str::<BootFacts>(&text).unwrap(), facts);
    }
}
