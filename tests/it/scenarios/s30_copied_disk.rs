//! A disk image is copied: on a larger disk, where the first boot makes the state partition over all that is left; and twice into one
//! machine, where the root is that of the disk that was booted from.

use std::fs::File;

use slipway_qemu::{Bus, Disk};

use crate::machines::{PATIENCE, boot_facts, copy, disk, output, start};

const DISK_BYTES: u64 = 10 << 30;

#[test]
fn the_state_partition_takes_the_rest_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = copy(folder.path());
    let image_bytes = disk.metadata().unwrap().len();
    assert!(image_bytes < DISK_BYTES);
    File::options().write(true).open(&disk).unwrap().set_len(DISK_BYTES).unwrap();
    let mut machine = start("larger-disk", [Disk::raw(&disk).on(Bus::Nvme).thrown_away()]);
    assert_eq!(boot_facts(&mut machine)["disk"], "nvme0n1");
    let state = machine.guest().unwrap().run(&["systemctl", "is-system-running", "--wait"], PATIENCE).unwrap();
    assert_eq!(state.stdout.trim(), "running");
    let sizes = output(&mut machine, &["findmnt", "--noheadings", "--bytes", "--output", "FSTYPE,SIZE", "/var"]);
    let (kind, size) = sizes.trim().split_once(' ').unwrap();
    let size: u64 = size.trim().parse().unwrap();
    // Two slots and the ESP take 1.3 GiB, the file system itself some percent.
    assert!(kind == "ext4" && size > image_bytes && size < DISK_BYTES, "{sizes}");
    machine.cut_power().unwrap();
}

/// The one on SATA, though the kernel finds the one on virtio first.
#[test]
fn of_two_with_the_same_image_the_root_is_that_of_the_one_that_was_booted_from() {
    let booted = Disk::raw(disk()).on(Bus::Sata).thrown_away();
    let other = Disk::raw(disk()).on(Bus::Virtio).thrown_away();
    let mut machine = start("copy-on-another-bus", [booted, other]);
    let facts = boot_facts(&mut machine);
    assert_eq!((&facts["disk"], &facts["slot"]), (&"sda".into(), &"a".into()), "{facts}");
    machine.cut_power().unwrap();
}
