//! Reading a GUID partition table (UEFI specification 2.10, chapter 5.3).
//!
//! The bytes are whatever is on the disk: torn by a power cut, overwritten at either end, cut short by an interrupted
//! download, or made by somebody who wants the reader to fail or to grow. Their checksums tell accidents, not attacks:
//! what is opened by means of this table is checked against the root hash afterwards. So what counts here is:
//!
//! * a damaged copy is never used: signature, header checksum, place and table checksum must all be right, else the
//!   other copy is read, the backup from the last sector of the device and from nowhere that a damaged header names;
//! * sizes that would make the reader allocate or seek beyond reason: the table is at most [`MAX_TABLE_BYTES`], lies
//!   within the device, and is read with checked arithmetic;
//! * entries that reach outside the usable area, or overlap: they are set aside as [`Rejected`], and never found;
//! * two partitions of one GUID, of which a search could take the wrong one: [`PartitionTable::find`] refuses both.
//!
//! Own code where the crate `gpt` could read too, because that one wants a writable device, doesn't turn to the backup when
//! only the entries are damaged, and allocates what the header says before it looks at it.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use uuid::Uuid;

use super::{Attributes, Lba, PartGuid, PartitionNumber, SectorSize, TypeGuid};

/// The largest table that is read, in bytes; the usual one has 16 KiB.
pub const MAX_TABLE_BYTES: u64 = 1 << 20;

pub(super) const CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const MIN_HEADER_BYTES: usize = 92;
const MIN_ENTRY_BYTES: u32 = 128;

/// Which copy of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableCopy {
    /// The one at the start of the device.
    Primary,
    /// The one at its end.
    Backup,
}

/// A partition table as it was read from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTable {
    /// Which copy was read.
    pub copy: TableCopy,
    /// Why the primary copy was not, if it was the backup.
    pub primary_fault: Option<String>,
    /// The sectors that the table counts in.
    pub sector_size: SectorSize,
    /// The disk's own GUID.
    pub disk_guid: Uuid,
    /// First sector that partitions may use.
    pub first_usable: Lba,
    /// Last sector that partitions may use.
    pub last_usable: Lba,
    /// The partitions, by number.
    pub partitions: Vec<Partition>,
    /// Entries that make no sense, by number.
    pub rejected: Vec<Rejected>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, as in the name of its block device.
    pub number: PartitionNumber,
    /// What it is for.
    pub type_guid: TypeGuid,
    /// Which one it is.
    pub guid: PartGuid,
    /// First sector.
    pub first: Lba,
    /// Last sector; never before the first.
    pub last: Lba,
    /// First byte, from the start of the device.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Attribute bits.
    pub attributes: Attributes,
    /// The label, with U+FFFD for what is no UTF-16.
    pub name: String,
}

/// An entry that was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its number.
    pub number: PartitionNumber,
    /// Why.
    pub reason: RejectReason,
}

/// Why an entry was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// It ends before it begins, or reaches beyond the usable sectors.
    OutOfRange,
    /// It shares sectors with another one.
    Overlap,
}

/// What is wrong with one copy of a table.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The device could not be read.
    #[error("can't be read")]
    Io(#[from] io::Error),
    /// No table is there.
    #[error("no signature")]
    Signature,
    /// A revision other than 1.0.
    #[error("revision {0:#x} where 0x10000 was expected")]
    Revision(u32),
    /// A header that is smaller than 92 bytes or larger than a sector.
    #[error("header of {0} bytes")]
    HeaderSize(u32),
    /// The checksum of the header.
    #[error("header checksum doesn't match")]
    HeaderChecksum,
    /// A header that belongs elsewhere.
    #[error("header says it lies at {0}")]
    Place(Lba),
    /// Usable sectors that are none, or not on the device.
    #[error("usable sectors from {first} to {last} on a device of {sectors} sectors")]
    Usable {
        /// First usable sector.
        first: Lba,
        /// Last usable sector.
        last: Lba,
        /// Sectors of the device.
        sectors: u64,
    },
    /// A table of unreasonable shape, or outside the device.
    #[error("table of {count} entries of {size} bytes at {lba}")]
    Table {
        /// First sector of the table.
        lba: Lba,
        /// Number of entries.
        count: u32,
        /// Bytes of one.
        size: u32,
    },
    /// The checksum of the table.
    #[error("table checksum doesn't match")]
    TableChecksum,
}

/// What is wrong with a device's partition table, or with a search in it.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Neither copy can be used.
    #[error("no valid partition table: primary: {primary}; backup: {backup}")]
    None {
        /// What is wrong with the primary copy.
        primary: Describe,
        /// What is wrong with the backup.
        backup: Describe,
    },
    /// The size of the device can't be found out.
    #[error("can't find the end of the device")]
    Size(#[source] io::Error),
    /// No partition has this GUID.
    #[error("no partition {0}")]
    NotFound(PartGuid),
    /// Several partitions have this GUID.
    #[error("more than one partition {0}")]
    Ambiguous(PartGuid),
}

/// A copy's error, shown with its cause.
#[derive(Debug)]
pub struct Describe(pub CopyError);

impl fmt::Display for Describe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            CopyError::Io(cause) => write!(f, "{}: {cause}", self.0),
            other => other.fmt(f),
        }
    }
}

impl PartitionTable {
    /// Reads the table of a device or image whose sector size isn't known: the primary copy, else the backup at the
    /// very end; each in sectors of 512, else of 4096 bytes. Only reads.
    pub fn read(device: &mut (impl Read + Seek)) -> Result<Self, TableError> {
        let size = device.seek(SeekFrom::End(0)).map_err(TableError::Size)?;
        let primary = match read_copy(device, size, TableCopy::Primary) {
            Ok(table) => return Ok(table),
            Err(error) => Describe(error),
        };
        match read_copy(device, size, TableCopy::Backup) {
            Ok(table) => Ok(Self { primary_fault: Some(primary.to_string()), ..table }),
            Err(error) => Err(TableError::None { primary, backup: Describe(error) }),
        }
    }

    /// Reads one copy of the table and never looks at the other: to find out whether both are whole.
    pub fn read_copy(device: &mut (impl Read + Seek), copy: TableCopy) -> Result<Self, CopyError> {
        let size = device.seek(SeekFrom::End(0))?;
        read_copy(device, size, copy)
    }

    /// The one partition with this GUID.
    pub fn find(&self, guid: PartGuid) -> Result<&Partition, TableError> {
        let mut found = self.partitions.iter().filter(|partition| partition.guid == guid);
        match (found.next(), found.next()) {
            (Some(partition), None) => Ok(partition),
            (None, _) => Err(TableError::NotFound(guid)),
            (Some(_), Some(_)) => Err(TableError::Ambiguous(guid)),
        }
    }
}

/// One copy as it is on the device: header and entries, whose checksums are right.
pub(super) struct RawCopy {
    pub(super) sector_size: SectorSize,
    /// Sectors of the device.
    pub(super) sectors: u64,
    pub(super) header: Header,
    /// The whole sector that the header is in.
    pub(super) header_sector: Vec<u8>,
    pub(super) entries: Vec<u8>,
}

impl RawCopy {
    /// Tries both sector sizes; of two errors, the one that is more than "nothing there" is told.
    pub(super) fn read(device: &mut (impl Read + Seek), size: u64, copy: TableCopy) -> Result<Self, CopyError> {
        match Self::read_in(device, size, copy, SectorSize::B512) {
            Err(small) => match (Self::read_in(device, size, copy, SectorSize::B4096), small) {
                (Err(large), CopyError::Signature) => Err(large),
                (Err(_), small) => Err(small),
                (Ok(found), _) => Ok(found),
            },
            found => found,
        }
    }

    fn read_in(
        device: &mut (impl Read + Seek),
        size: u64,
        copy: TableCopy,
        sector_size: SectorSize,
    ) -> Result<Self, CopyError> {
        let sectors = size / sector_size.bytes();
        let place = match copy {
            TableCopy::Primary => 1,
            TableCopy::Backup => sectors.saturating_sub(1),
        };
        if place == 0 || place >= sectors {
            return Err(CopyError::Signature);
        }
        let mut header_sector = match sector_size {
            SectorSize::B512 => vec![0; 512],
            SectorSize::B4096 => vec![0; 4096],
        };
        device.seek(SeekFrom::Start(place * sector_size.bytes()))?;
        device.read_exact(&mut header_sector)?;
        let header = Header::parse(&header_sector, Lba(place), sectors)?;
        let entries = header.read_table(device, sector_size, sectors)?;
        Ok(Self { sector_size, sectors, header, header_sector, entries })
    }
}

fn read_copy(device: &mut (impl Read + Seek), size: u64, copy: TableCopy) -> Result<PartitionTable, CopyError> {
    let RawCopy { sector_size, header, entries: table, .. } = RawCopy::read(device, size, copy)?;
    let mut partitions = Vec::new();
    let mut rejected = Vec::new();
    for (entry, number) in table.chunks_exact(header.entry_bytes as usize).zip(1..) {
        let number = PartitionNumber(number);
        match header.parse_entry(entry, number, sector_size) {
            Some(Ok(partition)) => partitions.push(partition),
            Some(Err(reason)) => rejected.push(Rejected { number, reason }),
            None => {}
        }
    }
    set_aside_overlaps(&mut partitions, &mut rejected);
    Ok(PartitionTable {
        copy,
        primary_fault: None,
        sector_size,
        disk_guid: header.disk_guid,
        first_usable: header.first_usable,
        last_usable: header.last_usable,
        partitions,
        rejected,
    })
}

/// A header with the right signature, checksum and place, and sane bounds.
pub(super) struct Header {
    pub(super) first_usable: Lba,
    pub(super) last_usable: Lba,
    disk_guid: Uuid,
    pub(super) table: Lba,
    entry_count: u32,
    pub(super) entry_bytes: u32,
    table_checksum: u32,
}

impl Header {
    pub(super) fn parse(sector: &[u8], place: Lba, sectors: u64) -> Result<Self, CopyError> {
        if field::<8>(sector, 0) != *SIGNATURE {
            return Err(CopyError::Signature);
        }
        let revision = u32_at(sector, 8);
        if revision != REVISION {
            return Err(CopyError::Revision(revision));
        }
        let header_bytes = u32_at(sector, 12);
        let covered = usize::try_from(header_bytes)
            .ok()
            .filter(|&bytes| bytes >= MIN_HEADER_BYTES)
            .and_then(|bytes| sector.get(..bytes))
            .ok_or(CopyError::HeaderSize(header_bytes))?;
        let mut digest = CRC32.digest();
        digest.update(&covered[..16]);
        digest.update(&[0; 4]);
        digest.update(&covered[20..]);
        if digest.finalize() != u32_at(sector, 16) {
            return Err(CopyError::HeaderChecksum);
        }
        let own = Lba(u64_at(sector, 24));
        if own != place {
            return Err(CopyError::Place(own));
        }
        let (first, last) = (Lba(u64_at(sector, 40)), Lba(u64_at(sector, 48)));
        if first > last || last.0 >= sectors {
            return Err(CopyError::Usable { first, last, sectors });
        }
        Ok(Self {
            first_usable: first,
            last_usable: last,
            disk_guid: Uuid::from_bytes_le(field(sector, 56)),
            table: Lba(u64_at(sector, 72)),
            entry_count: u32_at(sector, 80),
            entry_bytes: u32_at(sector, 84),
            table_checksum: u32_at(sector, 88),
        })
    }

    pub(super) fn read_table(
        &self,
        device: &mut (impl Read + Seek),
        sector_size: SectorSize,
        sectors: u64,
    ) -> Result<Vec<u8>, CopyError> {
        let (count, size) = (self.entry_count, self.entry_bytes);
        let unreasonable = || CopyError::Table { lba: self.table, count, size };
        let bytes = u64::from(count) * u64::from(size);
        let fits = self
            .table
            .0
            .checked_add(bytes.div_ceil(sector_size.bytes()))
            .is_some_and(|end| end <= sectors && self.table.0 >= 2);
        let shape = size >= MIN_ENTRY_BYTES && size.is_power_of_two() && count > 0 && bytes <= MAX_TABLE_BYTES;
        if !(fits && shape) {
            return Err(unreasonable());
        }
        let mut table = vec![0; usize::try_from(bytes).map_err(|_| unreasonable())?];
        device.seek(SeekFrom::Start(self.table.0 * sector_size.bytes()))?;
        device.read_exact(&mut table)?;
        if CRC32.checksum(&table) == self.table_checksum { Ok(table) } else { Err(CopyError::TableChecksum) }
    }

    /// The partition of an entry of at least 128 bytes; `None` if it is unused.
    fn parse_entry(
        &self,
        entry: &[u8],
        number: PartitionNumber,
        sector_size: SectorSize,
    ) -> Option<Result<Partition, RejectReason>> {
        let type_guid = Uuid::from_bytes_le(field(entry, 0));
        if type_guid.is_nil() {
            return None;
        }
        let (first, last) = (Lba(u64_at(entry, 32)), Lba(u64_at(entry, 40)));
        if first > last || first < self.first_usable || last > self.last_usable {
            return Some(Err(RejectReason::OutOfRange));
        }
        Some(Ok(Partition {
            number,
            type_guid: TypeGuid(type_guid),
            guid: PartGuid(Uuid::from_bytes_le(field(entry, 16))),
            first,
            last,
            // No overflow: the last usable sector lies on the device, whose size in bytes is a u64.
            start: first.0 * sector_size.bytes(),
            size: (last.0 - first.0 + 1) * sector_size.bytes(),
            attributes: Attributes(u64_at(entry, 48)),
            name: name_of(field::<72>(entry, 56)),
        }))
    }
}

fn name_of(bytes: [u8; 72]) -> String {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).take_while(|&unit| unit != 0);
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Moves every partition that shares a sector with another one to the rejected ones.
fn set_aside_overlaps(partitions: &mut Vec<Partition>, rejected: &mut Vec<Rejected>) {
    let mut by_start: Vec<_> =
        partitions.iter().map(|partition| (partition.first, partition.last, partition.number)).collect();
    by_start.sort_unstable();
    let mut overlapping = Vec::new();
    let mut reaching_furthest: Option<(Lba, PartitionNumber)> = None;
    for (first, last, number) in by_start {
        if let Some((_, other)) = reaching_furthest.filter(|&(end, _)| end >= first) {
            overlapping.extend([other, number]);
        }
        if reaching_furthest.is_none_or(|(end, _)| last > end) {
            reaching_furthest = Some((last, number));
        }
    }
    overlapping.sort_unstable();
    overlapping.dedup();
    partitions.retain(|partition| overlapping.binary_search(&partition.number).is_err());
    rejected.extend(overlapping.into_iter().map(|number| Rejected { number, reason: RejectReason::Overlap }));
    rejected.sort_unstable_by_key(|entry| entry.number);
}

/// `N` bytes from `offset`, which every caller's slice is long enough for; zeros otherwise.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(field(bytes, offset))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(field(bytes, offset))
}
