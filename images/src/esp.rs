//! The EFI system partition: a FAT32 file system that is made as a whole, read for inspection, and has its budget.
//!
//! Made deterministically: the serial number is the caller's, every time is FAT's first moment (1980-01-01), files lie in
//! the order in which they are given.
//!
//! Reading expects a file system that somebody damaged or forged: loops in cluster chains, folders without end, sizes
//! that lie. What stops it: the device that the FAT code reads from gives at most [`READ_BUDGET`] bytes in all and then
//! fails, refuses every write, the listing has an end by depth and number, and a file is read only up to the caller's limit.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};

use crate::content::Content;

/// The folder and name under which firmware looks for a boot loader on its own.
pub const FALLBACK_LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
/// Where systemd-boot keeps itself.
pub const SYSTEMD_BOOT: &str = "EFI/systemd/systemd-bootx64.efi";
/// The configuration of systemd-boot.
pub const LOADER_CONF: &str = "loader/loader.conf";

const BLOCK: usize = 4096;
const SECTOR: u32 = 512;
/// Clusters that a FAT32 must have; with fewer, drivers take it for a FAT16.
const MIN_FAT32_CLUSTERS: u64 = 65_525;
/// Sectors before the first FAT, as `fatfs` lays them out, with room to spare.
const RESERVED_SECTORS: u64 = 64;
const MAX_DEPTH: usize = 8;
const MAX_FILES: usize = 4096;
/// Bytes that reading a file system may take from its device.
const READ_BUDGET: u64 = 4 << 30;
"#;
