//! The EFI system partition: a FAT32 file system that is made as a whole, read for inspection, and has its budget.

mod blocks;
mod budget;
mod folders;
mod format;
mod read;

pub use budget::{BudgetError, EspNeeds, check_budget};
pub use format::{EspOptions, FormatError, VolumeLabel, format};
pub use read::{EspEntry, ReadError, list, read};

/// The path under which firmware looks for a boot loader by itself.
pub const FALLBACK_LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
/// Where systemd-boot keeps itself.
pub const SYSTEMD_BOOT: &str = "EFI/systemd/systemd-bootx64.efi";
/// The configuration of systemd-boot.
pub const LOADER_CONF: &str = "loader/loader.conf";

use fatfs::{Date, DateTime, Time, TimeProvider};

/// Sectors before the first allocation table, as `fatfs` lays them out, and as many to spare.
const RESERVED_BYTES: u64 = 64 * 512;
/// Clusters that a FAT32 must have; with fewer, drivers take it for a FAT16.
const MIN_FAT32_CLUSTERS: u64 = 65_525;
/// Bytes of a cluster's entry in both allocation tables.
const TABLE_BYTES: u64 = 2 * 4;

/// The largest cluster size up to 4 KiB with which `bytes` make a FAT32, and how many clusters there are then, give or
/// take one.
fn clusters(bytes: u64) -> Option<(u32, u64)> {
    [4096_u32, 2048, 1024, 512].into_iter().find_map(|cluster| {
        let count = bytes.saturating_sub(RESERVED_BYTES) / (u64::from(cluster) + TABLE_BYTES);
        (count > MIN_FAT32_CLUSTERS + 16).then_some((cluster, count))
    })
}

/// FAT's first moment, always: the present time must not get into an image.
#[derive(Debug)]
struct FirstMoment;

impl TimeProvider for FirstMoment {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}
