//! Where the partitions of an image lie: decided from sizes alone.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Lba, PartitionNumber, SectorSize, TypeGuid};

/// Partitions begin and end at multiples of this many bytes.
pub const ALIGNMENT: u64 = 1 << 20;

/// A verity slot has one byte for this many of its root slot. The tree itself takes a little over 1/128.
const ROOT_BYTES_PER_VERITY_BYTE: u64 = 64;

/// One of the two places that an image can be in. Which one runs is another question. Written as `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first root partition and its hash tree.
    A,
    /// The second.
    B,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// A partition that every image has. The state partition is made at first boot and is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// EFI system partition.
    Esp,
    /// Root file system of a slot.
    Root(Slot),
    /// Verity hash tree of a slot's root.
    Verity(Slot),
}

impl Part {
    /// All, in the order in which they lie on the disk and stand in the table.
    pub const ALL: [Self; 5] =
        [Self::Esp, Self::Root(Slot::A), Self::Verity(Slot::A), Self::Root(Slot::B), Self::Verity(Slot::B)];

    /// Its number in the table.
    pub const fn number(self) -> PartitionNumber {
        PartitionNumber(match self {
            Self::Esp => 1,
            Self::Root(Slot::A) => 2,
            Self::Verity(Slot::A) => 3,
            Self::Root(Slot::B) => 4,
            Self::Verity(Slot::B) => 5,
        })
    }

    /// Its type.
    pub const fn type_guid(self) -> TypeGuid {
        match self {
            Self::Esp => TypeGuid::ESP,
            Self::Root(_) => TypeGuid::ROOT_X86_64,
            Self::Verity(_) => TypeGuid::ROOT_VERITY_X86_64,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Esp => f.write_str("esp"),
            Self::Root(slot) => write!(f, "root-{slot}"),
            Self::Verity(slot) => write!(f, "verity-{slot}"),
        }
    }
}

/// The sizes that a recipe gives, in bytes; each a positive multiple of [`ALIGNMENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSizes {
    /// The whole image.
    pub disk: u64,
    /// The EFI system partition.
    pub esp: u64,
    /// One root slot.
    pub slot: u64,
}

/// What is wrong with sizes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// A size that is zero or unaligned.
    #[error("{what} of {bytes} bytes is no positive multiple of 1 MiB")]
    Unaligned {
        /// `disk`, `esp` or `slot`.
        what: &'static str,
        /// The size.
        bytes: u64,
    },
    /// The partitions need more than the disk has.
    #[error("a disk of {disk} MiB is too small for its partitions, which need {needed} MiB")]
    DiskTooSmall {
        /// Size of the disk in MiB.
        disk: u64,
        /// What is needed, in MiB.
        needed: u64,
    },
    /// An image that doesn't fit its slot.
    #[error("{part} takes {bytes} bytes, and its slot of {slot} bytes is to keep {headroom_percent} % free")]
    SlotTooSmall {
        /// `root` or `verity`.
        part: &'static str,
        /// Bytes of the image.
        bytes: u64,
        /// Bytes of the slot.
        slot: u64,
        /// Share that is to stay free.
        headroom_percent: u32,
    },
}

/// Sectors of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First sector.
    pub first: Lba,
    /// Last sector.
    pub last: Lba,
}

impl Span {
    /// The bytes of the image that it covers.
    pub const fn bytes(self) -> Range<u64> {
        self.first.0 * DiskLayout::SECTOR.bytes()..(self.last.0 + 1) * DiskLayout::SECTOR.bytes()
    }

    /// How many bytes that are.
    pub const fn len(self) -> u64 {
        (self.last.0 - self.first.0 + 1) * DiskLayout::SECTOR.bytes()
    }

    /// Never: a span has at least one sector.
    pub const fn is_empty(self) -> bool {
        false
    }
}

/// A layout in which every partition has its place and the backup table its own at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLayout {
    sizes: DiskSizes,
}

impl DiskLayout {
    /// The sectors that images count in.
    pub const SECTOR: SectorSize = SectorSize::B512;

    /// Checks that everything fits.
    pub fn plan(sizes: DiskSizes) -> Result<Self, LayoutError> {
        for (what, bytes) in [("disk", sizes.disk), ("esp", sizes.esp), ("slot", sizes.slot)] {
            if bytes == 0 || bytes % ALIGNMENT != 0 {
                return Err(LayoutError::Unaligned { what, bytes });
            }
        }
        let (disk, needed) = (sizes.disk / ALIGNMENT, Self::needed_mib(sizes));
        if disk < needed { Err(LayoutError::DiskTooSmall { disk, needed }) } else { Ok(Self { sizes }) }
    }

    /// MiB for both tables and all partitions. Counted in MiB, no sum of these can overflow.
    fn needed_mib(sizes: DiskSizes) -> u64 {
        2 + sizes.esp / ALIGNMENT + 2 * (sizes.slot / ALIGNMENT) + 2 * (Self::verity_bytes(sizes) / ALIGNMENT)
    }

    fn verity_bytes(sizes: DiskSizes) -> u64 {
        sizes.slot.div_ceil(ROOT_BYTES_PER_VERITY_BYTE).next_multiple_of(ALIGNMENT)
    }

    fn part_bytes(self, part: Part) -> u64 {
        match part {
            Part::Esp => self.sizes.esp,
            Part::Root(_) => self.sizes.slot,
            Part::Verity(_) => Self::verity_bytes(self.sizes),
        }
    }

    /// Where a partition lies.
    pub fn span(self, part: Part) -> Span {
        let before: u64 =
            Part::ALL.into_iter().take_while(|&other| other != part).map(|other| self.part_bytes(other)).sum();
        let start = ALIGNMENT + before;
        let end = start + self.part_bytes(part);
        Span { first: Lba(start / Self::SECTOR.bytes()), last: Lba(end / Self::SECTOR.bytes() - 1) }
    }

    /// Bytes of the whole image.
    pub fn disk_bytes(self) -> u64 {
        self.sizes.disk
    }

    /// Bytes that the image leaves for the state partition. A larger disk has more.
    pub fn state_bytes(self) -> u64 {
        self.sizes.disk - Self::needed_mib(self.sizes) * ALIGNMENT
    }

    /// Checks that a root of `root` bytes leaves `headroom_percent` of its slot free, and that its tree of `verity` bytes
    /// fits too.
    pub fn check_fit(self, root: u64, verity: u64, headroom_percent: u32) -> Result<(), LayoutError> {
        let slot = self.sizes.slot;
        let free = slot.saturating_sub(root);
        if root > slot || u128::from(free) * 100 < u128::from(slot) * u128::from(headroom_percent) {
            return Err(LayoutError::SlotTooSmall { part: "root", bytes: root, slot, headroom_percent });
        }
        let slot = Self::verity_bytes(self.sizes);
        if verity > slot {
            return Err(LayoutError::SlotTooSmall { part: "verity", bytes: verity, slot, headroom_percent: 0 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const SIZES: DiskSizes = DiskSizes { disk: 4096 * ALIGNMENT, esp: 512 * ALIGNMENT, slot: 1000 * ALIGNMENT };

    #[test]
    fn partitions_follow_one_another_in_whole_mebibytes() {
        let layout = DiskLayout::plan(SIZES).unwrap();
        let starts = Part::ALL.map(|part| layout.span(part).bytes().start / ALIGNMENT);
        assert_eq!(starts, [1, 513, 1513, 1529, 2529]);
        assert_eq!(layout.span(Part::Verity(Slot::B)).bytes().end, 2545 * ALIGNMENT);
        assert_eq!(layout.state_bytes(), (4096 - 2546) * ALIGNMENT);
    }

    #[test]
    fn a_disk_without_room_is_refused_with_what_it_needs() {
        let smallest = DiskSizes { disk: 2546 * ALIGNMENT, ..SIZES };
        assert_eq!(DiskLayout::plan(smallest).unwrap().state_bytes(), 0);
        let error = DiskLayout::plan(DiskSizes { disk: 2545 * ALIGNMENT, ..SIZES }).unwrap_err();
        assert_eq!(error, LayoutError::DiskTooSmall { disk: 2545, needed: 2546 });
        let error = DiskLayout::plan(DiskSizes { esp: 1000, ..SIZES }).unwrap_err();
        assert_eq!(error, LayoutError::Unaligned { what: "esp", bytes: 1000 });
    }

    #[test]
    fn headroom_is_kept_to_the_byte() {
        let layout = DiskLayout::plan(SIZES).unwrap();
        layout.check_fit(900 * ALIGNMENT, 16 * ALIGNMENT, 10).unwrap();
        assert!(layout.check_fit(900 * ALIGNMENT + 1, 0, 10).is_err());
        assert!(layout.check_fit(0, 16 * ALIGNMENT + 1, 10).is_err());
        assert!(layout.check_fit(1001 * ALIGNMENT, 0, 0).is_err());
    }

    proptest! {
        #[test]
        fn no_sizes_make_planning_overflow(disk in any::<u64>(), esp in any::<u64>(), slot in any::<u64>()) {
            let [disk, esp, slot] = [disk, esp, slot].map(|bytes| bytes / ALIGNMENT * ALIGNMENT);
            if let Ok(layout) = DiskLayout::plan(DiskSizes { disk, esp, slot }) {
                prop_assert!(layout.span(Part::Verity(Slot::B)).bytes().end < disk);
            }
        }
    }
}
