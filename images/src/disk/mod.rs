//! The disk an image is laid out on: a GPT with an ESP and two slots, each a root and its verity partition.
//!
//! Types and flags are those of the UAPI [Discoverable Partitions Specification], so that systemd's tools find their way
//! about by themselves.
//!
//! [Discoverable Partitions Specification]: https://uapi-group.org/specifications/specs/discoverable_partitions_specification/

mod edit;
mod identity;
mod layout;
mod region;
mod table;
mod write;

pub use edit::{CopyBytes, EditError, Extent, TableImage};
pub use identity::{DiskIdentity, derived_uuid};
pub use layout::{ALIGNMENT, DiskLayout, DiskSizes, LayoutError, Part, Slot, Span};
pub use region::Region;
pub(crate) use region::seek_within;
pub use table::{CopyError, Partition, PartitionTable, RejectReason, Rejected, TableCopy, TableError};
pub use write::{FilledSlot, WriteTableError, slot_attributes, write_table};

use std::fmt;

use uuid::{Uuid, uuid};

/// A logical block address: counts sectors of the device from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u64);

impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LBA {}", self.0)
    }
}

/// How many bytes a device's logical sectors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SectorSize {
    /// 512 bytes: nearly every disk, and every image.
    B512,
    /// 4096 bytes: some NVM Express disks.
    B4096,
}

impl SectorSize {
    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

/// What a partition is for: the type GUID of its GPT entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeGuid(pub Uuid);

impl TypeGuid {
    /// EFI system partition.
    pub const ESP: Self = Self(uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"));
    /// Root file system for x86-64.
    pub const ROOT_X86_64: Self = Self(uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"));
    /// Verity hash tree of a root file system for x86-64.
    pub const ROOT_VERITY_X86_64: Self = Self(uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"));
    /// `/var`.
    pub const VAR: Self = Self(uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d"));
}

impl fmt::Display for TypeGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which partition it is: the unique GUID of its GPT entry, the kernel's `PARTUUID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartGuid(pub Uuid);

impl From<Uuid> for PartGuid {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for PartGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a partition in the table, counted from 1, as the kernel numbers its partition devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionNumber(pub u32);

impl fmt::Display for PartitionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The attribute bits of a GPT entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub u64);

impl Attributes {
    /// Bit 60: to be mounted read-only.
    pub const READ_ONLY: Self = Self(1 << 60);
    /// Bit 63: not to be mounted by automatic discovery.
    pub const NO_AUTO: Self = Self(1 << 63);

    /// These bits and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
