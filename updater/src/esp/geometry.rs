//! The boot sector of a FAT32, and where things are by its numbers.

use std::ops::Range;

use super::EspError;
use crate::disk::device::BlockDevice;

/// Bytes of a sector: what images are made with, and what a disk writes as a whole or not at all.
pub const SECTOR: usize = 512;
/// The same, for offsets.
pub const SECTOR_BYTES: u64 = 512;

/// The largest cluster that any driver takes.
const MAX_CLUSTER_SECTORS: u64 = 256;
/// More clusters than a FAT32 can have.
const MAX_CLUSTERS: u64 = 0x0fff_fff5;
/// Bytes of the tables that are read: a file system of 2 TiB with clusters of 32 KiB has 256 MiB, an ESP never more than this.
const MAX_TABLE_SECTORS: u64 = 16 << 20 >> 9;

/// The number of a cluster, counted from 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cluster(pub u32);

/// Where things lie. All places are bytes from the start of the disk.
#[derive(Clone, Debug)]
pub struct Geometry {
    span: Range<u64>,
    table: u64,
    table_sectors: u64,
    tables: u64,
    data: u64,
    cluster_sectors: u64,
    clusters: u32,
    root: Cluster,
    info: Option<u64>,
    dirty: bool,
}

impl Geometry {
    /// Reads the boot sector of the file system in `span` and checks that its numbers describe areas within it.
    pub fn read(device: &impl BlockDevice, span: Range<u64>) -> Result<Self, EspError> {
        let mut sector = [0; SECTOR];
        device
            .read_exact_at(&mut sector, span.start)
            .map_err(|source| EspError::Read { offset: span.start, source })?;
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let u32_at =
            |at: usize| u64::from(u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]));
        let check = |good: bool, what| if good { Ok(()) } else { Err(EspError::BootSector(what)) };

        check(sector[510..] == [0x55, 0xaa], "no signature")?;
        check(u16_at(11) == SECTOR_BYTES, "sectors of a size other than 512")?;
        check(u16_at(17) == 0 && u16_at(22) == 0, "not a FAT32")?;
        let (cluster_sectors, reserved, tables) = (u64::from(sector[13]), u16_at(14), u64::from(sector[16]));
        let (total, table_sectors) = (u32_at(32), u32_at(36));
        check(cluster_sectors.is_power_of_two() && cluster_sectors <= MAX_CLUSTER_SECTORS, "cluster size")?;
        check(total > 0 && total * SECTOR_BYTES <= span.end - span.start, "more sectors than the partition has")?;
        check(reserved > 0 && (1..=2).contains(&tables), "allocation tables")?;
        check((1..=MAX_TABLE_SECTORS).contains(&table_sectors), "size of the allocation tables")?;
        check(u16_at(40) & 0x80 == 0, "allocation tables that are not mirrored")?;
        let before_data = reserved + tables * table_sectors;
        check(before_data < total, "no room for data")?;
        // The tables may have room for fewer clusters than there are sectors for.
        let counted = ((total - before_data) / cluster_sectors).min(table_sectors * SECTOR_BYTES / 4 - 2);
        check(counted > 0 && counted < MAX_CLUSTERS, "number of clusters")?;
        let root = Cluster(u32::try_from(u32_at(44)).unwrap_or(0));
        check((2..counted + 2).contains(&u64::from(root.0)), "place of the root folder")?;
        let info = Some(u16_at(48)).filter(|place| (1..reserved).contains(place));
        let at = |sectors: u64| span.start + sectors * SECTOR_BYTES;
        Ok(Self {
            table: at(reserved),
            table_sectors,
            tables,
            data: at(before_data),
            cluster_sectors,
            clusters: u32::try_from(counted).unwrap_or(0),
            root,
            info: info.map(at),
            dirty: sector[65] & 1 != 0,
            span,
        })
    }

    /// The whole file system.
    pub fn span(&self) -> Range<u64> {
        self.span.clone()
    }

    /// Where the copies of the allocation table start, the one that is read first.
    pub fn tables(&self) -> impl DoubleEndedIterator<Item = u64> + use<> {
        let (table, bytes) = (self.table, self.table_sectors * SECTOR_BYTES);
        (0..self.tables).map(move |number| table + number * bytes)
    }

    /// Bytes of one copy of the table that have entries of clusters in them, in whole sectors.
    pub fn table_bytes(&self) -> u64 {
        ((u64::from(self.clusters) + 2) * 4).next_multiple_of(SECTOR_BYTES)
    }

    /// Number of clusters.
    pub fn clusters(&self) -> u32 {
        self.clusters
    }

    /// Bytes of a cluster.
    pub fn cluster_bytes(&self) -> u64 {
        self.cluster_sectors * SECTOR_BYTES
    }

    /// The cluster of the root folder.
    pub fn root(&self) -> Cluster {
        self.root
    }

    /// Where the information sector is, if there is one.
    pub fn info(&self) -> Option<u64> {
        self.info
    }

    /// Whether the boot sector says that the file system was left in the middle of a change.
    pub fn dirty(&self) -> bool {
        self.dirty
    }

    /// Whether the file system has a cluster of this number.
    pub fn has(&self, cluster: Cluster) -> bool {
        (2..self.clusters + 2).contains(&cluster.0)
    }

    /// The bytes of a cluster.
    pub fn place_of(&self, cluster: Cluster) -> Range<u64> {
        let start = self.data + u64::from(cluster.0.saturating_sub(2)) * self.cluster_bytes();
        start..start + self.cluster_bytes()
    }
}
