//! A folder: its entries as they are read, and where a new one goes so that a single sector makes it appear.

use std::ops::Range;

use super::EspError;
use super::geometry::{Cluster, Geometry, SECTOR, SECTOR_BYTES};
use super::name::{LONG_NAME, assemble_long_name, checksum, short_name};
use super::table::Table;
use crate::disk::device::BlockDevice;

/// Bytes of an entry.
pub const SLOT: usize = 32;
/// Entries of a sector.
pub const SLOTS: usize = SECTOR / SLOT;
/// The first byte of an entry that was removed.
pub const REMOVED: u8 = 0xe5;
/// More clusters than a folder of an ESP has.
const MAX_CLUSTERS: usize = 4096;

const VOLUME: u8 = 0x08;
const FOLDER: u8 = 0x10;

/// The 32 bytes of an entry, or of a part of its name.
pub type SlotBytes = [u8; SLOT];

/// A file or folder in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its slots: the parts of the long name, and last the entry itself.
    pub slots: Range<usize>,
    /// Where its content starts; `None` if it has none.
    pub first: Option<Cluster>,
    /// Bytes.
    pub size: u32,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// A folder in memory.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Its clusters.
    pub clusters: Vec<Cluster>,
    places: Vec<u64>,
    slots: Vec<SlotBytes>,
}

/// Where a set of slots goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// From this slot, all in one sector, which ends the folder or is in the midst of it.
    Here(usize),
    /// Into the sector that starts with this slot; what is left before it is filled up afterwards, and makes it visible.
    Next(usize),
    /// The folder must grow.
    None,
}

impl Folder {
    /// Reads a folder.
    pub fn read(
        device: &impl BlockDevice,
        geometry: &Geometry,
        table: &Table,
        first: Cluster,
    ) -> Result<Self, EspError> {
        let (clusters, whole) = table.chain(first);
        if !whole || clusters.len() > MAX_CLUSTERS {
            return Err(EspError::Damaged("a folder's chain of clusters"));
        }
        let mut places = Vec::new();
        let mut slots = Vec::new();
        for cluster in &clusters {
            let place = geometry.place_of(*cluster);
            let mut bytes = vec![0; usize::try_from(place.end - place.start).unwrap_or(0)];
            device
                .read_exact_at(&mut bytes, place.start)
                .map_err(|source| EspError::Read { offset: place.start, source })?;
            places.extend(place.step_by(SECTOR));
            let (whole, _) = bytes.as_chunks::<SLOT>();
            slots.extend_from_slice(whole);
        }
        Ok(Self { clusters, places, slots })
    }

    /// The slot that ends the folder; the number of slots if it is full.
    pub fn end(&self) -> usize {
        self.slots.iter().position(|slot| slot[0] == 0).unwrap_or(self.slots.len())
    }

    /// Files and folders, `.` and `..` left out.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut name_start = 0;
        for (index, slot) in self.slots[..self.end()].iter().enumerate() {
            if slot[11] == LONG_NAME && slot[0] != REMOVED {
                continue;
            }
            let parts = name_start.max(index.saturating_sub(20))..index;
            name_start = index + 1;
            if slot[0] == REMOVED || slot[0] == b'.' || slot[11] & VOLUME != 0 {
                continue;
            }
            let long = assemble_long_name(&self.slots[parts], checksum(slot));
            let start = index - long.as_ref().map_or(0, |(_, slots)| *slots);
            let first = u32::from(u16::from_le_bytes([slot[20], slot[21]])) << 16
                | u32::from(u16::from_le_bytes([slot[26], slot[27]]));
            entries.push(Entry {
                name: long.map_or_else(|| short_name(slot), |(name, _)| name),
                slots: start..index + 1,
                first: (first != 0).then_some(Cluster(first)),
                size: u32::from_le_bytes([slot[28], slot[29], slot[30], slot[31]]),
                is_folder: slot[11] & FOLDER != 0,
            });
        }
        entries
    }

    /// The short names that are taken.
    pub fn short_names(&self) -> Vec<[u8; 11]> {
        let short = |slot: &SlotBytes| slot.first_chunk().copied().unwrap_or_default();
        self.slots[..self.end()].iter().filter(|slot| slot[11] != LONG_NAME).map(short).collect()
    }

    /// Where `count` slots can go together in one sector, given that those of `vacated` will be free.
    pub fn room(&self, count: usize, vacated: &Range<usize>) -> Room {
        let end = self.end();
        let free = |slot: usize| slot >= end || vacated.contains(&slot) || self.slots[slot][0] == REMOVED;
        let here = (0..self.slots.len().saturating_sub(count - 1)).find(|&start| {
            let after = start + count;
            let one_sector = start / SLOTS == (after - 1) / SLOTS;
            // Reading ends where the first byte is 0: before the set all must be in use, and after it no old bytes may
            // come to light. Within its own sector the rest can be cleared with the same write.
            let seen = start <= end;
            let nothing_after =
                after <= end || !after.is_multiple_of(SLOTS) || self.slots.get(after).is_none_or(|slot| slot[0] == 0);
            one_sector && seen && nothing_after && (start..after).all(free)
        });
        if let Some(start) = here {
            return Room::Here(start);
        }
        let next = end.next_multiple_of(SLOTS);
        if next < self.slots.len() && end < self.slots.len() { Room::Next(next) } else { Room::None }
    }

    /// Puts slots into memory; the rest of their sector is cleared if the folder ended before it.
    pub fn put(&mut self, start: usize, slots: &[SlotBytes]) {
        let end = self.end();
        let after = start + slots.len();
        if let Some(places) = self.slots.get_mut(start..after) {
            places.copy_from_slice(slots);
        }
        if after > end
            && let Some(rest) = self.slots.get_mut(after..after.next_multiple_of(SLOTS))
        {
            rest.fill([0; SLOT]);
        }
    }

    /// Marks slots as removed, in memory.
    pub fn remove(&mut self, slots: Range<usize>) {
        for slot in self.slots.get_mut(slots).into_iter().flatten() {
            slot[0] = REMOVED;
        }
    }

    /// Fills the slots with removed entries, in memory.
    pub fn fill(&mut self, slots: Range<usize>) {
        for slot in self.slots.get_mut(slots).into_iter().flatten() {
            *slot = [0; SLOT];
            slot[0] = REMOVED;
        }
    }

    /// A slot's content.
    pub fn slot(&self, index: usize) -> SlotBytes {
        self.slots.get(index).copied().unwrap_or([0; SLOT])
    }

    /// The sector that a slot is in: where it is on the disk, and its bytes.
    pub fn sector_of(&self, slot: usize) -> Option<(u64, Vec<u8>)> {
        let sector = slot / SLOTS;
        let bytes = self.slots.get(sector * SLOTS..(sector + 1) * SLOTS)?;
        Some((*self.places.get(sector)?, bytes.concat()))
    }

    /// Where slots are on the disk, one range per sector.
    pub fn places_of(&self, slots: Range<usize>) -> Vec<Range<u64>> {
        let place = |slot: usize| {
            let start = self.places.get(slot / SLOTS)? + (slot % SLOTS * SLOT) as u64;
            Some(start..start + SLOT as u64)
        };
        slots.filter_map(place).collect()
    }
}

/// Bytes of a new cluster of a folder that starts with these slots.
pub fn fresh_cluster(slots: &[SlotBytes], cluster_bytes: u64) -> Vec<u8> {
    let mut bytes = slots.concat();
    bytes.resize(usize::try_from(cluster_bytes.max(SECTOR_BYTES)).unwrap_or(SECTOR), 0);
    bytes
}
