//! Disks: where they are attached, and what becomes of what the guest writes.

use std::fs;

use slipway_qemu::Bus;

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
