//! Disks as the tests want them: the layout of an image, with one slot in use.

#![allow(clippy::unwrap_used)]

use slipway_images::disk::{Attributes, Lba, PartitionNumber, SectorSize};
use uuid::Uuid;

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdeffedcba9876543210fedcba9876543210";

fn root() -> RootHash {
    HEX.parse().unwrap()
}

fn guid(number: u128) -> PartGuid {
    PartGuid(Uuid::from_u128(number))
}

fn disk(name: &str, pci: &str, partitions: &[(TypeGuid, PartGuid)]) -> Disk {
    let partition = |(&(type_guid, guid), number): (&(TypeGuid, PartGuid), u32)| Partition {
        number: PartitionNumber(number),
        type_guid,
        guid,
        first: Lba(u64::from(number) * 2048),
        last: Lba(u64::from(number) * 2048 + 2047),
        start: u64::from(number) << 20,
        size: 1 << 20,
        attributes: Attributes::default(),
        name: String::new(),
    };
    Disk {
        name: name.into(),
        device_path: format!("/devices/pci0000:00/{pci}/virtio1/block/{name}"),
        table: PartitionTable {
            copy: TableCopy::Primary,
            primary_fault: None,
            sector_size: SectorSize::B512,
            disk_guid: Uuid::nil(),
            first_usable: Lba(34),
            last_usable: Lba(99_999),
            partitions: partitions.iter().zip(1..).map(partition).collect(),
            rejected: Vec::new(),
        },
    }
}

/// An image that runs from slot b.
fn image(name: &str, pci: &str) -> Disk {
    let partitions = [
        (TypeGuid::ESP, guid(1)),
        (TypeGuid::ROOT_X86_64, guid(2)),
        (TypeGuid::ROOT_VERITY_X86_64, guid(3)),
        (TypeGuid::ROOT_X86_64, root().root_part_guid().into()),
        (TypeGuid::ROOT_VERITY_X86_64, root().verity_part_guid().into()),
    ];
    disk(name, pci, &partitions)
}

fn from_esp(controller: &[(u8, u8)]) -> BootedFrom {
    let controller = controller.iter().map(|&(device, function)| PciAddress { device, function }).collect();
    BootedFrom { esp: Some(guid(1)), controller }
}

#[test]
fn the_disk_is_the_one_that_the_boot_loader_was_started_from() {
    let disks = [disk("vda", "0000:00:03.0", &[(TypeGuid::ESP, guid(9))]), image("vdb", "0000:00:04.0")];
    assert_eq!(pick(&disks, &from_esp(&[]), root()), Pick::Likely("vdb", None));
    assert_eq!(pick(&disks, &from_esp(&[(4, 0)]), root()), Pick::Certain("vdb", None));
    assert_eq!(pick(&disks[..1], &from_esp(&[]), root()), Pick::None);
    let error = none_found(&disks[..1], &from_esp(&[]), root()).to_string();
    assert!(error.contains("00000000-0000-0000-0000-000000000001") && error.contains("vda (1 partitions)"), "{error}");
}

#[test]
fn of_two_copies_the_firmware_s_controller_decides_then_the_device_tree() {
    let disks = [image("vda", "0000:00:05.0"), image("vdb", "0000:00:04.0")];
    let Pick::Certain("vda", Some(note)) = pick(&disks, &from_esp(&[(5, 0)]), root()) else { panic!() };
    assert_eq!(note, "vda and vdb are copies of one disk; takes vda: the firmware was started from its controller");
    let Pick::Likely("vdb", Some(note)) = pick(&disks, &from_esp(&[]), root()) else { panic!() };
    assert!(note.ends_with("it comes first in the device tree"), "{note}");
}

#[test]
fn of_two_copies_the_updated_one_has_the_root() {
    let old = disk("vda", "0000:00:03.0", &[(TypeGuid::ESP, guid(1)), (TypeGuid::ROOT_X86_64, guid(2))]);
    let disks = [old, image("vdb", "0000:00:04.0")];
    let Pick::Likely("vdb", Some(note)) = pick(&disks, &from_esp(&[]), root()) else { panic!() };
    assert!(note.ends_with("it alone has this kernel's root"), "{note}");
    // What the firmware says counts more: a wrong root on the right disk is an error, not a reason to boot another one.
    let Pick::Certain("vda", Some(_)) = pick(&disks, &from_esp(&[(3, 0)]), root()) else { panic!() };
    assert!(matches!(layout(&disks[0], root()), Err(PickError::Partition { what: "root", .. })));
}

#[test]
fn without_a_boot_loader_there_may_be_only_one() {
    let disks = [image("vda", "0000:00:03.0"), image("vdb", "0000:00:04.0")];
    let unknown = BootedFrom::default();
    assert_eq!(pick(&disks, &unknown, root()), Pick::Ambiguous(vec!["vda", "vdb"]));
    assert_eq!(pick(&disks[1..], &unknown, root()), Pick::Likely("vdb", None));
    assert!(matches!(none_found(&[], &unknown, root()), PickError::NoDisk { .. }));
}

#[test]
fn the_slot_is_a_position() {
    let image = image("nvme0n1", "0000:00:03.0");
    let found = layout(&image, root()).unwrap();
    assert_eq!((found.slot, found.root.number.0, found.verity.number.0), (Slot::B, 4, 5));
    assert_eq!(found.state, None);
    let told = partitions(&image, |partition| Some(format!("nvme0n1p{}", partition.number)));
    assert_eq!(told.root_b.unwrap().device, "nvme0n1p4");
    assert_eq!((told.root_a.unwrap().number, told.state), (2, None));
}

#[test]
fn a_root_of_another_type_is_no_slot() {
    let odd = [
        (TypeGuid::VAR, root().root_part_guid().into()),
        (TypeGuid::ROOT_VERITY_X86_64, root().verity_part_guid().into()),
    ];
    let disk = disk("vda", "0000:00:03.0", &odd);
    assert!(matches!(layout(&disk, root()), Err(PickError::NoSlot { .. })));
}

#[test]
fn a_controller_behind_a_bridge_is_a_path_of_several_devices() {
    let path = "/devices/pci0000:00/0000:00:1c.4/0000:02:00.0/nvme/nvme0/nvme0n1";
    let at = |device, function| PciAddress { device, function };
    assert!(is_at(path, &[at(0x1c, 4), at(0, 0)]));
    assert!(!is_at(path, &[at(0x1c, 4)]));
    assert!(!is_at(path, &[]));
}

#[test]
fn a_new_partition_takes_the_lowest_free_number_in_the_kernels_spelling() {
    let mut disk = image("vda", "0000:00:02.0");
    let next = disk.table.partitions.len() + 1;
    assert_eq!(next_partition_name(&disk), format!("vda{next}"));
    disk.name = "nvme0n1".into();
    assert_eq!(next_partition_name(&disk), format!("nvme0n1p{next}"));
    let gone = disk.table.partitions.remove(1);
    assert_eq!(next_partition_name(&disk), format!("nvme0n1p{}", gone.number));
}
