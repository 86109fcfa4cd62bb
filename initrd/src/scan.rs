//! The disks that the kernel knows, as sysfs lists them, and the devices of their partitions.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slipway_images::disk::{Partition, PartitionTable, TableCopy};
use slipway_images::verity::RootHash;

use crate::drivers::{Drivers, Where};
use crate::efi::BootedFrom;
use crate::failure::{BootError, Context as _, Severity, say};
use crate::modules::Modules;
use crate::pick::{Disk, Pick, PickError, none_found, pick};
use crate::sys;

const SYS_BLOCK: &str = "/sys/block";
const PAUSE: Duration = Duration::from_millis(10);

/// How long to wait for the disk that was booted from.
const LIMIT: Duration = Duration::from_secs(10);

/// When to look behind other controllers than the one that the firmware names.
const ELSEWHERE_AFTER: Duration = Duration::from_secs(1);

/// How long a likely disk stays the best one before it is taken: where the firmware names another controller, a disk
/// behind that one may still turn up.
const SETTLE: Duration = Duration::from_millis(30);
const SETTLE_FOR_CONTROLLER: Duration = Duration::from_millis(500);

/// Block devices that are no disks, by the start of their names.
const VIRTUAL: [&str; 6] = ["dm-", "loop", "md", "nbd", "ram", "zram"];

/// Waits for the disk that the machine was started from, and loads the drivers that it takes.
pub fn wait_for_disk(modules: &Modules, booted: &BootedFrom, root: RootHash) -> Result<Disk, BootError> {
    let started = Instant::now();
    let mut drivers = Drivers::new(modules, &booted.controller);
    let mut known = BTreeMap::new();
    let mut likely_since = None;
    loop {
        drivers.load_new(if started.elapsed() < ELSEWHERE_AFTER { Where::BootedFrom } else { Where::All })?;
        look_for_new(&mut known)?;
        let disks: Vec<Disk> = known.values().cloned().collect();
        let over = started.elapsed() >= LIMIT;
        let settle = if booted.controller.is_empty() { SETTLE } else { SETTLE_FOR_CONTROLLER };
        let settled = likely_since.is_some_and(|since: Instant| since.elapsed() >= settle);
        let picked = match pick(&disks, booted, root) {
            Pick::Certain(name, note) => Some((name, note)),
            Pick::Likely(name, note) if settled || over => Some((name, note)),
            Pick::Ambiguous(names) if settled || over => return Err(PickError::Ambiguous(names.join(", ")).into()),
            Pick::None if over => return Err(none_found(&disks, booted, root).into()),
            Pick::None => {
                likely_since = None;
                None
            }
            Pick::Likely(..) | Pick::Ambiguous(_) => {
                likely_since.get_or_insert_with(Instant::now);
                None
            }
        };
        if let Some((name, note)) = picked
            && let Some(disk) = known.get(name)
        {
            if let Some(note) = note {
                say(Severity::Warning, &note);
            }
            return Ok(disk.clone());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Adds disks with a readable table. Those that can't be read yet are looked at again the next time.
fn look_for_new(known: &mut BTreeMap<String, Disk>) -> Result<(), BootError> {
    for entry in fs::read_dir(SYS_BLOCK).at("list", SYS_BLOCK)?.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if known.contains_key(&name) || VIRTUAL.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let Some(table) = read_table(&name) else { continue };
        let device_path = device_path(&entry.path()).to_string_lossy().into_owned();
        known.insert(name.clone(), Disk { name, device_path, table });
    }
    Ok(())
}

/// Where a disk is in the device tree. An `NVMe` namespace that several controllers could reach is a virtual device
/// to the kernel; it is where the first of its controllers is, to which its subsystem's folder has links.
fn device_path(block: &Path) -> PathBuf {
    let path = fs::canonicalize(block).unwrap_or_default();
    let Some(subsystem) = path.parent().filter(|_| path.starts_with("/sys/devices/virtual/nvme-subsystem")) else {
        return path;
    };
    let links = fs::read_dir(subsystem).into_iter().flatten().flatten();
    let is_controller = |link: &PathBuf| link.is_symlink() && link.join("transport").exists();
    let controllers = links.map(|entry| entry.path()).filter(is_controller);
    let found = controllers.filter_map(|link| fs::canonicalize(link).ok()).min();
    found.map_or(path.clone(), |controller| controller.join(path.file_name().unwrap_or_default()))
}

fn read_table(name: &str) -> Option<PartitionTable> {
    PartitionTable::read(&mut File::open(device_node(name)).ok()?).ok()
}

/// The node of a disk or partition. The kernel writes `!` in sysfs for a `/` in a name.
pub fn device_node(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

/// Makes the kernel know all partitions of the table, also where it could not read the table itself because the primary
/// copy is damaged.
pub fn add_missing_partitions(disk: &Disk) -> Result<(), BootError> {
    let missing: Vec<_> =
        disk.table.partitions.iter().filter(|partition| partition_name(disk, partition).is_none()).collect();
    if disk.table.copy == TableCopy::Backup {
        let fault = disk.table.primary_fault.as_deref().unwrap_or("damaged");
        say(Severity::Warning, &format!("{}: primary partition table: {fault}; uses the backup", disk.name));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let node = device_node(&disk.name);
    let device = File::open(&node).at("open the disk", &node)?;
    for partition in missing {
        sys::add_partition(&device, partition.number.0, partition.start, partition.size)
            .at("add a partition to the disk", &node)?;
    }
    Ok(())
}

/// The kernel's name of a partition: `vda2`, `nvme0n1p2`.
pub fn partition_name(disk: &Disk, partition: &Partition) -> Option<String> {
    let wanted = partition.number.to_string();
    let entries = fs::read_dir(Path::new(SYS_BLOCK).join(&disk.name)).ok()?;
    entries
        .flatten()
        .find(|entry| fs::read_to_string(entry.path().join("partition")).is_ok_and(|text| text.trim() == wanted))
        .and_then(|entry| entry.file_name().into_string().ok())
}

/// A partition with its device number.
#[derive(Clone, Debug)]
pub struct Device {
    /// The path of its node.
    pub node: PathBuf,
    /// `MAJOR:MINOR`.
    pub number: String,
}

/// The device of a partition that [`add_missing_partitions`] has seen to.
pub fn partition_device(disk: &Disk, partition: &Partition) -> Result<Device, BootError> {
    let no_device = || BootError::NoDevice { disk: disk.name.clone(), number: partition.number.0 };
    let name = partition_name(disk, partition).ok_or_else(no_device)?;
    let path = Path::new(SYS_BLOCK).join(&disk.name).join(&name).join("dev");
    let number = fs::read_to_string(&path).at("read", &path)?.trim().to_owned();
    Ok(Device { node: device_node(&name), number })
}
