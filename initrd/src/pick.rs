//! Which disk the machine was started from, and which of its partitions are which. Pure: what was seen goes in.

use slipway_images::boot::{BootPartition, BootPartitions, GptUsed};
use slipway_images::disk::{PartGuid, Partition, PartitionTable, Slot, TableCopy, TypeGuid};
use slipway_images::verity::RootHash;

use crate::efi::{BootedFrom, PciAddress};

/// A disk with a partition table that could be read.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The kernel's name: `vda`.
    pub name: String,
    /// Its place in the device tree, as sysfs has it: `/devices/pci0000:00/0000:00:04.0/virtio1/block/vda`.
    pub device_path: String,
    /// Its table.
    pub table: PartitionTable,
}

/// Why no disk, or no partition of it, can be taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PickError {
    /// The disk that the firmware booted from isn't there.
    #[error("no disk has the ESP {esp} that the boot loader was started from; there are: {seen}")]
    NoBootDisk {
        /// The ESP.
        esp: PartGuid,
        /// The disks that were seen.
        seen: String,
    },
    /// The boot loader didn't say which disk, and none fits.
    #[error("no disk has the partitions {root} and {verity}; there are: {seen}")]
    NoDisk {
        /// The root partition.
        root: PartGuid,
        /// The verity partition.
        verity: PartGuid,
        /// The disks that were seen.
        seen: String,
    },
    /// The boot loader didn't say which disk, and several fit.
    #[error("the boot loader didn't say which disk it was started from, and several have this root: {0}")]
    Ambiguous(String),
    /// The disk hasn't the partition, or has it twice.
    #[error("{disk} has not exactly one {what} partition {guid}, which this kernel's roothash= wants")]
    Partition {
        /// The disk.
        disk: String,
        /// `root` or `verity`.
        what: &'static str,
        /// The partition.
        guid: PartGuid,
    },
    /// The partition is none of the two slots'.
    #[error("partition {guid} of {disk} is not one of the first two of type root")]
    NoSlot {
        /// The disk.
        disk: String,
        /// The partition.
        guid: PartGuid,
    },
}

/// What can be said from the disks that are there so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Pick<'a> {
    /// None fits yet.
    None,
    /// It is this one, for the reason given, if there was a choice: waiting for more disks can't change it.
    Certain(&'a str, Option<String>),
    /// It is this one unless a better one turns up; for the reason given, if there was a choice.
    Likely(&'a str, Option<String>),
    /// Several fit, and nothing says which.
    Ambiguous(Vec<&'a str>),
}

/// Picks the disk: the one with the ESP that the boot loader was started from or, where that isn't known, the only one
/// with both partitions. Between copies of one disk it prefers the controller that the firmware named, then one that has
/// both partitions, then the first in the order of the device tree, which is the same at every boot.
pub fn pick<'a>(disks: &'a [Disk], booted: &BootedFrom, root: RootHash) -> Pick<'a> {
    let fits = |disk: &&Disk| match booted.esp {
        Some(esp) => holds(disk, esp),
        None => holds_root(disk, root),
    };
    let at_controller = |disk: &Disk| is_at(&disk.device_path, &booted.controller);
    let rank = |disk: &&Disk| (!at_controller(disk), !holds_root(disk, root), disk.device_path.clone());
    let mut fitting: Vec<&Disk> = disks.iter().filter(fits).collect();
    fitting.sort_by_key(rank);
    let [first, others @ ..] = fitting.as_slice() else { return Pick::None };
    match others {
        [] if at_controller(first) => Pick::Certain(&first.name, None),
        [] => Pick::Likely(&first.name, None),
        [second, ..] => {
            let names = || fitting.iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>();
            let at_one_controller = at_controller(first) && !at_controller(second);
            let reason = match (rank(first), rank(second)) {
                _ if at_one_controller => "the firmware was started from its controller",
                _ if booted.esp.is_none() => return Pick::Ambiguous(names()),
                ((_, false, _), (_, true, _)) => "it alone has this kernel's root",
                _ => "it comes first in the device tree",
            };
            let note = format!("{} are copies of one disk; takes {}: {reason}", names().join(" and "), first.name);
            if at_one_controller {
                Pick::Certain(&first.name, Some(note))
            } else {
                Pick::Likely(&first.name, Some(note))
            }
        }
    }
}

/// The failure to tell when time is up and [`pick`] has found none.
pub fn none_found(disks: &[Disk], booted: &BootedFrom, root: RootHash) -> PickError {
    let seen = if disks.is_empty() {
        "none with a partition table".to_owned()
    } else {
        let describe = |disk: &Disk| format!("{} ({} partitions)", disk.name, disk.table.partitions.len());
        disks.iter().map(describe).collect::<Vec<_>>().join(", ")
    };
    match booted.esp {
        Some(esp) => PickError::NoBootDisk { esp, seen },
        None => PickError::NoDisk { root: root.root_part_guid().into(), verity: root.verity_part_guid().into(), seen },
    }
}

/// The partitions of the picked disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout<'a> {
    /// The root partition that is booted.
    pub root: &'a Partition,
    /// Its hash tree.
    pub verity: &'a Partition,
    /// The state partition, if it was made yet: the first of type `/var`.
    pub state: Option<&'a Partition>,
    /// Which slot the root is in.
    pub slot: Slot,
}

/// Finds what the root hash names on the disk.
pub fn layout(disk: &Disk, root: RootHash) -> Result<Layout<'_>, PickError> {
    let find =
        |what, guid| disk.table.find(guid).map_err(|_| PickError::Partition { disk: disk.name.clone(), what, guid });
    let (root, verity) = (find("root", root.root_part_guid().into())?, find("verity", root.verity_part_guid().into())?);
    let slot = match of_type(disk, TypeGuid::ROOT_X86_64).position(|partition| partition == root) {
        Some(0) => Slot::A,
        Some(1) => Slot::B,
        _ => return Err(PickError::NoSlot { disk: disk.name.clone(), guid: root.guid }),
    };
    Ok(Layout { root, verity, state: of_type(disk, TypeGuid::VAR).next(), slot })
}

/// All partitions of the disk that userspace is told of; `device` gives the kernel's name of a partition.
pub fn partitions(disk: &Disk, device: impl Fn(&Partition) -> Option<String>) -> BootPartitions {
    let known = |kind, position| {
        let partition = of_type(disk, kind).nth(position)?;
        Some(BootPartition { number: partition.number.0, device: device(partition)?, guid: partition.guid })
    };
    BootPartitions {
        esp: known(TypeGuid::ESP, 0),
        root_a: known(TypeGuid::ROOT_X86_64, 0),
        verity_a: known(TypeGuid::ROOT_VERITY_X86_64, 0),
        root_b: known(TypeGuid::ROOT_X86_64, 1),
        verity_b: known(TypeGuid::ROOT_VERITY_X86_64, 1),
        state: known(TypeGuid::VAR, 0),
    }
}

/// The kernel's name of the next partition that is made on the disk: the lowest number that is free, which is what
/// systemd-repart takes, after the disk's name and, where that ends in a digit, a `p`.
pub fn next_partition_name(disk: &Disk) -> String {
    let used = |number: &u32| disk.table.partitions.iter().any(|partition| partition.number.0 == *number);
    let number = (1..=u32::MAX).find(|number| !used(number)).unwrap_or(u32::MAX);
    let separator = if disk.name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{}{separator}{number}", disk.name)
}

/// Which copy of the table was read.
pub fn gpt_used(disk: &Disk) -> GptUsed {
    match disk.table.copy {
        TableCopy::Primary => GptUsed::Primary,
        TableCopy::Backup => GptUsed::Backup,
    }
}

fn of_type(disk: &Disk, kind: TypeGuid) -> impl Iterator<Item = &Partition> {
    disk.table.partitions.iter().filter(move |partition| partition.type_guid == kind)
}

fn holds(disk: &Disk, guid: PartGuid) -> bool {
    disk.table.partitions.iter().any(|partition| partition.guid == guid)
}

fn holds_root(disk: &Disk, root: RootHash) -> bool {
    holds(disk, root.root_part_guid().into()) && holds(disk, root.verity_part_guid().into())
}

/// Whether the PCI functions in a sysfs path are those of the firmware's device path. An empty one says nothing.
pub fn is_at(device_path: &str, controller: &[PciAddress]) -> bool {
    !controller.is_empty() && device_path.split('/').filter_map(pci_address).eq(controller.iter().copied())
}

/// Reads `0000:00:1f.2`, a PCI function's name in sysfs.
fn pci_address(name: &str) -> Option<PciAddress> {
    let (domain, rest) = name.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    u32::from_str_radix(domain, 16).and(u8::from_str_radix(bus, 16)).ok()?;
    let hex = |text| u8::from_str_radix(text, 16).ok();
    Some(PciAddress { device: hex(device)?, function: hex(function)? })
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;
