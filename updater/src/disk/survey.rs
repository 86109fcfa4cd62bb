//! What is on the disk, read anew each time: partition tables, slots, boot entries, and which of them runs.
//!
//! The bytes may be torn, stale or forged. Readers of the table and of the ESP say what stops what; here a slot counts as
//! the running one only if its GUIDs are the halves of the root hash that the kernel was started with, and a boot entry
//! belongs to a slot only by its whole label. Nothing here decides what is done.

use std::ops::Range;

use serde::Serialize;
use slipway_images::disk::{Partition, PartitionTable, Slot, TableCopy, TableError, TableImage, TypeGuid};
use slipway_images::names::{BootEntryName, BootTries, PartitionLabel, TriesLeft};
use slipway_images::verity::RootHash;

use super::bytes_of;
use super::device::{BlockDevice, Window};
use crate::esp::{Esp, EspError};

/// Why it can't be said what is on the disk.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The partition table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A partition that every image has.
    #[error("the disk has no {0} partition")]
    Missing(&'static str),
    /// The running system is in no slot.
    #[error("no slot has the running system's root hash {0}")]
    NotRunning(RootHash),
    /// The running system has no label.
    #[error("the running slot's label `{0}` is no ID_VERSION")]
    Label(String),
    /// The running system has no boot entry.
    #[error("the ESP has no boot entry for the running system")]
    NoEntry,
    /// The ESP.
    #[error(transparent)]
    Esp(#[from] EspError),
    /// Something else writes to the disk at the same time.
    #[error("the disk changed while it was read")]
    Changed,
}

/// Both copies of the partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableState {
    /// Valid and equal.
    Same,
    /// Only the backup is valid.
    PrimaryDamaged,
    /// Only the primary is valid.
    BackupDamaged,
    /// Both are valid, and say different things.
    Differ,
}

/// A slot as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFound {
    /// Its position.
    pub name: Slot,
    /// The root partition.
    pub root: Partition,
    /// The partition of its hash tree.
    pub verity: Partition,
    /// The image in it, if both partitions name the same.
    pub label: Option<PartitionLabel>,
    /// Its boot entry; of several the best.
    pub entry: Option<BootEntryName>,
    /// Bytes of the entry's kernel image.
    pub kernel_size: u64,
}

impl SlotFound {
    /// The root hash that the GUIDs of its partitions come from, if it holds an image.
    pub fn root_hash(&self) -> Option<RootHash> {
        self.label.as_ref()?;
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(self.root.guid.0.as_bytes());
        bytes[16..].copy_from_slice(self.verity.guid.0.as_bytes());
        Some(RootHash::from_bytes(bytes))
    }
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The partition tables.
    pub tables: TableState,
    /// The bytes of the disk that partitions can have.
    pub usable: Range<u64>,
    /// The EFI system partition.
    pub esp: Partition,
    /// Both slots: a, b.
    pub slots: [SlotFound; 2],
    /// Which one runs.
    pub running: Slot,
    /// The image that runs.
    pub running_label: PartitionLabel,
    /// Boot entries of the running image's id that belong to no slot, or are there twice.
    pub leftovers: Vec<BootEntryName>,
    /// Whether the ESP has lost clusters, or is marked as not cleanly left.
    pub esp_needs_mending: bool,
    /// Bytes that are free for files on the ESP.
    pub esp_room: u64,
}

impl Survey {
    /// Looks at the whole disk, of which the system with root hash `booted` runs.
    pub fn read(device: &impl BlockDevice, booted: RootHash) -> Result<Self, SurveyError> {
        let table = PartitionTable::read(&mut Window::whole(device))?;
        let of_type = |kind| table.partitions.iter().filter(move |partition| partition.type_guid == kind);
        let nth = |kind, position, what| of_type(kind).nth(position).cloned().ok_or(SurveyError::Missing(what));
        let slot = |name, position, root, verity| {
            let root = nth(TypeGuid::ROOT_X86_64, position, root)?;
            let verity = nth(TypeGuid::ROOT_VERITY_X86_64, position, verity)?;
            let label = root.name.parse().ok().filter(|_| root.name == verity.name);
            Ok::<_, SurveyError>(SlotFound { name, root, verity, label, entry: None, kernel_size: 0 })
        };
        let mut slots = [slot(Slot::A, 0, "root-a", "verity-a")?, slot(Slot::B, 1, "root-b", "verity-b")?];
        let runs = |slot: &&SlotFound| {
            slot.root.guid.0 == booted.root_part_guid() && slot.verity.guid.0 == booted.verity_part_guid()
        };
        let running = slots.iter().find(runs).ok_or(SurveyError::NotRunning(booted))?;
        let running_label = running.label.clone().ok_or_else(|| SurveyError::Label(running.root.name.clone()))?;
        let running = running.name;

        let esp_partition = nth(TypeGuid::ESP, 0, "EFI system")?;
        let esp = Esp::open(device, bytes_of(&esp_partition))?;
        let mut leftovers = Vec::new();
        for file in esp.entries(device)? {
            // What is no entry of this image is somebody else's, and stays.
            let Ok(entry) = file.name.parse::<BootEntryName>() else { continue };
            if entry.label().id() != running_label.id() {
                continue;
            }
            match slots.iter_mut().find(|slot| slot.label.as_ref() == Some(entry.label())) {
                None => leftovers.push(entry),
                Some(slot) => match slot.entry.take() {
                    Some(other) if rank(other.tries()) > rank(entry.tries()) => {
                        leftovers.push(entry);
                        slot.entry = Some(other);
                    }
                    other => {
                        leftovers.extend(other);
                        slot.entry = Some(entry);
                        slot.kernel_size = file.size;
                    }
                },
            }
        }
        let condition = esp.condition(device)?;
        let sector = table.sector_size.bytes();
        Ok(Self {
            tables: table_state(device, &table),
            usable: table.first_usable.0 * sector..(table.last_usable.0 + 1) * sector,
            esp: esp_partition,
            slots,
            running,
            running_label,
            leftovers,
            esp_needs_mending: condition.needs_mending,
            esp_room: condition.room,
        })
    }

    /// The slot that runs.
    pub fn running(&self) -> &SlotFound {
        &self.slots[usize::from(self.running == Slot::B)]
    }

    /// The slot that doesn't run.
    pub fn other(&self) -> &SlotFound {
        &self.slots[usize::from(self.running == Slot::A)]
    }

    /// Whether the boot loader takes the other slot's entry before the running one's, if it can read both: entries without tries
    /// come last, and of the others the one of the higher version comes first.
    pub fn other_comes_first(&self) -> bool {
        let has_tries = |slot: &SlotFound| {
            let entry = slot.entry.as_ref();
            entry.is_some_and(|entry| !matches!(entry.tries(), BootTries::Counted { left: TriesLeft(0), .. }))
        };
        let version = |slot: &SlotFound| slot.label.as_ref().map(|label| label.version().clone());
        let place = |slot| (has_tries(slot), version(slot));
        place(self.other()) > place(self.running())
    }
}

/// Of two entries for one image, the boot loader takes the one of higher rank.
fn rank(tries: BootTries) -> (bool, u32) {
    match tries {
        BootTries::Good => (true, 0),
        BootTries::Counted { left, .. } => (false, left.0),
    }
}

fn table_state(device: &impl BlockDevice, table: &PartitionTable) -> TableState {
    let read = |copy| TableImage::read(&mut Window::whole(device), copy);
    match (table.copy, read(TableCopy::Primary), read(TableCopy::Backup)) {
        (TableCopy::Backup, ..) | (_, Err(_), _) => TableState::PrimaryDamaged,
        (_, _, Err(_)) => TableState::BackupDamaged,
        (_, Ok(primary), Ok(backup)) if primary.same_entries(&backup) => TableState::Same,
        _ => TableState::Differ,
    }
}
