//! Two disks with the same image: the root is that of the disk that the firmware booted from, here the one on SATA, though the
//! kernel finds the one on virtio first.

use slipway_qemu::{Bus, Disk};

use crate::machines::{boot_facts, disk, start};

#[test]
fn the_root_is_that_of_the_disk_that_was_booted_from() {
    let booted = Disk::raw(disk()).on(Bus::Sata).thrown_away();
    let other = Disk::raw(disk()).on(Bus::Virtio).thrown_away();
    let mut machine = start("copy-on-another-bus", [booted, other]);
    let facts = boot_facts(&mut machine);
    assert_eq!((&facts["disk"], &facts["slot"]), (&"sda".into(), &"a".into()), "{facts}");
    machine.cut_power().unwrap();
}
