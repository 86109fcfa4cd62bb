//! The allocation table, in memory, with the sectors of it that were changed.

use std::collections::BTreeSet;
use std::ops::Range;

use super::EspError;
use super::geometry::{Cluster, Geometry, SECTOR, SECTOR_BYTES};
use crate::disk::device::BlockDevice;
use crate::disk::durable::DurableWriter;

/// The bits of an entry that are the number of the next cluster.
const NUMBER: u32 = 0x0fff_ffff;
/// The last cluster of a chain has this or more.
const END: u32 = 0x0fff_fff8;
/// A cluster that can't be used.
const BAD: u32 = 0x0fff_fff7;
/// In the entry of cluster 1: set while nobody has it mounted.
const CLEAN: u32 = 0x0800_0000;

/// Which cluster comes after which.
#[derive(Clone, Debug)]
pub struct Table {
    bytes: Vec<u8>,
    changed: BTreeSet<usize>,
    clusters: u32,
    copies_differ: bool,
}

impl Table {
    /// Reads the first copy, and compares it with the second.
    pub fn read(device: &impl BlockDevice, geometry: &Geometry) -> Result<Self, EspError> {
        let mut bytes = vec![0; usize::try_from(geometry.table_bytes()).unwrap_or(0)];
        let mut copies_differ = false;
        let mut tables = geometry.tables();
        let read = |bytes: &mut [u8], offset| {
            device.read_exact_at(bytes, offset).map_err(|source| EspError::Read { offset, source })
        };
        if let Some(first) = tables.next() {
            read(&mut bytes, first)?;
        }
        for other in tables {
            let mut copy = vec![0; bytes.len()];
            read(&mut copy, other)?;
            copies_differ |= copy != bytes;
        }
        Ok(Self { bytes, changed: BTreeSet::new(), clusters: geometry.clusters(), copies_differ })
    }

    /// Whether the copies on the disk were not the same.
    pub fn copies_differ(&self) -> bool {
        self.copies_differ
    }

    fn entry(&self, number: u32) -> u32 {
        let start = number as usize * 4;
        self.bytes.get(start..start + 4).map_or(0, |entry| u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]))
    }

    fn set(&mut self, number: u32, value: u32) {
        let start = number as usize * 4;
        let kept = self.entry(number) & !NUMBER;
        if let Some(entry) = self.bytes.get_mut(start..start + 4) {
            entry.copy_from_slice(&(kept | value & NUMBER).to_le_bytes());
            self.changed.insert(start / SECTOR);
        }
    }

    /// The clusters of a chain, up to its end. One that leads to a free, bad or missing cluster, or in a circle, is
    /// cut short, and `false` says so.
    pub fn chain(&self, first: Cluster) -> (Vec<Cluster>, bool) {
        let mut chain = Vec::new();
        let mut next = first.0;
        while (2..self.clusters + 2).contains(&next) && chain.len() <= self.clusters as usize {
            let entry = self.entry(next) & NUMBER;
            if entry == 0 || entry == BAD {
                return (chain, false);
            }
            chain.push(Cluster(next));
            if entry >= END {
                return (chain, true);
            }
            next = entry;
        }
        (Vec::new(), false)
    }

    /// All clusters that are in use.
    pub fn used(&self) -> impl Iterator<Item = Cluster> + '_ {
        let used = |number: &u32| !matches!(self.entry(*number) & NUMBER, 0 | BAD);
        (2..self.clusters + 2).filter(used).map(Cluster)
    }

    /// Number of free clusters.
    pub fn free(&self) -> u32 {
        let free = (2..self.clusters + 2).filter(|number| self.entry(*number) & NUMBER == 0).count();
        u32::try_from(free).unwrap_or(0)
    }

    /// Takes `count` free clusters, side by side if there is such a place, and chains them. `None` if there are too few;
    /// nothing is changed then.
    pub fn take(&mut self, count: u32) -> Option<Vec<Cluster>> {
        let wanted = usize::try_from(count).ok()?;
        if wanted == 0 {
            return Some(Vec::new());
        }
        let free: Vec<u32> = (2..self.clusters + 2).filter(|number| self.entry(*number) & NUMBER == 0).collect();
        let together = |run: &&[u32]| matches!(run, [first, .., last] if last - first + 1 == count);
        let run = free.windows(wanted).find(together).or_else(|| free.get(..wanted))?;
        for pair in run.windows(2) {
            self.set(pair[0], pair[1]);
        }
        self.set(*run.last()?, END | 7);
        Some(run.iter().copied().map(Cluster).collect())
    }

    /// Lets a chain go on with another cluster.
    pub fn link(&mut self, last: Cluster, next: Cluster) {
        self.set(last.0, next.0);
    }

    /// Frees clusters.
    pub fn free_all(&mut self, clusters: impl IntoIterator<Item = Cluster>) {
        for cluster in clusters {
            self.set(cluster.0, 0);
        }
    }

    /// Says that the file system is not in the middle of a change.
    pub fn mark_clean(&mut self) {
        let entry = self.entry(1);
        if entry & CLEAN == 0
            && let Some(bytes) = self.bytes.get_mut(4..8)
        {
            bytes.copy_from_slice(&(entry | CLEAN).to_le_bytes());
            self.changed.insert(0);
        }
    }

    /// Whether the table itself says that the file system was left in the middle of a change.
    pub fn is_dirty(&self) -> bool {
        self.entry(1) & CLEAN == 0
    }

    /// Has the copies written anew as a whole.
    pub fn rewrite_all(&mut self) {
        self.changed.extend(0..self.bytes.len() / SECTOR);
        self.copies_differ = false;
    }

    /// Writes the changed sectors into all copies and flushes. The copy that is read first goes last.
    pub fn commit<D: BlockDevice>(
        &mut self,
        writer: &mut DurableWriter<D>,
        geometry: &Geometry,
    ) -> Result<(), EspError> {
        let changed: Vec<usize> = std::mem::take(&mut self.changed).into_iter().collect();
        for copy in geometry.tables().rev() {
            for run in runs(&changed) {
                let offset = copy + run.start as u64 * SECTOR_BYTES;
                writer.write(offset, &self.bytes[run.start * SECTOR..run.end * SECTOR])?;
            }
        }
        Ok(writer.sync()?)
    }
}

/// Numbers that follow one another, as ranges.
fn runs(numbers: &[usize]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}
