//! Disks: where they are attached, and what becomes of what the guest writes.

use std::fs;

use slipway_qemu::{Bus, DiskFault, Mark};

use crate::sector::{SOON, Sector, machine};

#[test]
fn boots_from_every_bus() {
    let sector = Sector::new();
    for (starts, bus) in [Bus::Virtio, Bus::Nvme, Bus::Sata].into_iter().enumerate() {
        let running = machine(sector.disk().on(bus)).start().unwrap();
        running
            .wait_for_serial(&format!("boots {}", starts + 1), SOON)
            .unwrap_or_else(|error| panic!("{bus}: {error}"));
        running.cut_power().unwrap();
    }
    assert_eq!(sector.starts(), 3, "written directly");
}

#[test]
fn what_is_thrown_away_lasts_as_long_as_the_machine() {
    let sector = Sector::new();
    for _ in 0..2 {
        let mut running = machine(sector.disk().thrown_away()).start().unwrap();
        let (_, mark) = running.wait_for_serial_after(running.serial().mark(), "boots 1", SOON).unwrap();
        running.reset().unwrap();
        running.wait_for_serial_after(mark, "boots 2", SOON).unwrap();
    }
    assert_eq!(sector.starts(), 0);
}

#[test]
fn an_overlay_is_kept_from_machine_to_machine() {
    let sector = Sector::new();
    let overlay = sector.folder().join("kept,with a comma.qcow2");
    for starts in 1..=2 {
        let running = machine(sector.disk().overlay(&overlay)).start().unwrap();
        running.wait_for_serial(&format!("boots {starts}"), SOON).unwrap();
        running.power_off(SOON).unwrap();
    }
    assert_eq!(sector.starts(), 0);
}

#[test]
fn a_read_only_disk_stays_as_it_is() {
    let sector = Sector::new();
    let before = fs::read(sector.path()).unwrap();
    let running = machine(sector.disk().read_only()).start().unwrap();
    running.wait_for_serial("disk error", SOON).unwrap();
    drop(running);
    assert_eq!(fs::read(sector.path()).unwrap(), before);
}

#[test]
fn a_disk_fails_as_long_as_it_is_broken() {
    let sector = Sector::new();
    let mut running = machine(sector.disk()).start().unwrap();
    let (_, mut mark) = running.wait_for_serial_after(Mark::default(), "boots 1", SOON).unwrap();
    let write = DiskFault::Write { sector: 1 };
    let elsewhere = DiskFault::Write { sector: 2 };
    let read = DiskFault::Read { sector: 1 };
    for (faults, said) in [
        (vec![elsewhere, write], "disk error"),
        (vec![read], "disk error"),
        (vec![elsewhere], "boots 2"),
        (vec![], "boots 3"),
    ] {
        running.break_disk(0, &faults).unwrap();
        running.reset().unwrap();
        (_, mark) = running.wait_for_serial_after(mark, said, SOON).unwrap();
    }
    drop(running);
    let mut running = machine(sector.disk().thrown_away()).start().unwrap();
    let error = running.break_disk(0, &[DiskFault::Flush]).unwrap_err().to_string();
    assert!(error.ends_with("disk 0 is no raw image that is written directly"), "{error}");
}
