//! Writing the partition table of a fresh image: protective MBR, and the GPT at both ends.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{Read, Seek, Write};

use gpt::mbr::{MBRError, ProtectiveMBR};
use gpt::partition::Partition as Entry;
use gpt::partition_types::{OperatingSystem, Type};
use gpt::{GptConfig, GptError};

use super::identity::DiskIdentity;
use super::layout::{DiskLayout, Part, Slot};
use super::{Attributes, PartGuid};
use crate::names::{EMPTY_LABEL, PartitionLabel};

/// What a slot is called that holds an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilledSlot {
    /// The label of both partitions.
    pub label: PartitionLabel,
    /// GUID of the root partition: the first half of the root hash.
    pub root: PartGuid,
    /// GUID of the verity partition: the second half of the root hash.
    pub verity: PartGuid,
}

/// A partition table that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteTableError {
    /// The protective MBR.
    #[error("can't write the protective MBR")]
    Mbr(#[source] MBRError),
    /// The GPT.
    #[error("can't write the partition table")]
    Table(#[source] GptError),
}

/// The attributes of a slot's partitions. Always read-only, as nothing but an update writes to them, and that not through
/// a mount. An empty slot is also kept from automatic discovery, beyond what its label `_empty` does.
pub const fn slot_attributes(filled: bool) -> Attributes {
    if filled { Attributes::READ_ONLY } else { Attributes::READ_ONLY.with(Attributes::NO_AUTO) }
}

/// Writes the table of `layout` to `device`, which must have exactly its size. Slot A holds `slot_a`, slot B nothing.
/// The state partition isn't there yet: systemd-repart adds it at first boot, and leaves alone what it has no definition for.
pub fn write_table(
    device: &mut (impl Read + Write + Seek + Debug),
    layout: DiskLayout,
    identity: &DiskIdentity,
    slot_a: &FilledSlot,
) -> Result<(), WriteTableError> {
    // An MBR has 32 bits for what may be more; UEFI 2.10 table 5-4 wants all ones then.
    let sectors = layout.disk_bytes() / DiskLayout::SECTOR.bytes();
    let mbr = ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap_or(u32::MAX));
    mbr.overwrite_lba0(device).map_err(WriteTableError::Mbr)?;

    let entries: BTreeMap<u32, Entry> =
        Part::ALL.into_iter().map(|part| (part.number().0, entry(part, layout, identity, slot_a))).collect();
    let mut table = GptConfig::new()
        .writable(true)
        .logical_block_size(gpt::disk::LogicalBlockSize::Lb512)
        .create_from_device(device, Some(identity.disk))
        .map_err(WriteTableError::Table)?;
    table.update_partitions(entries).map_err(WriteTableError::Table)?;
    table.write().map_err(WriteTableError::Table)?;
    Ok(())
}

fn entry(part: Part, layout: DiskLayout, identity: &DiskIdentity, slot_a: &FilledSlot) -> Entry {
    let (guid, name, attributes) = match part {
        Part::Esp => (identity.esp, "esp".to_owned(), Attributes::default()),
        Part::Root(Slot::A) => (slot_a.root, slot_a.label.to_string(), slot_attributes(true)),
        Part::Verity(Slot::A) => (slot_a.verity, slot_a.label.to_string(), slot_attributes(true)),
        Part::Root(Slot::B) | Part::Verity(Slot::B) => {
            (identity.empty_guid(part), EMPTY_LABEL.to_owned(), slot_attributes(false))
        }
    };
    let span = layout.span(part);
    Entry {
        part_type_guid: Type { guid: part.type_guid().0, os: OperatingSystem::None },
        part_guid: guid.0,
        first_lba: span.first.0,
        last_lba: span.last.0,
        flags: attributes.0,
        name,
    }
}
