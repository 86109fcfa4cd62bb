//! Changing entries of a partition table that is in use: the bytes of one valid copy go in, those of both come out.
//! Nothing is written here, so that whoever writes can choose the order.

use std::io::{Read, Seek, SeekFrom};

use super::table::{CRC32, CopyError, RawCopy, u32_at};
use super::{Attributes, Lba, PartGuid, PartitionNumber, SectorSize, TableCopy};

const NAME_UNITS: usize = 36;

/// The bytes of one valid copy of a table.
#[derive(Clone, Debug)]
pub struct TableImage {
    sector_size: SectorSize,
    sectors: u64,
    header: Vec<u8>,
    entries: Vec<u8>,
    entry_bytes: usize,
    primary_entries: Lba,
    usable: (Lba, Lba),
}

/// Bytes and where on the device they belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// From the start of the device, in bytes.
    pub offset: u64,
    /// Whole sectors.
    pub bytes: Vec<u8>,
}

/// One copy of a table, as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyBytes {
    /// Which one.
    pub copy: TableCopy,
    /// The array of entries.
    pub entries: Extent,
    /// The header, which makes them valid.
    pub header: Extent,
}

/// A change that can't be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EditError {
    /// The entry isn't there, or is unused.
    #[error("partition {0} is not in the table")]
    NoEntry(PartitionNumber),
    /// A label of more than 36 UTF-16 units.
    #[error("`{0}` is too long for a partition label")]
    Label(String),
    /// The usable area leaves no room for one of the tables.
    #[error("the table of {bytes} bytes doesn't fit beside the usable sectors from {first} to {last}")]
    NoRoom {
        /// Bytes of the array of entries.
        bytes: usize,
        /// First usable sector.
        first: Lba,
        /// Last usable sector.
        last: Lba,
    },
}

impl TableImage {
    /// Reads one copy, in sectors of 512, else of 4096 bytes. Only a valid copy is taken.
    pub fn read(device: &mut (impl Read + Seek), copy: TableCopy) -> Result<Self, CopyError> {
        let size = device.seek(SeekFrom::End(0))?;
        let RawCopy { sector_size, sectors, header, header_sector: mut sector, entries } =
            RawCopy::read(device, size, copy)?;
        let primary_entries = match copy {
            TableCopy::Primary => header.table,
            TableCopy::Backup => Lba(2),
        };
        let usable = (header.first_usable, header.last_usable);
        let header_bytes = u32_at(&sector, 12) as usize;
        sector[header_bytes..].fill(0);
        let entry_bytes = header.entry_bytes as usize;
        Ok(Self { sector_size, sectors, header: sector, entries, entry_bytes, primary_entries, usable })
    }

    /// Whether both copies say the same of every partition.
    pub fn same_entries(&self, other: &Self) -> bool {
        self.entries == other.entries && self.header[40..72] == other.header[40..72]
    }

    /// Gives a partition another GUID, label and attributes. Its type and place stay.
    pub fn rename(
        &mut self,
        number: PartitionNumber,
        guid: PartGuid,
        label: &str,
        attributes: Attributes,
    ) -> Result<(), EditError> {
        let units: Vec<u16> = label.encode_utf16().collect();
        if units.len() > NAME_UNITS {
            return Err(EditError::Label(label.to_owned()));
        }
        let missing = || EditError::NoEntry(number);
        let index = (number.0 as usize).checked_sub(1).ok_or_else(missing)?;
        let entry = self.entries.chunks_exact_mut(self.entry_bytes).nth(index).ok_or_else(missing)?;
        if entry[..16] == [0; 16] {
            return Err(missing());
        }
        entry[16..32].copy_from_slice(&guid.0.to_bytes_le());
        entry[48..56].copy_from_slice(&attributes.0.to_le_bytes());
        entry[56..128].fill(0);
        for (place, unit) in entry[56..128].chunks_exact_mut(2).zip(units) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
        Ok(())
    }

    /// Both copies, with their checksums: primary, backup. The backup lies at the very end of the device.
    pub fn copies(&self) -> Result<[CopyBytes; 2], EditError> {
        let sector = self.sector_size.bytes();
        let array_sectors = (self.entries.len() as u64).div_ceil(sector);
        let (first, last) = self.usable;
        let backup = self.sectors - 1;
        let backup_entries = backup.checked_sub(array_sectors).filter(|start| *start > last.0);
        let primary_fits = self.primary_entries.0 >= 2 && self.primary_entries.0 + array_sectors <= first.0;
        let Some(backup_entries) = backup_entries.filter(|_| primary_fits) else {
            return Err(EditError::NoRoom { bytes: self.entries.len(), first, last });
        };
        let mut array = self.entries.clone();
        array.resize(array.len().next_multiple_of(self.header.len()), 0);
        let copy = |copy, own: u64, other: u64, entries: u64| CopyBytes {
            copy,
            entries: Extent { offset: entries * sector, bytes: array.clone() },
            header: Extent { offset: own * sector, bytes: self.header_at(own, other, entries) },
        };
        Ok([
            copy(TableCopy::Primary, 1, backup, self.primary_entries.0),
            copy(TableCopy::Backup, backup, 1, backup_entries),
        ])
    }

    fn header_at(&self, own: u64, other: u64, entries: u64) -> Vec<u8> {
        let mut header = self.header.clone();
        header[24..32].copy_from_slice(&own.to_le_bytes());
        header[32..40].copy_from_slice(&other.to_le_bytes());
        header[72..80].copy_from_slice(&entries.to_le_bytes());
        header[88..92].copy_from_slice(&CRC32.checksum(&self.entries).to_le_bytes());
        header[16..20].fill(0);
        let covered = u32_at(&header, 12) as usize;
        let checksum = CRC32.checksum(&header[..covered]);
        header[16..20].copy_from_slice(&checksum.to_le_bytes());
        header
    }
}
