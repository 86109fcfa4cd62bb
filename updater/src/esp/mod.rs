//! The EFI system partition of a running host: boot entries are listed, added, renamed and removed on its FAT32 directly,
//! in an order that no power cut can break (`docs/adr/0008-esp-written-directly.md`).
//!
//! A file's clusters are written and chained, flushed and read back before any folder knows them; the one write that
//! makes it appear, go, or change its name is a single sector, which a disk writes as a whole or not at all. What a power cut
//! leaves behind are clusters that nothing refers to, and [`Esp::mend`] frees them.
//!
//! Expected is also a file system that firmware, an administrator or an attacker left in any state: numbers that point
//! outside (checked in [`geometry`]), chains in circles or into nothing (cut short in [`table`]), two files over the same
//! clusters (neither's are ever freed), folders within themselves (each cluster is walked once), folders that
//! can't be read (nothing is freed then), names that are no text.
//! Memory is bounded by the table, 16 MiB at most.

mod folder;
mod geometry;
mod name;
mod table;

use std::collections::BTreeSet;
use std::io::{self, Read, Write as _};
use std::ops::Range;

use slipway_images::digest::{Digest, DigestWriter};
use slipway_images::names::ENTRY_FOLDER;

use self::folder::{Entry, Folder, Room, SLOTS, fresh_cluster};
pub use self::geometry::Cluster;
use self::geometry::{Geometry, SECTOR};
use self::table::Table;
use crate::disk::device::BlockDevice;
use crate::disk::durable::{DurableWriter, WriteError};

/// Bytes of a file that are moved at a time.
const CHUNK: u64 = 256 << 10;

/// Why the ESP can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum EspError {
    /// The boot sector.
    #[error("the ESP has no valid FAT32: {0}")]
    BootSector(&'static str),
    /// Something further in.
    #[error("the ESP is damaged: {0}")]
    Damaged(&'static str),
    /// It could not be read.
    #[error("can't read the ESP at byte {offset} of the disk")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The folder for boot entries is missing.
    #[error("the ESP has no folder `{ENTRY_FOLDER}`")]
    NoFolder,
    /// The file is not there.
    #[error("the ESP has no `{ENTRY_FOLDER}/{0}`")]
    NoFile(String),
    /// No room.
    #[error("the ESP is full: {needed} bytes are needed and {free} are free")]
    Full {
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The new file could not be read from where it comes.
    #[error("can't read the content for `{name}`")]
    Content {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The new file is not what it should be.
    #[error("the content for `{name}` is not the signed one")]
    WrongContent {
        /// The file.
        name: String,
    },
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A file in the folder for boot entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryFile {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// How the file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether there is something to [`mend`](Esp::mend).
    pub needs_mending: bool,
    /// Bytes for files that are free, or will be once it is mended.
    pub room: u64,
}

/// The ESP as it was read.
#[derive(Clone, Debug)]
pub struct Esp {
    geometry: Geometry,
    table: Table,
}

impl Esp {
    /// Reads the file system in these bytes of the disk.
    pub fn open(device: &impl BlockDevice, span: Range<u64>) -> Result<Self, EspError> {
        let geometry = Geometry::read(device, span)?;
        let table = Table::read(device, &geometry)?;
        Ok(Self { geometry, table })
    }

    /// The files in the folder for boot entries, sorted by name.
    pub fn entries(&self, device: &impl BlockDevice) -> Result<Vec<EntryFile>, EspError> {
        let folder = self.entry_folder(device)?;
        let files = folder.entries().into_iter().filter(|entry| !entry.is_folder);
        let mut files: Vec<_> =
            files.map(|entry| EntryFile { name: entry.name, size: u64::from(entry.size) }).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// What there is to mend, and how much room.
    pub fn condition(&self, device: &impl BlockDevice) -> Result<Condition, EspError> {
        let lost = self.lost(device).len();
        let needs_mending = self.geometry.dirty()
            || self.table.is_dirty()
            || self.table.copies_differ()
            || lost > 0
            || self.info_sector(device)?.is_some()
            || self.remains(device)?.is_some();
        Ok(Condition {
            needs_mending,
            room: (u64::from(self.table.free()) + lost as u64) * self.geometry.cluster_bytes(),
        })
    }

    /// Frees clusters that nothing refers to, removes what `fsck` leaves in the root folder, makes the tables equal,
    /// and takes away the mark of an interrupted change.
    pub fn mend<D: BlockDevice>(&mut self, writer: &mut DurableWriter<D>) -> Result<(), EspError> {
        while let Some((mut folder, entry)) = self.remains(writer.device())? {
            self.remove_entry(writer, &mut folder, &entry)?;
        }
        let lost = self.lost(writer.device());
        if self.table.copies_differ() {
            self.table.rewrite_all();
        }
        self.table.free_all(lost);
        self.table.mark_clean();
        self.table.commit(writer, &self.geometry)?;
        self.write_info(writer)?;
        if self.geometry.dirty() {
            let start = self.geometry.span().start;
            let mut sector = read_sector(writer.device(), start)?;
            sector[65] &= !1;
            writer.write(start, &sector)?;
            writer.sync()?;
            self.geometry = Geometry::read(writer.device(), self.geometry.span())?;
        }
        Ok(())
    }

    /// Adds a file of `size` bytes, which must have `digest`. It has no name before it is on the disk and was read back.
    pub fn add<D: BlockDevice>(
        &mut self,
        writer: &mut DurableWriter<D>,
        name: &str,
        size: u64,
        digest: Digest,
        content: &mut dyn Read,
    ) -> Result<(), EspError> {
        let cluster_bytes = self.geometry.cluster_bytes();
        let full = |esp: &Self| EspError::Full { needed: size, free: u64::from(esp.table.free()) * cluster_bytes };
        // One more in case that the folder has to grow.
        let count = u32::try_from(size.div_ceil(cluster_bytes)).map_err(|_| full(self))?;
        let length = u32::try_from(size).map_err(|_| full(self))?;
        if self.table.free() <= count {
            return Err(full(self));
        }
        let before = self.table.clone();
        let clusters = self.table.take(count).ok_or_else(|| full(self))?;
        let written = self.write_content(writer, name, size, &clusters, content).and_then(|()| {
            let found = self.digest_of(writer.device(), &clusters, size)?;
            if found == digest { Ok(()) } else { Err(EspError::WrongContent { name: name.to_owned() }) }
        });
        if let Err(error) = written {
            // The clusters are still free on the disk.
            self.table = before;
            return Err(error);
        }
        self.table.commit(writer, &self.geometry)?;
        let mut folder = self.entry_folder(writer.device())?;
        self.add_entry(writer, &mut folder, name, clusters.first().copied(), length)?;
        self.write_info(writer)
    }

    /// Removes a file of the folder for boot entries, then frees its clusters.
    pub fn remove<D: BlockDevice>(&mut self, writer: &mut DurableWriter<D>, name: &str) -> Result<(), EspError> {
        let mut folder = self.entry_folder(writer.device())?;
        let entry = find(&folder, name)?;
        self.remove_entry(writer, &mut folder, &entry)?;
        self.write_info(writer)
    }

    /// Renames a file. With room in its own sector, which is nearly always, the old name goes and the new one appears with
    /// one write; else the new one is there before the old one goes.
    pub fn rename<D: BlockDevice>(
        &mut self,
        writer: &mut DurableWriter<D>,
        from: &str,
        to: &str,
    ) -> Result<(), EspError> {
        let mut folder = self.entry_folder(writer.device())?;
        let entry = find(&folder, from)?;
        let mut taken = folder.short_names();
        let own = folder.slot(entry.slots.end - 1).first_chunk().copied().unwrap_or_default();
        taken.retain(|short| *short != own);
        let slots = name::slots_of(to, entry.first, entry.size, &taken)
            .ok_or(EspError::Damaged("a folder without a free short name"))?;
        let one_sector = entry.slots.start / SLOTS == (entry.slots.end - 1) / SLOTS;
        match folder.room(slots.len(), &entry.slots) {
            Room::Here(start) if one_sector && start / SLOTS == entry.slots.start / SLOTS => {
                folder.remove(entry.slots.clone());
                folder.put(start, &slots);
                write_sector(writer, &folder, start)
            }
            _ => {
                self.add_entry(writer, &mut folder, to, entry.first, entry.size)?;
                remove_name(writer, &mut folder, &entry)?;
                // The folder may have grown.
                self.write_info(writer)
            }
        }
    }

    /// The digest and size of a file.
    pub fn digest(&self, device: &impl BlockDevice, name: &str) -> Result<(Digest, u64), EspError> {
        let entry = find(&self.entry_folder(device)?, name)?;
        let (clusters, _) = entry.first.map_or((Vec::new(), true), |first| self.table.chain(first));
        let size = u64::from(entry.size);
        Ok((self.digest_of(device, &clusters, size)?, size))
    }

    /// Where a file's content is on the disk.
    pub fn content_places(&self, device: &impl BlockDevice, name: &str) -> Result<Vec<Range<u64>>, EspError> {
        let entry = find(&self.entry_folder(device)?, name)?;
        let (clusters, _) = entry.first.map_or((Vec::new(), true), |first| self.table.chain(first));
        Ok(clusters.into_iter().map(|cluster| self.geometry.place_of(cluster)).collect())
    }

    /// Where a file's name and first cluster are on the disk.
    pub fn name_places(&self, device: &impl BlockDevice, name: &str) -> Result<Vec<Range<u64>>, EspError> {
        let folder = self.entry_folder(device)?;
        let entry = find(&folder, name)?;
        Ok(folder.places_of(entry.slots))
    }

    fn entry_folder(&self, device: &impl BlockDevice) -> Result<Folder, EspError> {
        let mut folder = Folder::read(device, &self.geometry, &self.table, self.geometry.root())?;
        for part in ENTRY_FOLDER.split('/') {
            let is_it = |entry: &Entry| entry.is_folder && entry.name.eq_ignore_ascii_case(part);
            let first = folder.entries().into_iter().find(is_it).and_then(|entry| entry.first);
            folder = Folder::read(device, &self.geometry, &self.table, first.ok_or(EspError::NoFolder)?)?;
        }
        Ok(folder)
    }

    fn write_content<D: BlockDevice>(
        &self,
        writer: &mut DurableWriter<D>,
        name: &str,
        size: u64,
        clusters: &[Cluster],
        content: &mut dyn Read,
    ) -> Result<(), EspError> {
        let failed = |source| EspError::Content { name: name.to_owned(), source };
        let mut left = size;
        for run in self.runs(clusters) {
            let room = run.len() as u64 * self.geometry.cluster_bytes();
            let mut bytes = vec![0; usize::try_from(left.min(room)).unwrap_or(0)];
            content.read_exact(&mut bytes).map_err(failed)?;
            left -= bytes.len() as u64;
            bytes.resize(usize::try_from(room).unwrap_or(0), 0);
            writer.write(self.geometry.place_of(run[0]).start, &bytes)?;
        }
        if content.read(&mut [0]).map_err(failed)? > 0 {
            return Err(EspError::WrongContent { name: name.to_owned() });
        }
        Ok(writer.sync()?)
    }

    fn digest_of(&self, device: &impl BlockDevice, clusters: &[Cluster], size: u64) -> Result<Digest, EspError> {
        let mut sink = DigestWriter::new(io::sink());
        let mut left = size;
        for run in self.runs(clusters) {
            let place = self.geometry.place_of(run[0]).start;
            let len = left.min(run.len() as u64 * self.geometry.cluster_bytes());
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            let read = device.read_exact_at(&mut bytes, place).and_then(|()| sink.write_all(&bytes));
            read.map_err(|source| EspError::Read { offset: place, source })?;
            left -= len;
        }
        if left == 0 {
            Ok(sink.finish().1)
        } else {
            Err(EspError::Damaged("a file is longer than its chain of clusters"))
        }
    }

    /// Clusters that lie side by side, at most [`CHUNK`] bytes of them at a time.
    fn runs<'a>(&self, clusters: &'a [Cluster]) -> impl Iterator<Item = &'a [Cluster]> + use<'a> {
        let per_chunk = usize::try_from(CHUNK / self.geometry.cluster_bytes()).unwrap_or(1).max(1);
        clusters.chunk_by(|a, b| a.0 + 1 == b.0).flat_map(move |run| run.chunks(per_chunk))
    }

    fn add_entry<D: BlockDevice>(
        &mut self,
        writer: &mut DurableWriter<D>,
        folder: &mut Folder,
        name: &str,
        first: Option<Cluster>,
        size: u32,
    ) -> Result<(), EspError> {
        let slots = name::slots_of(name, first, size, &folder.short_names())
            .filter(|slots| slots.len() <= SLOTS)
            .ok_or(EspError::Damaged("a folder without a free short name"))?;
        let end = folder.end();
        match folder.room(slots.len(), &(0..0)) {
            Room::Here(start) => {
                folder.put(start, &slots);
                write_sector(writer, folder, start)
            }
            Room::Next(start) => {
                folder.put(start, &slots);
                write_sector(writer, folder, start)?;
                folder.fill(end..start);
                write_sector(writer, folder, end)
            }
            Room::None => {
                let needed = self.geometry.cluster_bytes();
                let grown = self.table.take(1).ok_or(EspError::Full { needed, free: 0 })?;
                let (new, last) = (grown.first().copied(), folder.clusters.last().copied());
                let (Some(new), Some(last)) = (new, last) else { return Err(EspError::NoFolder) };
                writer.write(self.geometry.place_of(new).start, &fresh_cluster(&slots, needed))?;
                writer.sync()?;
                self.table.commit(writer, &self.geometry)?;
                self.table.link(last, new);
                self.table.commit(writer, &self.geometry)?;
                let full = folder.end();
                if let Some((place, _)) = folder.sector_of(full) {
                    // Entries before the new cluster's, up to the end of the old last sector.
                    folder.fill(full..full.next_multiple_of(SLOTS));
                    let (_, bytes) = folder.sector_of(full).ok_or(EspError::NoFolder)?;
                    writer.write(place, &bytes)?;
                    writer.sync()?;
                }
                Ok(())
            }
        }
    }

    fn remove_entry<D: BlockDevice>(
        &mut self,
        writer: &mut DurableWriter<D>,
        folder: &mut Folder,
        entry: &Entry,
    ) -> Result<(), EspError> {
        remove_name(writer, folder, entry)?;
        let freed = entry.first.map_or(Vec::new(), |first| self.table.chain(first).0);
        // Clusters that another file has too, or may have, stay.
        let Some(still_used) = self.referred(writer.device()) else { return Ok(()) };
        self.table.free_all(freed.into_iter().filter(|cluster| !still_used.contains(cluster)));
        self.table.commit(writer, &self.geometry)
    }

    /// All clusters that files and folders refer to; `None` if a folder is damaged, and nobody knows what is in it.
    fn referred(&self, device: &impl BlockDevice) -> Option<BTreeSet<Cluster>> {
        let mut referred = BTreeSet::new();
        let mut folders = vec![self.geometry.root()];
        while let Some(first) = folders.pop() {
            let folder = Folder::read(device, &self.geometry, &self.table, first).ok()?;
            referred.extend(folder.clusters.iter().copied());
            for entry in folder.entries() {
                let Some(first) = entry.first.filter(|first| self.geometry.has(*first)) else { continue };
                if !entry.is_folder {
                    referred.extend(self.table.chain(first).0);
                } else if !referred.contains(&first) {
                    folders.push(first);
                }
            }
        }
        Some(referred)
    }

    /// Clusters that are in use, and that nothing refers to.
    fn lost(&self, device: &impl BlockDevice) -> Vec<Cluster> {
        let Some(referred) = self.referred(device) else { return Vec::new() };
        self.table.used().filter(|cluster| !referred.contains(cluster)).collect()
    }

    /// A file that `fsck.vfat` made of lost clusters, `FSCK0000.REC` in the root folder, and that folder.
    fn remains(&self, device: &impl BlockDevice) -> Result<Option<(Folder, Entry)>, EspError> {
        let root = Folder::read(device, &self.geometry, &self.table, self.geometry.root())?;
        let is_remains = |entry: &Entry| {
            let digits = entry.name.strip_prefix("FSCK").and_then(|name| name.strip_suffix(".REC"));
            !entry.is_folder && digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let found = root.entries().into_iter().find(is_remains);
        Ok(found.map(|entry| (root, entry)))
    }

    /// The information sector with the right number of free clusters, if the one on the disk has another.
    fn info_sector(&self, device: &impl BlockDevice) -> Result<Option<(u64, Vec<u8>)>, EspError> {
        let Some(place) = self.geometry.info() else { return Ok(None) };
        let mut sector = read_sector(device, place)?;
        let free = self.table.free().to_le_bytes();
        if sector[..4] != *b"RRaA" || sector[488..492] == free {
            return Ok(None);
        }
        sector[488..492].copy_from_slice(&free);
        Ok(Some((place, sector)))
    }

    fn write_info<D: BlockDevice>(&self, writer: &mut DurableWriter<D>) -> Result<(), EspError> {
        if let Some((place, sector)) = self.info_sector(writer.device())? {
            writer.write(place, &sector)?;
            writer.sync()?;
        }
        Ok(())
    }
}

fn find(folder: &Folder, name: &str) -> Result<Entry, EspError> {
    let is_it = |entry: &Entry| !entry.is_folder && entry.name == name;
    folder.entries().into_iter().find(is_it).ok_or_else(|| EspError::NoFile(name.to_owned()))
}

/// Removes an entry's slots: all at once where they are in one sector, else the one that counts first.
fn remove_name<D: BlockDevice>(
    writer: &mut DurableWriter<D>,
    folder: &mut Folder,
    entry: &Entry,
) -> Result<(), EspError> {
    let last = entry.slots.end - 1;
    let border = entry.slots.start.max(last / SLOTS * SLOTS);
    folder.remove(border..entry.slots.end);
    write_sector(writer, folder, last)?;
    if border > entry.slots.start {
        folder.remove(entry.slots.start..border);
        write_sector(writer, folder, entry.slots.start)?;
    }
    Ok(())
}

fn write_sector<D: BlockDevice>(writer: &mut DurableWriter<D>, folder: &Folder, slot: usize) -> Result<(), EspError> {
    let (place, bytes) = folder.sector_of(slot).ok_or(EspError::Damaged("a folder without sectors"))?;
    writer.write(place, &bytes)?;
    Ok(writer.sync()?)
}

fn read_sector(device: &impl BlockDevice, offset: u64) -> Result<Vec<u8>, EspError> {
    let mut sector = vec![0; SECTOR];
    device.read_exact_at(&mut sector, offset).map_err(|source| EspError::Read { offset, source })?;
    Ok(sector)
}
